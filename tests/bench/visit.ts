/**
 * A visit: one engine in a browser of its own. So nothing carries over from one measurement to the next, and what hangs or crashes
 * ends with its browser.
 */

import type { Browser, Page } from 'playwright-core'
import { startBrowser } from '../../www/test/chromium.js'
import { BenchError } from './errors.js'
import type {} from './page/bench.js'

/** How long a browser may take to end by itself. */
const CLOSING_MS = 10_000

/** A step of a visit that did not work out. */
export class StepError extends Error {
  override readonly name = 'StepError'
  readonly step: string

  constructor(step: string, reason: string) {
    super(reason)
    this.step = step
  }

  override toString(): string {
    return `${this.step}: ${this.message}`
  }
}

/**
 * The version of the browser that visits will have.
 *
 * @throws {BenchError} `missing` when there is none
 */
export async function browserVersion(): Promise<string> {
  try {
    const browser = await startBrowser()
    const version = browser.version()
    await browser.close()
    return version
  } catch (error) {
    throw new BenchError('missing', `Chromium cannot be started, CHROMIUM must be its path: ${firstLine(error)}`)
  }
}

/** Somebody on a page. */
export interface Visitor {
  readonly browser: Browser
  /**
   * Does a part of the visit, within the time limit.
   *
   * @throws {StepError} whatever went wrong
   */
  readonly step: <T>(name: string, work: (page: Page) => Promise<T>) => Promise<T>
  /** Stops all of the browser, as if it were not there, or lets it go on. Where the system cannot do that, it is only idle. */
  readonly hold: (held: boolean) => void
  /** Ends the browser. */
  readonly leave: () => Promise<void>
}

/** What a page offers when it is ready. */
export type Offer = 'bench' | 'timeKernels'

/**
 * Opens a page in a new browser and waits until it offers what it should.
 *
 * @throws {StepError} when it does not
 */
export async function arrive(address: string, offer: Offer, timeoutMs: number): Promise<Visitor> {
  const browser = await startBrowser()
  const pid = await pidOf(browser).catch(() => undefined)
  // The browser leads a group, which all its processes belong to.
  const hold = (held: boolean): void => signal(pid && -pid, held ? 'SIGSTOP' : 'SIGCONT')
  const leave = (): Promise<void> => {
    hold(false)
    return end(browser, pid)
  }
  try {
    const page = await browser.newPage()
    // A page's own limit would end steps with another message.
    page.setDefaultTimeout(0)
    const step = <T>(name: string, work: (page: Page) => Promise<T>): Promise<T> => limited(name, timeoutMs, work(page))
    await step('page', async (page) => {
      await page.goto(address)
      await page.waitForFunction((offer) => offer in globalThis, offer)
    })
    return { browser, step, hold, leave }
  } catch (error) {
    await leave()
    throw error
  }
}

/** Arrives, and leaves when `work` is done. */
export async function visit<T>(
  address: string,
  offer: Offer,
  timeoutMs: number,
  work: (visitor: Visitor) => Promise<T>,
): Promise<T> {
  const visitor = await arrive(address, offer, timeoutMs)
  try {
    return await work(visitor)
  } finally {
    await visitor.leave()
  }
}

async function limited<T>(step: string, timeoutMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new StepError(step, `timed out after ${timeoutMs / 1000} s`)), timeoutMs)
  })
  try {
    return await Promise.race([work, timeout])
  } catch (error) {
    throw error instanceof StepError ? error : new StepError(step, firstLine(error))
  } finally {
    clearTimeout(timer)
  }
}

/** An error of the page comes with the stack of the page, and Playwright's words before it. */
function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return (text.split('\n')[0] ?? '').replace(/^page\.\w+: /, '')
}

/** Closes a browser, by force if need be. */
async function end(browser: Browser, pid: number | undefined): Promise<void> {
  const closed = await Promise.race([
    browser.close().then(() => true),
    new Promise<false>((resolve) => setTimeout(resolve, CLOSING_MS, false).unref()),
  ])
  if (!closed) signal(pid, 'SIGKILL')
}

/** Signals a process, or the group of a negative number. */
function signal(id: number | undefined, name: NodeJS.Signals): void {
  if (id === undefined) return
  try {
    process.kill(id, name)
  } catch {
    // It has ended in the meantime, or the system has no such thing.
  }
}

async function pidOf(browser: Browser): Promise<number | undefined> {
  const session = await browser.newBrowserCDPSession()
  const { processInfo } = await session.send('SystemInfo.getProcessInfo')
  return processInfo.find(({ type }) => type === 'browser')?.id
}
