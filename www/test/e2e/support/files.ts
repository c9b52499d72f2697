/** Where things are: fixtures, made models, screenshots. */

import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const repository = fileURLToPath(new URL('../../../../', import.meta.url))
export const fixtures = process.env['WEBTERN_FIXTURES'] ?? resolve(repository, '../shared/fixtures')
/** Not committed: models made for the tests, screenshots. */
export const targetFolder = join(repository, 'target')

/** The path of a fixture. Missing: fails under CI, and skips the test elsewhere. */
export function fixture(path: string): string {
  return join(fixtures, path)
}

/** The path of a screenshot to be made. */
export function screenshotPath(name: string): string {
  const folder = join(targetFolder, 'screenshots')
  mkdirSync(folder, { recursive: true })
  return join(folder, `${name}.png`)
}
