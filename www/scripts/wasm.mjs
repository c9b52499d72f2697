/**
 * From the crate to what a page fetches: cargo, then bindgen, then wasm-opt. Builds of one toolchain share its target
 * folder and are compiled one after another; the two toolchains, and what comes after cargo, run side by side.
 *
 * @typedef {import('./matrix.mjs').Build} Build
 * @typedef {'wasm' | 'wasm-dev'} Profile of Cargo.toml. Only `wasm` goes through wasm-opt, which takes longer than the rest
 *
 * @typedef {object} Compiled
 * @property {Build} build
 * @property {string} wasm path of the module
 * @property {string} glue path of its script
 */

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { logStep, run } from './processes.mjs'

const TARGET = 'wasm32-unknown-unknown'

/**
 * Compiles `builds`, in their order.
 *
 * @param {string} root of the repository
 * @param {readonly Build[]} builds
 * @param {Profile} profile
 * @returns {Promise<boolean>} whether one of them was not there yet, or has changed
 */
export async function compile(root, builds, profile) {
  const target = await targetFolder(root)
  const bindgen = buildBindgen(root, target)
  const lane = async (/** @type {boolean} */ threads) => {
    const finished = []
    for (const build of builds.filter((build) => build.threads === threads)) {
      const raw = await cargo(root, target, build, profile)
      finished.push(finish(root, build, profile, raw, bindgen))
      // A failure is reported by the `await` below; until then it must not count as unhandled.
      finished.at(-1)?.catch(() => undefined)
    }
    return (await Promise.all(finished)).includes(true)
  }
  const [changed] = await Promise.all([Promise.all([lane(true), lane(false)]), bindgen])
  return changed.includes(true)
}

/**
 * Where a build is, or would be.
 *
 * @param {string} root
 * @param {Build} build
 * @param {Profile} profile
 * @returns {Compiled}
 */
export function locate(root, build, profile) {
  const folder = join(root, 'www', profile, build.name)
  return { build, wasm: join(folder, 'webtern_bg.wasm'), glue: join(folder, 'webtern.js') }
}

/**
 * @param {string} root
 * @param {string} target
 * @param {Build} build
 * @param {Profile} profile
 * @returns {Promise<string>} path of the module
 */
async function cargo(root, target, build, profile) {
  const { name, crateFeatures, threads, cargoArgs, rustflags, rustcArgs } = build
  const folder = threads ? join(target, 'threads') : target
  const what = ['--lib', '--crate-type', 'cdylib', '--no-default-features', '--features', crateFeatures.join()]
  const how = ['--profile', profile, '--target', TARGET, '--target-dir', folder]
  logStep(build.name, `cargo, profile ${profile}`)
  await run('cargo', [...cargoArgs, ...how, ...what, '--', ...rustcArgs], {
    cwd: root,
    env: { CARGO_ENCODED_RUSTFLAGS: rustflags.join('\x1f') },
    label: name,
  })
  return join(folder, TARGET, profile, 'webtern.wasm')
}

/**
 * Writes the module that pages fetch, and its script, unless they are there already.
 *
 * @param {string} root
 * @param {Build} build
 * @param {Profile} profile
 * @param {string} module path of cargo's module, which is read before this function first waits
 * @param {Promise<string>} bindgen
 * @returns {Promise<boolean>} whether it wrote them
 */
async function finish(root, build, profile, module, bindgen) {
  const { wasm } = locate(root, build, profile)
  const folder = dirname(wasm)
  const linked = readFileSync(module)

  const stamp = join(folder, 'input.sha256')
  const input = createHash('sha256').update(linked).update(JSON.stringify(build)).digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === input) {
    logStep(build.name, 'unchanged')
    return false
  }

  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const unbound = join(folder, 'linked.wasm')
  writeFileSync(unbound, linked)
  const options = { cwd: root, label: build.name }
  logStep(build.name, 'bindgen')
  await run(await bindgen, [unbound, folder], options)
  rmSync(unbound)
  if (profile === 'wasm') {
    logStep(build.name, 'wasm-opt')
    await run(join(root, 'www/node_modules/.bin/wasm-opt'), [...build.wasmOptArgs, wasm, '-o', wasm], options)
  }
  writeFileSync(stamp, input)
  logStep(build.name, 'done')
  return true
}

/**
 * @param {string} root
 * @param {string} target
 */
async function buildBindgen(root, target) {
  await run('cargo', ['build', '--profile', 'tool', '--package', 'bindgen'], { cwd: root, label: 'bindgen' })
  return join(target, 'tool', process.platform === 'win32' ? 'bindgen.exe' : 'bindgen')
}

/** @returns {Promise<string>} cargo's target folder */
async function targetFolder(/** @type {string} */ root) {
  const metadata = await run('cargo', ['metadata', '--format-version', '1', '--no-deps'], { cwd: root, quiet: true })
  /** @type {{ target_directory: string }} */
  const { target_directory } = JSON.parse(metadata)
  return target_directory
}
