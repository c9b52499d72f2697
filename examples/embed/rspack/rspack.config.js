// Threads need a cross-origin isolated page. Send these headers in production too.
const headers = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
}

export default {
  mode: 'production',
  entry: './src/main.js',
  output: { filename: 'main.js' },
  performance: { hints: false },
  devServer: { headers, static: '.', devMiddleware: { publicPath: '/dist/' } },
}
