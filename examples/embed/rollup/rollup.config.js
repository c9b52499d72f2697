import { cpSync } from 'node:fs'
import resolve from '@rollup/plugin-node-resolve'

/** Rollup leaves `new URL(..., import.meta.url)` as it is, so these files go beside its output. */
const webternFiles = {
  name: 'webtern-files',
  writeBundle({ dir }) {
    for (const file of ['worker.js', 'pool-worker.js', 'wasm', 'tiny.gguf']) {
      cpSync(`node_modules/webtern/dist/${file}`, `${dir}/${file}`, { recursive: true })
    }
  },
}

export default {
  input: 'src/main.js',
  output: { dir: 'dist', format: 'es' },
  plugins: [resolve({ browser: true }), webternFiles],
}
