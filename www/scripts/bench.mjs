// Runs tests/bench in a browser: bundles its TypeScript to a place from where Node finds this package's dependencies, and starts it.
//
//   npm run bench -- [options]      the options are in tests/bench/options.ts

import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('../..', import.meta.url))
const cache = join(root, 'www/node_modules/.cache/webtern-bench')
const outfile = join(cache, 'main.mjs')
await build({
  entryPoints: [join(root, 'tests/bench/main.ts')],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  packages: 'external',
  // The tsconfig.json there says where the declarations are; the code is found from the outfile.
  tsconfigRaw: {},
  sourcemap: 'inline',
  logLevel: 'warning',
})
const { main } = await import(pathToFileURL(outfile).href)
process.exitCode = await main(process.argv.slice(2), root, join(cache, 'page'))
