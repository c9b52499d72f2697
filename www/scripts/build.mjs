// Makes the npm package in www/dist:
//
//   wasm-pack.toml -> cargo -> bindgen -> wasm-opt -> www/wasm/<build>/    matrix.mjs, wasm.mjs
//   src/*.ts + the builds found there -> esbuild, tsc -> www/dist/         package.mjs
//   models/tiny/tiny.gguf -> www/dist/
//
// `--skip-wasm` packs whatever builds are there; `--bench` compiles only the build that times kernels, which is not part
// of the package.

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { readMatrix } from './matrix.mjs'
import { buildPackage } from './package.mjs'
import { runMain } from './processes.mjs'
import { compile, locate } from './wasm.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))

await runMain(async () => {
  const { values } = parseArgs({ options: { 'skip-wasm': { type: 'boolean' }, bench: { type: 'boolean' } } })
  const builds = readMatrix(root).filter(({ role }) => (role === 'bench') === (values.bench ?? false))
  if (!values['skip-wasm']) await compile(root, builds, 'wasm')
  if (values.bench) return
  const located = builds.map((build) => locate(root, build, 'wasm'))
  const compiled = located.filter(({ wasm }) => existsSync(wasm))
  for (const { build } of located.filter((one) => !compiled.includes(one)))
    console.warn(`${build.name} is not compiled, so the package is without it`)
  await buildPackage(root, compiled)
})
