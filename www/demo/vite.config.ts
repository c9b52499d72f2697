/** Builds and serves the demo page. The page imports `webtern` as a user would; the name leads to this package. */

import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'
import { servedModels } from './models-plugin.ts'
import { suggestions } from './suggestions-plugin.ts'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

// With these two the page is cross-origin isolated, which threads need.
const headers = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
}

export default defineConfig({
  root: here('.'),
  base: './',
  resolve: { alias: { webtern: here('../dist/index.js') } },
  plugins: [servedModels(here('.')), suggestions(here('../..'))],
  worker: { format: 'es' },
  build: { outDir: 'dist', emptyOutDir: true, target: 'es2022', assetsInlineLimit: 0 },
  server: { headers, port: 5173 },
})
