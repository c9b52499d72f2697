/** Where things are: fixtures, made models, screenshots. */

import { existsSync, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { it } from 'vitest'

export const repository = fileURLToPath(new URL('../../../../', import.meta.url))
export const fixtures = process.env['WEBTERN_FIXTURES'] ?? resolve(repository, '../shared/fixtures')
/** Not committed: models made for the tests, screenshots. */
export const targetFolder = join(repository, 'target')

/** The path of a fixture. Missing: fails under CI, and skips the test elsewhere. */
export function fixture(path: string): string {
  return join(fixtures, path)
}

/** `it` for tests that need `files`. Where one is missing they fail under CI, and are reported as skipped elsewhere. */
export function itNeeds(...files: readonly string[]): typeof it | typeof it.skip {
  const missing = files.find((file) => !existsSync(file))
  if (missing === undefined) return it
  if (process.env['CI'] === 'true') throw new Error(`${missing} is missing: the tests cannot run without it`)
  console.warn(`${missing} is missing: tests that need it are skipped`)
  return it.skip
}

/** The path of a screenshot to be made. */
export function screenshotPath(name: string): string {
  const folder = join(targetFolder, 'screenshots')
  mkdirSync(folder, { recursive: true })
  return join(folder, `${name}.png`)
}
