// Collects the licenses of the crates that are compiled into webtern, and refuses those that are not on the list of
// deny.toml:
//
//   node scripts/licenses.mjs            what the command line contains, on standard output
//   node scripts/licenses.mjs --wasm     what the WebAssembly builds contain
//
// `cargo deny check` does more (advisories, duplicates), but takes longer to compile than webtern and its tests.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { parse } from 'smol-toml'
import satisfies from 'spdx-satisfies'
import { BuildError, run, runMain } from './processes.mjs'

/**
 * @typedef {object} Crate
 * @property {string} id
 * @property {string} name
 * @property {string} version
 * @property {string | null} license an SPDX expression
 * @property {string} manifest_path
 * @property {string | null} repository
 * @property {readonly { kind: readonly string[] }[]} targets
 *
 * @typedef {object} Node
 * @property {string} id
 * @property {readonly { pkg: string, dep_kinds: readonly { kind: string | null }[] }[]} deps
 *
 * @typedef {{ packages: Crate[], resolve: { root: string, nodes: Node[] } }} Metadata
 */

/** The command line is the crate's default; the WebAssembly builds have these instead. */
const WASM = ['--filter-platform', 'wasm32-unknown-unknown', '--no-default-features', '--features', 'engine,converter']

/**
 * A text with the licenses of every crate that is linked into a program.
 *
 * @param {string} root of the repository
 * @param {{ wasm: boolean }} program
 */
export async function licenseTexts(root, { wasm }) {
  const options = wasm ? WASM : []
  const output = await run('cargo', ['metadata', '--format-version', '1', ...options], { cwd: root, quiet: true })
  /** @type {Metadata} */
  const metadata = JSON.parse(output)
  const crates = linked(metadata)
  const allowed = allowedLicenses(root)
  const refused = crates.filter(({ license }) => !license || !satisfies(license.replaceAll('/', ' OR '), allowed))
  if (refused.length > 0)
    throw new BuildError(
      refused.map(({ name, license }) => `${name}: license ${license} is not in deny.toml`).join('\n'),
    )

  /** @type {Map<string, string[]>} text -> the crates that have it */
  const texts = new Map()
  for (const crate of crates) {
    const title = `${crate.name} ${crate.version} (${crate.license})`
    const found = textsOf(crate)
    const text = found === '' ? `See ${crate.repository ?? `https://crates.io/crates/${crate.name}`}` : found
    texts.set(text, [...(texts.get(text) ?? []), title])
  }
  const rule = '-'.repeat(80)
  const parts = [...texts].map(([text, titles]) => `${rule}\n${titles.join('\n')}\n\n${text}\n`)
  return `webtern contains the following crates, under the licenses that follow their names.\n\n${parts.join('\n')}`
}

/** The crates that are linked, this one aside: neither build scripts nor procedural macros, nor what only they use. */
function linked(/** @type {Metadata} */ { packages, resolve: { root, nodes } }) {
  const crates = new Map(packages.map((crate) => [crate.id, crate]))
  const graph = new Map(nodes.map((node) => [node.id, node]))
  /** @type {Set<string>} */
  const seen = new Set()
  const visit = (/** @type {string} */ id) => {
    const isMacro = crates.get(id)?.targets.some(({ kind }) => kind.includes('proc-macro')) ?? false
    if (seen.has(id) || isMacro) return
    seen.add(id)
    for (const { pkg, dep_kinds } of graph.get(id)?.deps ?? [])
      if (dep_kinds.some(({ kind }) => kind === null)) visit(pkg)
  }
  visit(root)
  seen.delete(root)
  return [...seen].flatMap((id) => crates.get(id) ?? []).sort((a, b) => a.name.localeCompare(b.name))
}

function textsOf(/** @type {Crate} */ { manifest_path, license }) {
  const folder = dirname(manifest_path)
  const files = readdirSync(folder).filter((file) => /^(licen[cs]e|copying|unlicense)/i.test(file))
  const texts = files.map((file) => readText(join(folder, file))).filter((text) => text !== '')
  if (license?.includes(' AND ')) return texts.join('\n\n')
  // Offered under several licenses, a crate is taken under the one with the shortest text, which is MIT where there is a choice.
  return texts.sort((a, b) => a.length - b.length)[0] ?? ''
}

function readText(/** @type {string} */ path) {
  try {
    return readFileSync(path, 'utf8').replaceAll('\r\n', '\n').trim()
  } catch {
    return '' // a folder of texts
  }
}

/** @returns {readonly string[]} */
function allowedLicenses(/** @type {string} */ root) {
  /** @type {any} */
  const config = parse(readFileSync(join(root, 'deny.toml'), 'utf8'))
  return config.licenses.allow
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await runMain(async () => {
    const { values } = parseArgs({ options: { wasm: { type: 'boolean', default: false } } })
    const root = fileURLToPath(new URL('../..', import.meta.url))
    console.log(await licenseTexts(root, values))
  })
}
