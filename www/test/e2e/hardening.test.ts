/** What can happen to workers, and what a strict page allows: every promise settles, and the next load works. */

import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startBrowser } from '../chromium.ts'
import { load, loaded, noWorkers, openPage, residentBytes } from './support/browser.ts'
import { tinyLlama, write } from './support/gguf.ts'
import { startSite, type Site } from './support/site.ts'
import { withMemoryCap } from './support/wasm.ts'

const { bytes } = write(tinyLlama())
let browser: Browser
let site: Site
let page: Page

beforeAll(async () => {
  site = await startSite()
  browser = await startBrowser()
})

afterAll(async () => {
  await browser.close()
  await site.close()
})

beforeEach(async () => {
  page = await openPage(browser, site.url)
})

afterEach(async () => {
  await page.close()
})

/** The tokens of a short generation by a new model, which is unloaded again. */
async function fresh(): Promise<string> {
  await loaded(page, bytes)
  const tokens = await page.evaluate(async () => {
    const { tokens } = await model.generate({ prompt: 'et', mode: 'ar', maxTokens: 8 }).result()
    await model.unload()
    return tokens.join()
  })
  await noWorkers(page)
  return tokens
}

/** Starts `count` generations in the page and gives the code of each, `ok` for one that ends well. */
function generations(count: number): Promise<string[]> {
  return page.evaluate(async (count) => {
    const runs = Array.from({ length: count }, (_, seed) =>
      model.generate({ prompt: 'e', maxTokens: 100, temperature: 1, seed }).result(),
    )
    const codeOf = (error: unknown): string => (error instanceof webtern.WebternError ? error.code : String(error))
    return Promise.all(runs.map((run) => run.then(() => 'ok', codeOf)))
  }, count)
}

describe('a worker', () => {
  it.each([0, 3, 30])('that the browser ends %s ms into its work', async (after) => {
    const before = await fresh()
    await loaded(page, bytes)
    const outcomes = generations(300)
    await new Promise((resolve) => setTimeout(resolve, after))
    // It never answers, as it is no more.
    for (const worker of page.workers()) void worker.evaluate(() => close()).catch(() => undefined)
    const codes = await outcomes
    expect(codes.at(-1)).toBe('crashed')
    expect(new Set(codes).size).toBeLessThanOrEqual(2)
    await noWorkers(page)
    expect(await fresh()).toBe(before)
  })

  it('that the browser ends while it loads', async () => {
    const url = site.route('fault/stuck.gguf', (_, response) => response.write(bytes.subarray(0, 5000)))
    const outcome = load(page, url)
    while (page.workers().length === 0) await new Promise((resolve) => setTimeout(resolve, 20))
    await new Promise((resolve) => setTimeout(resolve, 500))
    for (const worker of page.workers()) void worker.evaluate(() => close()).catch(() => undefined)
    expect(await outcome).toMatchObject({ code: 'crashed' })
    await noWorkers(page)
    await fresh()
  })

  it.each(['result', 'event', 'all'])('whose messages are refused: %s', async (type) => {
    const options = { workerUrl: `/hostile-worker.js?refuse=${type}`, threads: 1 }
    const outcome = await load(page, bytes, options)
    // A small model loads without a report of progress, so that the first event may be a generation's.
    const codes = outcome.code === 'ok' ? await generations(3) : [outcome.code]
    expect(codes.map((code) => code.replace('crashed', 'out-of-memory'))).toEqual(codes.map(() => 'out-of-memory'))
    await noWorkers(page)
    await fresh()
  })

  it('whose clocks jump by hours, as after sleep', async () => {
    const before = await fresh()
    await loaded(page, bytes, { workerUrl: '/hostile-worker.js?clock=hours' })
    const outcome = await page.evaluate(async () => {
      const { tokens, stats } = await model.generate({ prompt: 'et', mode: 'ar', maxTokens: 8 }).result()
      await model.unload()
      return { tokens: tokens.join(), stats }
    })
    expect(outcome.tokens).toBe(before)
    for (const figure of Object.values(outcome.stats)) expect(figure).not.toBeNaN()
  })

  it('of a page that is frozen and thawed', async () => {
    const before = await fresh()
    const session = await page.context().newCDPSession(page)
    await loaded(page, bytes)
    const outcomes = generations(300)
    await session.send('Page.setWebLifecycleState', { state: 'frozen' })
    await new Promise((resolve) => setTimeout(resolve, 3000))
    await session.send('Page.setWebLifecycleState', { state: 'active' })
    expect(new Set(await outcomes)).toEqual(new Set(['ok']))
    await page.evaluate(() => model.unload())
    // Frozen while it loads.
    const load = loaded(page, bytes)
    await session.send('Page.setWebLifecycleState', { state: 'frozen' })
    await new Promise((resolve) => setTimeout(resolve, 6000))
    await session.send('Page.setWebLifecycleState', { state: 'active' })
    await load
    await page.evaluate(() => model.unload())
    expect(await fresh()).toBe(before)
  })
})

describe('memory', () => {
  /** Loads and generates with less and less room; the codes of both, and how often it worked. */
  async function squeeze(rooms: readonly number[], options: (room: number) => object): Promise<number> {
    let worked = 0
    for (const room of rooms) {
      const outcome = await load(page, bytes, options(room))
      expect(['ok', 'out-of-memory'], outcome.message).toContain(outcome.code)
      if (outcome.code === 'ok') {
        for (const code of new Set(await generations(2))) expect(['ok', 'out-of-memory']).toContain(code)
        worked++
        await page.evaluate(() => model.unload())
      }
      await noWorkers(page)
    }
    await fresh()
    return worked
  }

  it('that ends at each growth of one thread', async () => {
    // In pages of 64 KiB, of which the build has 21 from the start.
    const rooms = Array.from({ length: 12 }, (_, i) => 21 + 6 * i)
    const worked = await squeeze(rooms, (pages) => {
      site.route('fault/wasm/relaxed/webtern_bg.wasm', (_, response) =>
        response.writeHead(200, { 'content-type': 'application/wasm' }).end(withMemoryCap(pages / 16)),
      )
      return { wasmBaseUrl: '/fault/wasm/', threads: 1 }
    })
    expect(worked).toBeGreaterThan(0)
    expect(worked).toBeLessThan(rooms.length)
  })

  it('that ends at each growth of shared memory', async () => {
    const rooms = Array.from({ length: 12 }, (_, i) => 128 + 4 * i)
    const worked = await squeeze(rooms, (pages) => ({
      workerUrl: `/hostile-worker.js?pages=${String(pages)}`,
      threads: 2,
    }))
    expect(worked).toBeGreaterThan(0)
  })

  it('is flat over 200 loads', async () => {
    const cycles = (count: number): Promise<void> =>
      page.evaluate(async (count) => {
        const buffer = await (await fetch('/fault/tiny.gguf')).arrayBuffer()
        // While one is loaded, the browser compiles nothing anew.
        const kept = await webtern.loadModel(buffer, { threads: 1 })
        for (let i = 0; i < count; i++) {
          const model = await webtern.loadModel(buffer, { threads: 1 })
          await model.generate({ prompt: 'et', maxTokens: 4 }).result()
          await model.unload()
        }
        await kept.unload()
      }, count)
    site.route('fault/tiny.gguf', (_, response) => response.end(bytes))
    await cycles(40)
    await noWorkers(page)
    const before = await residentBytes(browser)
    await cycles(160)
    await noWorkers(page)
    // An instance that stayed would have 8 MB.
    expect((await residentBytes(browser)) - before).toBeLessThan(200 << 20)
  }, 600_000)
})

it('50 generations at once, aborted at random', async () => {
  const before = await fresh()
  await loaded(page, bytes)
  const reasons = await page.evaluate(async () => {
    let state = 7
    const random = (): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return state / 2 ** 32
    }
    const runs = Array.from({ length: 50 }, async (_, seed) => {
      const controller = new AbortController()
      const run = model.generate({ prompt: 'e', maxTokens: 60, temperature: 1, seed, signal: controller.signal })
      if (random() < 0.6) setTimeout(() => controller.abort(), random() * 300)
      let events = 0
      for await (const event of run) {
        events += 1
        if (events === Math.floor(random() * 60) && event.type === 'text') controller.abort()
      }
      const { finishReason } = await run.result()
      return controller.signal.aborted ? finishReason : `not aborted: ${finishReason}`
    })
    return Promise.all(runs)
  })
  expect(reasons).toHaveLength(50)
  for (const reason of reasons) expect(reason).toMatch(/^(abort|(not aborted: )?(stop|length))$/)
  expect(reasons).toContain('abort')
  const again = await page.evaluate(async () => {
    const { tokens } = await model.generate({ prompt: 'et', mode: 'ar', maxTokens: 8 }).result()
    return tokens.join()
  })
  expect(again).toBe(before)
})

describe('a page that allows only its own', () => {
  const POLICY =
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; require-trusted-types-for 'script'; trusted-types webtern"
  let strict: Site
  let page: Page
  const requests: string[] = []

  beforeAll(async () => {
    strict = await startSite({ headers: { 'content-security-policy': POLICY } })
    strict.route('favicon.ico', (_, response) => response.writeHead(204).end())
    page = await browser.newPage()
    page.on('request', (request) => requests.push(request.url()))
  })

  afterAll(async () => {
    await page.close()
    await strict.close()
  })

  it('runs models in threads, and asks no other server for anything', async () => {
    await page.goto(`${strict.url}strict.html`)
    await page.waitForFunction(() => 'webtern' in globalThis)
    const url = strict.route('fault/tiny.gguf', (_, response) => response.end(bytes))
    const info = await loaded(page, url, { threads: 2 })
    expect(info.threads).toBe(2)
    const text = await page.evaluate(async () => {
      const { text } = await model.generate({ prompt: 'et', maxTokens: 8 }).result()
      await model.unload()
      return text
    })
    expect(text).not.toBe('')
    expect(await page.evaluate(() => String(Reflect.get(globalThis, 'violations')))).toBe('')
    expect(requests.filter((request) => !request.startsWith(strict.url))).toEqual([])
    expect(requests).toContain(url)
  })

  it('shows the demo, which makes no element of what a model says', async () => {
    requests.length = 0
    const problems: string[] = []
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text())
    })
    page.on('pageerror', (error) => problems.push(error.message))
    // What the model says is what is typed: its vocabulary is bytes, and all of them are likely.
    await page.goto(`${strict.url}demo/`)
    await page.waitForSelector('body[data-phase=ready]')
    await page.getByRole('textbox').first().fill('<img src=x onerror="window.hit = 1"><b>')
    await page.keyboard.press('Enter')
    await page.waitForSelector('body[data-phase=ready]')
    expect(await page.locator('img[src="x"]').count()).toBe(0)
    expect(await page.evaluate(() => 'hit' in globalThis)).toBe(false)
    expect(requests.filter((request) => !/^(blob:|data:)/.test(request) && !request.startsWith(strict.url))).toEqual([])
    expect(problems).toEqual([])
  })
})
