/** The embedded model in the built library and the built page: it is there, runs as natively, and the page opens with it. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { load, loaded, noWorkers, openPage, startBrowser } from './support/browser.ts'
import { itNeeds, repository, screenshotPath } from './support/files.ts'
import { tinyLlama, write } from './support/gguf.ts'
import { generateNatively, nativeBinary } from './support/native.ts'
import { startSite, type Site } from './support/site.ts'

/** Far more than it takes, on a machine that does other things as well. */
const FIRST_TOKEN_MS = 5000

const itNatively = itNeeds(nativeBinary)
const GGUF = readFileSync(join(repository, 'models/tiny/tiny.gguf'))
const WASM = readFileSync(new URL('../../dist/wasm/relaxed/webtern_bg.wasm', import.meta.url))
let browser: Browser
let site: Site

beforeAll(async () => {
  site = await startSite()
  browser = await startBrowser()
})

afterAll(async () => {
  await browser.close()
  await site.close()
})

describe('the library', () => {
  it('loads it by its name', async () => {
    const page = await openPage(browser, site.url)
    const info = await loaded(page, 'tiny')
    expect(info).toMatchObject({ architecture: 'bitnet', quantization: 'Q2_0', chatTemplate: true, vocabSize: 512 })
    expect(info.diffusion).toMatchObject({ blockSize: 32, attention: 'block' })
    const report = await page.evaluate(() => webtern.inspectModel('tiny'))
    expect(report).toMatchObject({ architecture: 'bitnet', runs: true, bytes: GGUF.length })
    await page.evaluate(() => model.unload())
    await noWorkers(page)
    await page.close()
  })

  itNatively('writes what the command line writes', async () => {
    const page = await openPage(browser, site.url)
    await loaded(page, 'tiny')
    for (const content of ['What is 24 + 64?', 'Sort 41, 7, 93, 22.']) {
      const tokens = await page.evaluate(async (content) => {
        return model.tokenize(await model.applyChatTemplate([{ role: 'user', content }]))
      }, content)
      for (const mode of ['ar', 'greedy', 'iterative', 'adaptive'] as const) {
        const request = { tokens, mode, maxTokens: 64 }
        const run = await page.evaluate((request) => model.generate(request).result(), request)
        expect(run.tokens, `${content} ${mode}`).toEqual(await generateNatively('tiny', request))
      }
    }
    await page.close()
  })

  it('takes it from where the wasm files are, and says so when it is not there', async () => {
    const asked: string[] = []
    for (const [path, body] of [
      ['elsewhere/tiny.gguf', GGUF],
      ['elsewhere/relaxed/webtern_bg.wasm', WASM],
      ['without/relaxed/webtern_bg.wasm', WASM],
    ] as const) {
      site.route(path, (_, response) => {
        asked.push(path)
        response.end(body)
      })
    }
    const page = await openPage(browser, site.url)
    expect(await load(page, 'tiny', { wasmBaseUrl: '/elsewhere', threads: 1 })).toMatchObject({ code: 'ok' })
    expect(asked.sort()).toEqual(['elsewhere/relaxed/webtern_bg.wasm', 'elsewhere/tiny.gguf'])
    const { code, message } = await load(page, 'tiny', { wasmBaseUrl: '/without/', threads: 1 })
    expect(`${code}: ${message}`).toMatch(/^http: .*without\/tiny\.gguf answered 404 .*wasmBaseUrl/)
    await page.close()
  })

  it('loads a file of that name by its address', async () => {
    site.route('tiny', (_, response) => response.end(write(tinyLlama()).bytes))
    const page = await openPage(browser, site.url)
    expect(await loaded(page, './tiny')).toMatchObject({ architecture: 'llama' })
    await page.close()
  })
})

describe('the page', () => {
  const at = (page: Page, id: string) => page.locator(`#${id}`)

  async function open(search = '', viewport = { width: 1200, height: 800 }): Promise<Page> {
    const page = await browser.newPage({ viewport })
    await page.goto(`${site.url}demo/${search}`)
    await page.waitForSelector('body[data-phase=ready]')
    return page
  }

  /** Waits until so many answers stand on the page. */
  async function answered(page: Page, count: number): Promise<void> {
    await page.waitForFunction((count) => {
      const finished = document.querySelectorAll('[data-testid=answer][data-finish]').length
      return document.body.dataset['phase'] === 'ready' && finished === count
    }, count)
  }

  it('opens with it, and answers suggestions', async () => {
    const page = await open()
    expect(await at(page, 'tiny-status').textContent()).toMatch(/^Ready in/)
    await page.screenshot({ path: screenshotPath('tiny-ready') })
    const question = await page.locator('[data-task=add]').first().textContent()
    await page.locator('[data-task=add]').first().click()
    await answered(page, 1)
    expect(await page.locator('.turn.you .said').textContent()).toBe(question)
    expect(await page.getByTestId('output').textContent()).not.toBe('')
    await page.locator('[data-task=recall]').first().click()
    await answered(page, 3)
    await page.screenshot({ path: screenshotPath('tiny-recall') })
    await page.close()
  })

  it('races it', async () => {
    const page = await open()
    await at(page, 'race-chip').click()
    await at(page, 'race-verdict').filter({ hasText: 'was first' }).waitFor()
    for (const lane of ['lane-ar', 'lane-adaptive']) {
      expect(await at(page, lane).getByTestId('answer').getAttribute('data-finish')).toMatch(/^(stop|length)$/)
    }
    await page.screenshot({ path: screenshotPath('tiny-race') })
    await page.close()
  })

  it('shows the first token soon after it is asked for', async () => {
    const page = await open(`?prompt=${encodeURIComponent('Count from 3 to 7.')}`)
    await answered(page, 1)
    const [ready, first] = await page.evaluate(() =>
      ['webtern:ready', 'webtern:first-token'].map((name) => performance.getEntriesByName(name)[0]?.startTime ?? NaN),
    )
    console.log(`ready after ${Number(ready).toFixed(0)} ms, first token after ${Number(first).toFixed(0)} ms`)
    expect(first).toBeLessThan(FIRST_TOKEN_MS)
    await page.close()
  })

  it.each(['light', 'dark'] as const)('fits a narrow screen, %s', async (colorScheme) => {
    const page = await open('', { width: 360, height: 740 })
    await page.emulateMedia({ colorScheme })
    const shot = async (name: string): Promise<void> => {
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360)
      await page.screenshot({ path: screenshotPath(`tiny-${name}-360-${colorScheme}`) })
    }
    await shot('ready')
    await page.locator('[data-task=story]').first().click()
    await answered(page, 1)
    await shot('story')
    await at(page, 'view-race').click()
    await page.locator('#race-suggestions [data-task=sort]').click()
    await at(page, 'race-verdict').filter({ hasText: 'was first' }).waitFor()
    await shot('race')
    await page.close()
  })
})
