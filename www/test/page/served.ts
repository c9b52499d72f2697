/** The demo page on the stand-in library, served, with a browser page for each test. */

import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { createServer } from 'vite'
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from 'vitest'
import { startBrowser } from '../chromium.ts'

interface Served {
  /** Ends in a slash. */
  readonly url: string
  readonly browser: Browser
  close(): Promise<void>
}

async function servePage(): Promise<Served> {
  const server = await createServer({
    configFile: fileURLToPath(new URL('vite.config.ts', import.meta.url)),
    logLevel: 'error',
    server: { port: 0 },
  })
  await server.listen()
  const browser = await startBrowser()
  return {
    url: server.resolvedUrls?.local[0] ?? '',
    browser,
    async close() {
      await browser.close()
      await server.close()
    },
  }
}

/**
 * Serves the page to the tests of a file, and gives each one a browser page through `use`, in which no error may go uncaught. The
 * result is the page's address, once a test runs.
 */
export function onPages(use: (page: Page) => void): { readonly url: string } {
  vi.setConfig({ testTimeout: 30_000 })
  let served: Served
  let page: Page
  let errors: string[]

  beforeAll(async () => {
    served = await servePage()
  }, 60_000)

  afterAll(() => served.close())

  beforeEach(async () => {
    page = await served.browser.newPage({ viewport: { width: 1200, height: 800 } })
    page.setDefaultTimeout(15_000)
    errors = []
    page.on('pageerror', (error) => errors.push(error.message))
    use(page)
  })

  afterEach(async () => {
    await page.close()
    expect(errors).toEqual([])
  })

  return {
    get url() {
      return served.url
    },
  }
}
