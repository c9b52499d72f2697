// Builds the npm package into www/dist:
//
//   wasm-pack.toml -> cargo -> wasm-bindgen -> wasm-opt -> www/wasm/<artefact>/   one table, one artefact
//   src/*.ts + the artefacts found there -> esbuild, tsc -> www/dist/
//   models/tiny/tiny.gguf -> www/dist/
//
// `--skip-wasm` builds the scripts only, around whatever artefacts are there; `--bench` only the artefact that times kernels,
// which is not part of the package.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { parse } from 'smol-toml'

const www = fileURLToPath(new URL('..', import.meta.url))
const root = dirname(www.replace(/\/$/, ''))
const dist = join(www, 'dist')
const TARGET = 'wasm32-unknown-unknown'
const ROLES = ['engine', 'converter', 'bench']
const KEYS = [
  ...['role', 'toolchain', 'needs', 'threads', 'target-features'],
  ...['link-args', 'cargo-args', 'wasm-opt-args', 'out-dir'],
]

// Loop strength reduction makes an addition of every constant offset, which the address of a load has room for: 4 % of the kernels.
// Vectors are combined into one load and four shuffles where four loads that repeat one value cost less.
const TUNING = ['-Cllvm-args=-disable-lsr -disable-vector-combine']

const args = new Set(process.argv.slice(2))
const skipWasm = args.delete('--skip-wasm')
const bench = args.delete('--bench')
if (args.size > 0) fail(`unknown arguments: ${[...args].join(' ')}; there are --skip-wasm and --bench`)

const artefacts = readMatrix(join(root, 'wasm-pack.toml')).filter(({ table }) => (table.role === 'bench') === bench)
if (!skipWasm) for (const artefact of artefacts) buildWasm(artefact)
if (!bench) {
  const built = artefacts.filter(({ wasm }) => existsSync(wasm))
  for (const { name } of artefacts.filter((artefact) => !built.includes(artefact))) {
    console.warn(`build: ${name} has not been built, so the package is without it`)
  }
  await buildPackage(built)
}

// ---- wasm-pack.toml

/** The tables of wasm-pack.toml, each with its name and paths. A key too many or too few is a mistake. */
function readMatrix(path) {
  const { artefact: tables, ...others } = parse(readFileSync(path, 'utf8'))
  if (Object.keys(others).length > 0) fail(`wasm-pack.toml: unknown tables ${Object.keys(others).join(', ')}`)
  return Object.entries(tables).map(([name, table]) => {
    const wrong = KEYS.filter((key) => !(key in table)).concat(Object.keys(table).filter((key) => !KEYS.includes(key)))
    if (wrong.length > 0) fail(`wasm-pack.toml: artefact ${name}: missing or unknown: ${wrong.join(', ')}`)
    if (!ROLES.includes(table.role)) fail(`wasm-pack.toml: artefact ${name}: role must be one of ${ROLES.join(', ')}`)
    const outDir = join(root, table['out-dir'])
    return { name, table, outDir, wasm: join(outDir, 'webtern_bg.wasm') }
  })
}

// ---- one artefact

function buildWasm({ name, table, outDir, wasm }) {
  const rustflags = [
    `-Ctarget-feature=${table['target-features'].join(',')}`,
    ...TUNING,
    ...table['link-args'].map((arg) => `-Clink-arg=${arg}`),
  ]
  const options = ['--target', TARGET, '--release', '--lib', '--no-default-features', '--features', table.role]
  const cargo = [`+${table.toolchain}`, 'build', ...options, ...table['cargo-args']]
  run('cargo', cargo, { CARGO_ENCODED_RUSTFLAGS: rustflags.join('\x1f') })
  const raw = join(targetDirectory(), TARGET, 'release', 'webtern.wasm')

  // wasm-opt takes longer than all the rest: not twice for the same input.
  const stamp = join(outDir, 'input.sha256')
  const input = createHash('sha256').update(readFileSync(raw)).update(JSON.stringify(table)).digest('hex')
  if (existsSync(wasm) && existsSync(stamp) && readFileSync(stamp, 'utf8') === input)
    return console.log(`${name}: unchanged`)

  rmSync(outDir, { recursive: true, force: true })
  mkdirSync(outDir, { recursive: true })
  checkBindgen()
  run('wasm-bindgen', [
    '--target',
    'web',
    '--omit-default-module-path',
    '--no-typescript',
    '--out-name',
    'webtern',
    '--out-dir',
    outDir,
    raw,
  ])
  run(join(www, 'node_modules/.bin/wasm-opt'), ['-O3', ...table['wasm-opt-args'], wasm, '-o', wasm])
  writeFileSync(stamp, input)
}

function targetDirectory() {
  const metadata = capture('cargo', ['metadata', '--format-version', '1', '--no-deps'])
  return JSON.parse(metadata).target_directory
}

/** The tool and the crate must be of one version, or the module is refused with a message that helps nobody. */
function checkBindgen() {
  const crate = /name = "wasm-bindgen"\nversion = "([^"]+)"/.exec(readFileSync(join(root, 'Cargo.lock'), 'utf8'))?.[1]
  const tool = capture('wasm-bindgen', ['--version']).trim().split(' ')[1]
  if (tool !== crate)
    fail(`wasm-bindgen ${crate} is needed and ${tool} is installed: cargo install --locked wasm-bindgen-cli@${crate}`)
}

// ---- the package

async function buildPackage(built) {
  rmSync(dist, { recursive: true, force: true })
  for (const { name, wasm } of built) cpSync(wasm, join(dist, 'wasm', name, basename(wasm)))
  cpSync(join(root, 'models/tiny/tiny.gguf'), join(dist, 'tiny.gguf'))
  await build({
    absWorkingDir: www,
    entryPoints: ['src/index.ts', 'src/worker.ts', 'src/pool-worker.ts'],
    outdir: dist,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    sourcemap: true,
    logLevel: 'warning',
    logOverride: { 'import-is-undefined': 'error' },
    plugins: [buildsModule(built)],
  })
  run(join(www, 'node_modules/.bin/tsc'), ['--project', join(www, 'tsconfig.build.json')])
  const sizes = Object.fromEntries(built.map(({ name, wasm }) => [name, sizesOf(wasm)]))
  for (const file of ['index.js', 'worker.js', 'pool-worker.js', 'tiny.gguf']) sizes[file] = sizesOf(join(dist, file))
  writeFileSync(join(dist, 'sizes.json'), `${JSON.stringify(sizes, null, 2)}\n`)
  console.table(sizes)
}

/** Replaces src/builds.js. The URLs are literal, so that bundlers find the files. */
function buildsModule(built) {
  const glue = ({ outDir }) => JSON.stringify(join(outDir, 'webtern.js'))
  const entry = ({ name, table: { needs, threads } }, i) => `{
    name: ${JSON.stringify(name)}, needs: ${JSON.stringify(needs)}, threads: ${JSON.stringify(threads)},
    path: '${name}/webtern_bg.wasm', url: () => new URL('./wasm/${name}/webtern_bg.wasm', import.meta.url),
    async instantiate(module, shared) {
      const { memory } = await glue${i}.default({ module_or_path: module, memory: shared })
      return { ...glue${i}, memory: shared ?? memory }
    },
  }`
  const list = (role) =>
    built.flatMap((artefact, i) => (artefact.table.role === role ? entry(artefact, i) : [])).join(', ')
  const contents = `${built.map((artefact, i) => `import * as glue${i} from ${glue(artefact)}\n`).join('')}
export const builds = { engine: [${list('engine')}], converter: [${list('converter')}] }`
  return {
    name: 'builds',
    setup(esbuild) {
      esbuild.onResolve({ filter: /^\.\/builds\.js$/ }, () => ({ path: 'builds', namespace: 'builds' }))
      esbuild.onLoad({ filter: /.*/, namespace: 'builds' }, () => ({ contents, resolveDir: www }))
    },
  }
}

function sizesOf(path) {
  const bytes = readFileSync(path)
  const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }
  return {
    bytes: bytes.length,
    gzip: gzipSync(bytes, { level: 9 }).length,
    brotli: brotliCompressSync(bytes, quality).length,
  }
}

// ---- processes

function run(command, args, env = {}) {
  console.log(`> ${[basename(command), ...args].join(' ')}`)
  finished(command, spawnSync(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } }))
}

function capture(command, args) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 })
  finished(command, result)
  return result.stdout
}

function finished(command, { error, status }) {
  if (error) fail(`${command} could not be run: ${error.message}`)
  if (status !== 0) fail(`${basename(command)} failed with status ${status}`)
}

function fail(message) {
  console.error(`build: ${message}`)
  process.exit(1)
}
