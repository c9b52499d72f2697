/** The engines that are compared, as the harness knows them. What they do in the page is in `page/`. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BenchError } from './errors.js'

/** The one that the others are compared with. */
export const OURS = 'webtern'

/** Names, which are those of the page scripts, and packages in `www/node_modules`. */
const PACKAGES = new Map([
  [OURS, '..'],
  ['wllama-3', '@wllama/wllama'],
  ['wllama-2', 'wllama-2'],
])

export const ENGINES: readonly string[] = [...PACKAGES.keys()]

/** Name and version of an engine, for people. */
export function titleOf(engine: string, www: string): string {
  const path = join(www, 'node_modules', PACKAGES.get(engine) ?? engine, 'package.json')
  const parse: (text: string) => { readonly version: string } = JSON.parse
  try {
    return `${engine.replace(/-\d+$/, '')} ${parse(readFileSync(path, 'utf8')).version}`
  } catch {
    throw new BenchError('missing', `${path} is missing: run npm ci in ${www}`)
  }
}
