/**
 * The build matrix: what `wasm-pack.toml` says, and all that follows from it.
 *
 * @typedef {'engine' | 'converter' | 'bench'} Role
 *
 * @typedef {object} Build
 * @property {string} name
 * @property {Role} role
 * @property {readonly string[]} needs WebAssembly features that the browser must have
 * @property {boolean} threads
 * @property {readonly string[]} crateFeatures
 * @property {readonly string[]} cargoArgs toolchain, then options of `cargo rustc`
 * @property {readonly string[]} rustflags of every crate
 * @property {readonly string[]} rustcArgs of this crate alone
 * @property {readonly string[]} wasmOptArgs
 *
 * @typedef {object} Settings a [common] or [threads] table
 * @property {string | undefined} toolchain
 * @property {readonly string[]} targetFeatures
 * @property {readonly string[]} cargoArgs
 * @property {readonly string[]} rustcArgs
 * @property {readonly string[]} wasmOptArgs
 *
 * @typedef {Record<string, unknown>} Table
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'smol-toml'
import { BuildError } from './processes.mjs'

/** Names of a feature in `needs` -> what wasm-opt calls it. */
const WASM_OPT_FEATURES = new Map([
  ['simd128', '--enable-simd'],
  ['relaxed-simd', '--enable-relaxed-simd'],
])

/** The builds of `wasm-pack.toml`, in its order. An unknown key is a mistake. */
export function readMatrix(/** @type {string} */ root) {
  const file = parse(readFileSync(join(root, 'wasm-pack.toml'), 'utf8'))
  expectKeys('wasm-pack.toml', file, ['common', 'threads', 'build'])
  const common = settings('[common]', table('[common]', file['common']))
  const threads = settings('[threads]', table('[threads]', file['threads']))
  const entries = Object.entries(table('[build]', file['build'])).map(([name, value]) => entry(name, value))
  const everywhere = (entries[0]?.needs ?? []).filter((feature) =>
    entries.every(({ needs }) => needs.includes(feature)),
  )
  return entries.map((build) => derive(build, everywhere, build.threads ? [common, threads] : [common]))
}

/**
 * @param {Pick<Build, 'name' | 'role' | 'needs' | 'threads'>} build
 * @param {readonly string[]} everywhere features that every build needs: dependencies are compiled with these, so that
 *   builds share them
 * @param {readonly Settings[]} layers
 * @returns {Build}
 */
function derive(build, everywhere, layers) {
  const toolchain = layers.flatMap(({ toolchain }) => (toolchain === undefined ? [] : [`+${toolchain}`])).slice(-1)
  const own = build.needs.filter((feature) => !everywhere.includes(feature))
  return {
    ...build,
    crateFeatures: [build.role, ...own],
    cargoArgs: [...toolchain, 'rustc', ...layers.flatMap(({ cargoArgs }) => cargoArgs)],
    rustflags: targetFeatures([...everywhere, ...layers.flatMap(({ targetFeatures }) => targetFeatures)]),
    rustcArgs: [...targetFeatures(own), ...layers.flatMap(({ rustcArgs }) => rustcArgs)],
    wasmOptArgs: [
      ...layers.flatMap(({ wasmOptArgs }) => wasmOptArgs),
      ...build.needs.flatMap((feature) => WASM_OPT_FEATURES.get(feature) ?? []),
    ],
  }
}

function targetFeatures(/** @type {readonly string[]} */ features) {
  return features.length === 0 ? [] : [`-Ctarget-feature=${features.map((feature) => `+${feature}`).join(',')}`]
}

// ---- reading tables

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {Pick<Build, 'name' | 'role' | 'needs' | 'threads'>}
 */
function entry(name, value) {
  const where = `build ${name}`
  const given = table(where, value)
  expectKeys(where, given, ['role', 'needs', 'threads'])
  const { role, threads } = given
  if (role !== 'engine' && role !== 'converter' && role !== 'bench')
    fail(where, 'role must be engine, converter or bench')
  if (typeof threads !== 'boolean') fail(where, 'threads must be true or false')
  const needs = strings(where, given, 'needs')
  const unknown = needs.filter((feature) => !WASM_OPT_FEATURES.has(feature))
  if (unknown.length > 0) fail(where, `unknown features ${unknown.join(', ')}`)
  return { name, role, needs, threads }
}

/**
 * @param {string} where
 * @param {Table} given
 * @returns {Settings}
 */
function settings(where, given) {
  expectKeys(where, given, ['toolchain', 'target-features', 'cargo-args', 'rustc-args', 'wasm-opt-args'])
  const { toolchain } = given
  if (toolchain !== undefined && typeof toolchain !== 'string') fail(where, 'toolchain must be a string')
  return {
    toolchain,
    targetFeatures: strings(where, given, 'target-features'),
    cargoArgs: strings(where, given, 'cargo-args'),
    rustcArgs: strings(where, given, 'rustc-args'),
    wasmOptArgs: strings(where, given, 'wasm-opt-args'),
  }
}

/**
 * @param {string} where
 * @param {Table} given
 * @param {string} key
 * @returns {string[]} none where the key is missing
 */
function strings(where, given, key) {
  const value = given[key] ?? []
  if (!Array.isArray(value)) fail(where, `${key} must be a list of strings`)
  return value.map((item) => (typeof item === 'string' ? item : fail(where, `${key} must be a list of strings`)))
}

/**
 * @param {string} where
 * @param {unknown} value
 * @returns {Table}
 */
function table(where, value) {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(where, 'a table is missing')
  return { ...value }
}

/**
 * @param {string} where
 * @param {Table} given
 * @param {readonly string[]} keys
 */
function expectKeys(where, given, keys) {
  const unknown = Object.keys(given).filter((key) => !keys.includes(key))
  if (unknown.length > 0) fail(where, `unknown keys ${unknown.join(', ')}; there are ${keys.join(', ')}`)
}

/**
 * @param {string} where
 * @param {string} message
 * @returns {never}
 */
function fail(where, message) {
  throw new BuildError(`wasm-pack.toml: ${where}: ${message}`)
}
