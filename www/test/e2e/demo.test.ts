/** The built demo page on real models: what a visitor does, with a screenshot of every state (`target/screenshots`). */

import type { Page } from 'playwright-core'
import { describe, expect } from 'vitest'
import { noWorkers } from './support/browser.ts'
import { openDemo } from './support/demo.ts'
import { fixture, screenshotPath } from './support/files.ts'
import { split, tinyLlama, write } from './support/gguf.ts'
import { itNeeds } from './support/test.ts'

const DLM = '../fixtures/tiny-dlm/tiny-dlm-q2_0.gguf'
const STORIES = '../fixtures/stories260K.gguf'
const it = itNeeds(fixture('tiny-dlm/tiny-dlm-q2_0.gguf'), fixture('stories260K.gguf'))

const shot = (page: Page, name: string): Promise<Buffer> => page.screenshot({ path: screenshotPath(name) })
const mode = (page: Page, name: string): Promise<void> =>
  page.getByTestId('mode').getByText(name, { exact: true }).click()

/** Sends a prompt and waits for the end of the answer. */
async function ask(page: Page, prompt: string): Promise<void> {
  await page.locator('#prompt').fill(prompt)
  await page.locator('#prompt').press('Enter')
  await page.waitForSelector('body[data-phase=ready]')
}

/**
 * Ends the next answer by the button or by a key, the moment that it begins. From within the page: on its way through the
 * browser driver, a click or a key can come after the end.
 */
async function stopNext(page: Page, by: 'button' | 'Escape'): Promise<void> {
  await page.evaluate((by) => {
    new MutationObserver((_, observer) => {
      if (document.body.dataset['phase'] !== 'running') return
      observer.disconnect()
      if (by === 'button') document.querySelector<HTMLButtonElement>('#stop')?.click()
      else document.activeElement?.dispatchEvent(new KeyboardEvent('keydown', { key: by, bubbles: true }))
    }).observe(document.body, { attributeFilter: ['data-phase'] })
  }, by)
}

describe('a block-diffusion model', () => {
  it('chats: the block fills, then the answer stands', async ({ page, site }) => {
    await openDemo(page, site, DLM)
    await shot(page, 'dlm-ready')
    expect(await page.locator('#tab-chat').getAttribute('aria-selected')).toBe('true')
    await mode(page, 'iterative')
    await ask(page, 'What is 28 - 13?')
    expect(await page.getByTestId('output').last().textContent()).toMatch(/^28 - 13 = \d+\.$/)
    expect(Number(await page.getByTestId('stat-passes-per-block').textContent())).toBeGreaterThan(1)
    expect(await page.getByTestId('block-cell').count()).toBe(32)
    await shot(page, 'dlm-chat')
    await page.emulateMedia({ colorScheme: 'dark' })
    await shot(page, 'dlm-chat-dark')
  })

  it.for(['auto', 'ar', 'greedy', 'iterative', 'adaptive'])('runs in mode %s', async (name, { page, site }) => {
    await openDemo(page, site, DLM)
    await mode(page, name)
    await ask(page, 'Count from 3 to 7.')
    expect(await page.locator('#error').isHidden()).toBe(true)
    expect(await page.getByTestId('output').last().textContent()).not.toBe('')
    expect(await page.getByTestId('answer').getAttribute('data-finish')).toMatch(/^(stop|length)$/)
  })
})

describe('an autoregressive model', () => {
  it('completes a text, stops at the button, and is unloaded', async ({ page, site }) => {
    await openDemo(page, site, STORIES)
    expect(await page.locator('#tab-completion').getAttribute('aria-selected')).toBe('true')
    expect(await page.getByTestId('mode-adaptive').isDisabled()).toBe(true)
    await ask(page, 'Once upon a time')
    await shot(page, 'stories')
    await page.emulateMedia({ colorScheme: 'dark' })
    await shot(page, 'stories-dark')
    await page.getByTestId('maxTokens').fill('400')
    await stopNext(page, 'button')
    await page.locator('#prompt').press('Enter')
    await page.waitForSelector('body[data-phase=ready]')
    expect(await page.getByTestId('answer').last().getAttribute('data-finish')).toBe('abort')
    await page.locator('#unload').click()
    await page.waitForSelector('body[data-phase=empty]')
    await noWorkers(page)
  })

  it('says that the prompt is too long, and goes on', async ({ page, site }) => {
    await openDemo(page, site, STORIES)
    await ask(page, 'Once upon a time. '.repeat(3000))
    expect(await page.locator('#error').getAttribute('data-code')).toBe('context-full')
    await shot(page, 'error-context')
    await ask(page, 'Once')
    expect(await page.locator('#error').isHidden()).toBe(true)
    expect(await page.getByTestId('output').last().textContent()).not.toBe('')
  })
})

describe('loading', () => {
  it('by the list, with the keyboard only', async ({ page, site }) => {
    await page.goto(`${site.url}demo/`)
    await page.waitForSelector('body[data-phase=ready]')
    await page.locator('#switch').focus()
    await page.keyboard.press('Enter')
    await page.getByTestId('bundled-model').nth(1).waitFor()
    await shot(page, 'picker')
    await page.emulateMedia({ colorScheme: 'dark' })
    await shot(page, 'picker-dark')
    expect(
      await page
        .locator('[name=bundled]')
        .first()
        .evaluate((input) => input === document.activeElement),
    ).toBe(true)
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    await page.waitForSelector('body[data-phase=ready]')
    expect(await page.locator('#model-name').textContent()).toMatch(/stories|llama/i)
    await page.keyboard.type('Once upon a time')
    await stopNext(page, 'Escape')
    await page.keyboard.press('Enter')
    await page.waitForSelector('body[data-phase=ready]')
    expect(await page.getByTestId('answer').getAttribute('data-finish')).toBe('abort')
  })

  it('shows how far it is, and what went wrong with its code', async ({ page, site }) => {
    const { bytes } = write(tinyLlama())
    site.route('demo/slow.gguf', (_, response) => {
      response.writeHead(200, { 'content-length': bytes.length })
      response.write(bytes.subarray(0, 100_000))
      setTimeout(() => response.destroy(), 1500)
    })
    await page.goto(`${site.url}demo/?model=slow.gguf`)
    await page.locator('#loading [data-part=bytes]').filter({ hasText: 'of 222 kB' }).waitFor()
    await shot(page, 'loading')
    await page.locator('#error').waitFor()
    expect(await page.locator('#error').getAttribute('data-code')).toBe('network')
    await shot(page, 'error-load')
    await page.goto(`${site.url}demo/?model=nowhere.gguf`)
    await page.locator('#error').waitFor()
    expect(await page.locator('#error').getAttribute('data-code')).toBe('http')
  })

  it('takes all files of a split model at once', async ({ page, site }) => {
    await page.goto(`${site.url}demo/?model=`)
    const files = split(tinyLlama(), 2).map((part, i) => ({
      name: `tiny-0000${String(i + 1)}-of-00002.gguf`,
      mimeType: '',
      buffer: Buffer.from(part),
    }))
    await page.locator('#model-file').setInputFiles(files)
    await page.waitForSelector('body[data-phase=ready]')
    expect(await page.locator('#model-name').textContent()).toBe('tiny')
  })
})

it.for(['light', 'dark'] as const)('a narrow screen shows everything, %s', async (colorScheme, { page, site }) => {
  await page.setViewportSize({ width: 360, height: 740 })
  await page.emulateMedia({ colorScheme })
  for (const [name, model, prompt] of [
    ['dlm', DLM, 'What is 28 - 13?'],
    ['stories', STORIES, 'Once upon a time'],
  ] as const) {
    await openDemo(page, site, model)
    await ask(page, prompt)
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360)
    await page.screenshot({ path: screenshotPath(`${name}-360-${colorScheme}`), fullPage: true })
  }
})
