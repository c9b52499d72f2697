/** `test` with fixtures: a web server and a browser per file, a page per test. */

import { existsSync } from 'node:fs'
import { test as base } from 'vitest'
import { startBrowser } from '../../chromium.ts'
import { openPage } from './browser.ts'
import { startSite } from './site.ts'

export const test = base
  .extend('site', { scope: 'file' }, async ({}, { onCleanup }) => {
    const site = await startSite()
    onCleanup(() => site.close())
    return site
  })
  .extend('browser', { scope: 'file' }, async ({}, { onCleanup }) => {
    const browser = await startBrowser()
    onCleanup(() => browser.close())
    return browser
  })
  /** A new page with the library. */
  .extend('page', async ({ browser, site }, { onCleanup }) => {
    const page = await openPage(browser, site.url)
    onCleanup(() => page.close())
    return page
  })

/** `test` that needs `files`. Where one is missing, it fails under CI and is skipped elsewhere. */
export function itNeeds(...files: readonly string[]): typeof test.skip {
  const missing = files.find((file) => !existsSync(file))
  if (missing === undefined) return test
  if (process.env['CI'] === 'true') throw new Error(`${missing} is missing: the tests cannot run without it`)
  console.warn(`${missing} is missing: tests that need it are skipped`)
  return test.skip
}
