// Serves the demo page, after compiling what it needs:
//
//   the engine with threads, for browsers with and without relaxed SIMD -> the page is served
//   the converter, while the page runs already                          -> reload the page to convert in it
//
// Compiled for a quick start (profile wasm-dev): the package of `make build` is smaller and a little faster.
//
//   node scripts/demo.mjs [--port N]

import { existsSync } from 'node:fs'
import { setPriority } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { readMatrix } from './matrix.mjs'
import { bundle } from './package.mjs'
import { run, runMain } from './processes.mjs'
import { serve } from './serve.mjs'
import { compile, locate } from './wasm.mjs'

const PROFILE = 'wasm-dev'
const root = fileURLToPath(new URL('../..', import.meta.url))
const www = join(root, 'www')

await runMain(async () => {
  const { values } = parseArgs({ options: { port: { type: 'string', default: '4173' } } })
  const builds = readMatrix(root)
  const engines = builds.filter(({ role, threads }) => role === 'engine' && threads)
  const converter = builds.filter(({ role }) => role === 'converter')
  const page = [...engines, ...converter].map((build) => locate(root, build, PROFILE))

  console.log('1. The engine: minutes the first time, then seconds')
  await compile(root, engines, PROFILE)
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
  await run(join(www, 'node_modules/.bin/vite'), ['build', 'demo', '--logLevel', 'warn'], { cwd: www })
}
