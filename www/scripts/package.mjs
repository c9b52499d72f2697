/**
 * The npm package, in www/dist: the scripts of src/ bundled around the builds, their declarations, and the embedded model.
 *
 * @typedef {import('./wasm.mjs').Compiled} Compiled
 * @typedef {import('./matrix.mjs').Role} Role
 *
 * @typedef {object} Size in bytes
 * @property {number} bytes
 * @property {number} gzip
 * @property {number} brotli
 */

import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { licenseTexts } from './licenses.mjs'
import { run } from './processes.mjs'

const SCRIPTS = ['index', 'worker', 'pool-worker']

/** The whole package around `compiled`, which may be none. */
export async function buildPackage(/** @type {string} */ root, /** @type {readonly Compiled[]} */ compiled) {
  const www = join(root, 'www')
  const dist = await bundle(root, compiled)
  await run(join(www, 'node_modules/.bin/tsc'), ['--project', join(www, 'tsconfig.build.json')], { cwd: www })
  const sizes = Object.fromEntries([
    ...compiled.map(({ build, wasm }) => [build.name, sizeOf(wasm)]),
    ...[...SCRIPTS.map((name) => `${name}.js`), 'tiny.gguf'].map((file) => [file, sizeOf(join(dist, file))]),
  ])
  for (const file of ['LICENSE-MIT', 'LICENSE-APACHE']) cpSync(join(root, file), join(dist, file))
  writeFileSync(join(dist, 'THIRD-PARTY.txt'), await licenseTexts(root, { wasm: true }))
  writeFileSync(join(dist, 'sizes.json'), `${JSON.stringify(sizes, null, 2)}\n`)
  console.table(sizes)
}

/** What runs of the package, without declarations, licenses and sizes. Returns its folder. */
export async function bundle(/** @type {string} */ root, /** @type {readonly Compiled[]} */ compiled) {
  const www = join(root, 'www')
  const dist = join(www, 'dist')
  rmSync(dist, { recursive: true, force: true })
  for (const { build, wasm } of compiled) cpSync(wasm, join(dist, 'wasm', build.name, basename(wasm)))
  cpSync(join(root, 'models/tiny/tiny.gguf'), join(dist, 'tiny.gguf'))
  await build({
    absWorkingDir: www,
    entryPoints: SCRIPTS.map((name) => `src/${name}.ts`),
    outdir: dist,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    sourcemap: true,
    logLevel: 'warning',
    logOverride: { 'import-is-undefined': 'error' },
    plugins: [buildsModule(www, compiled)],
  })
  return dist
}

/**
 * Replaces src/builds.js. The URLs are literal, so that bundlers find the files.
 *
 * @param {string} www
 * @param {readonly Compiled[]} compiled
 * @returns {import('esbuild').Plugin}
 */
function buildsModule(www, compiled) {
  const entry = (/** @type {Compiled} */ { build: { name, needs, threads } }, /** @type {number} */ i) => `{
    name: ${JSON.stringify(name)}, needs: ${JSON.stringify(needs)}, threads: ${JSON.stringify(threads)},
    path: '${name}/webtern_bg.wasm', url: () => new URL('./wasm/${name}/webtern_bg.wasm', import.meta.url),
    async instantiate(module, shared) {
      const { memory } = await glue${i}.default({ module_or_path: module, memory: shared })
      return { ...glue${i}, memory: shared ?? memory }
    },
  }`
  const list = (/** @type {Role} */ role) =>
    compiled.flatMap((one, i) => (one.build.role === role ? entry(one, i) : [])).join(', ')
  const imports = compiled.map(({ glue }, i) => `import * as glue${i} from ${JSON.stringify(glue)}\n`).join('')
  const contents = `${imports}export const builds = { engine: [${list('engine')}], converter: [${list('converter')}] }`
  return {
    name: 'builds',
    setup(esbuild) {
      esbuild.onResolve({ filter: /^\.\/builds\.js$/ }, () => ({ path: 'builds', namespace: 'builds' }))
      esbuild.onLoad({ filter: /.*/, namespace: 'builds' }, () => ({ contents, resolveDir: www }))
    },
  }
}

/** @returns {Size} */
function sizeOf(/** @type {string} */ path) {
  const bytes = readFileSync(path)
  const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }
  return {
    bytes: bytes.length,
    gzip: gzipSync(bytes, { level: 9 }).length,
    brotli: brotliCompressSync(bytes, quality).length,
  }
}
