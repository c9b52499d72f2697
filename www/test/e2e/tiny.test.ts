/** The embedded model in the built library and the built page: it is there, runs as natively, and the page opens with it. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { describe, expect } from 'vitest'
import { load, loaded, noWorkers } from './support/browser.ts'
import { repository, screenshotPath } from './support/files.ts'
import { tinyLlama, write } from './support/gguf.ts'
import { generateNatively, nativeBinary } from './support/native.ts'
import type { Site } from './support/site.ts'
import { itNeeds, test as it } from './support/test.ts'

/** Far more than it takes, on a machine that does other things as well. */
const FIRST_TOKEN_MS = 5000

const itNatively = itNeeds(nativeBinary)
const GGUF = readFileSync(join(repository, 'models/tiny/tiny.gguf'))
const WASM = readFileSync(new URL('../../dist/wasm/relaxed/webtern_bg.wasm', import.meta.url))

describe('the library', () => {
  it('loads it by its name', async ({ page }) => {
    const info = await loaded(page, 'tiny')
    expect(info).toMatchObject({ architecture: 'bitnet', quantization: 'Q2_0', chatTemplate: true, vocabSize: 512 })
    expect(info.diffusion).toMatchObject({ blockSize: 32, attention: 'block' })
    const report = await page.evaluate(() => webtern.inspectModel('tiny'))
    expect(report).toMatchObject({ architecture: 'bitnet', runs: true, bytes: GGUF.length })
    await page.evaluate(() => model.unload())
    await noWorkers(page)
  })

  itNatively('writes what the command line writes', async ({ page }) => {
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
  })

  it('takes it from where the wasm files are, and says so when it is not there', async ({ page, site }) => {
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
    expect(await load(page, 'tiny', { wasmBaseUrl: '/elsewhere', threads: 1 })).toMatchObject({ code: 'ok' })
    expect(asked.sort()).toEqual(['elsewhere/relaxed/webtern_bg.wasm', 'elsewhere/tiny.gguf'])
    const { code, message } = await load(page, 'tiny', { wasmBaseUrl: '/without/', threads: 1 })
    expect(`${code}: ${message}`).toMatch(/^http: .*without\/tiny\.gguf answered 404 .*wasmBaseUrl/)
  })

  it('loads a file of that name by its address', async ({ page, site }) => {
    site.route('tiny', (_, response) => response.end(write(tinyLlama()).bytes))
    expect(await loaded(page, './tiny')).toMatchObject({ architecture: 'llama' })
  })
})

describe('the page', () => {
  const at = (page: Page, id: string) => page.locator(`#${id}`)

  async function open(page: Page, site: Site, search = ''): Promise<void> {
    await page.goto(`${site.url}demo/${search}`)
    await page.waitForSelector('body[data-phase=ready]')
  }

  /** Waits until so many answers stand on the page. */
  async function answered(page: Page, count: number): Promise<void> {
    await page.waitForFunction((count) => {
      const finished = document.querySelectorAll('[data-testid=answer][data-finish]').length
      return document.body.dataset['phase'] === 'ready' && finished === count
    }, count)
  }

  it('opens with it, and answers suggestions', async ({ page, site }) => {
    await open(page, site)
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
  })

  it('races it', async ({ page, site }) => {
    await open(page, site)
    await at(page, 'race-chip').click()
    await at(page, 'race-verdict').filter({ hasText: 'was first' }).waitFor()
    for (const lane of ['lane-ar', 'lane-adaptive']) {
      expect(await at(page, lane).getByTestId('answer').getAttribute('data-finish')).toMatch(/^(stop|length)$/)
    }
    await page.screenshot({ path: screenshotPath('tiny-race') })
  })

  it('shows the first token soon after it is asked for', async ({ page, site }) => {
    await open(page, site, `?prompt=${encodeURIComponent('Count from 3 to 7.')}`)
    await answered(page, 1)
    const [ready, first] = await page.evaluate(() =>
      ['webtern:ready', 'webtern:first-token'].map((name) => performance.getEntriesByName(name)[0]?.startTime ?? NaN),
    )
    console.log(`ready after ${Number(ready).toFixed(0)} ms, first token after ${Number(first).toFixed(0)} ms`)
    expect(first).toBeLessThan(FIRST_TOKEN_MS)
  })

  it.for(['light', 'dark'] as const)('fits a narrow screen, %s', async (colorScheme, { page, site }) => {
    await page.setViewportSize({ width: 360, height: 740 })
    await page.emulateMedia({ colorScheme })
    await open(page, site)
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
  })
})
