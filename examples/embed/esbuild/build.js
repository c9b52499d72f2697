import { cpSync } from 'node:fs'
import { build } from 'esbuild'

await build({ entryPoints: ['src/main.js'], bundle: true, format: 'esm', target: 'es2022', outdir: 'dist' })

// esbuild leaves `new URL(..., import.meta.url)` as it is, so these files go beside its output.
for (const file of ['worker.js', 'pool-worker.js', 'wasm', 'tiny.gguf']) {
  cpSync(`node_modules/webtern/dist/${file}`, `dist/${file}`, { recursive: true })
}
