/** Headless Chromium, and what the tests do in its pages. Functions for `page.evaluate` see the library as `webtern`. */

import { readFileSync } from 'node:fs'
import type { Browser, Page } from 'playwright-core'
import type * as library from '../../../src/index.ts'
import type { LoadOptions, Model, ModelInfo } from '../../../src/types.ts'

declare global {
  /** The library, in the test page. */
  var webtern: typeof library
  /** The model under test, in the test page. */
  var model: Model
}

/** A new page with the library. */
export async function openPage(browser: Browser, url: string): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1200, height: 800 } })
  await page.goto(url)
  await page.waitForFunction(() => 'webtern' in globalThis)
  return page
}

/** Options of a load that can be sent to the page. */
export type PlainOptions = Omit<LoadOptions, 'signal' | 'onProgress'>

/** Where a model comes from: an address, or bytes that the page makes a `Blob` of. */
export type PlainSource = string | Uint8Array

/** How something ended: with an error of the library, or well. */
export interface Outcome<T> {
  readonly code: string
  readonly message: string
  readonly value?: T
}

/** Loads a model as `model`. An outcome without a failure has the code `ok`. */
export async function load(page: Page, source: PlainSource, options: PlainOptions = {}): Promise<Outcome<ModelInfo>> {
  const given = typeof source === 'string' ? source : Buffer.from(source).toString('base64')
  const isUrl = typeof source === 'string'
  return page.evaluate(
    async ({ given, isUrl, options }) => {
      try {
        const blob = () => new Blob([Uint8Array.from(atob(given), (c) => c.charCodeAt(0))])
        globalThis.model = await webtern.loadModel(isUrl ? given : blob(), options)
        return { code: 'ok', message: '', value: model.info }
      } catch (error) {
        if (error instanceof webtern.WebternError) return { code: error.code, message: error.message }
        throw error
      }
    },
    { given, isUrl, options },
  )
}

/** Loads a model that has to load. */
export async function loaded(page: Page, source: PlainSource, options: PlainOptions = {}): Promise<ModelInfo> {
  const { value, code, message } = await load(page, source, options)
  if (!value) throw new Error(`the model did not load: ${code}: ${message}`)
  return value
}

/** Waits until no worker is left in the page. */
export async function noWorkers(page: Page): Promise<void> {
  // Chromium gives a pool worker, which never returns to its event loop, two seconds.
  const deadline = Date.now() + 20_000
  while (page.workers().length > 0) {
    if (Date.now() > deadline) throw new Error(`${page.workers().length} workers are still there`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Bytes of real memory that the browser's pages use together. Linux only. */
export async function residentBytes(browser: Browser): Promise<number> {
  const session = await browser.newBrowserCDPSession()
  const { processInfo } = await session.send('SystemInfo.getProcessInfo')
  await session.detach()
  return processInfo
    .filter(({ type }) => type === 'renderer')
    .map(({ id }) => /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${id}/status`, 'utf8'))?.[1])
    .reduce((sum, kilobytes) => sum + Number(kilobytes ?? NaN) * 1024, 0)
}
