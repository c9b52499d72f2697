/** The demo page in a browser, on the stand-in library: what it shows, its keys, its errors, its manners. */

import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import cases from '../../../tests/cases/options.json' with { type: 'json' }
import { onPages } from './served.ts'

let page: Page
const served = onPages((opened) => {
  page = opened
})

const at = (id: string) => page.locator(`#${id}`)
const phase = (name: string) => page.waitForSelector(`body[data-phase=${name}]`)

async function open(model: string): Promise<void> {
  await page.goto(`${served.url}?model=${model}`)
  await phase('ready')
}

async function ask(prompt: string): Promise<void> {
  await at('prompt').fill(prompt)
  await at('prompt').press('Enter')
}

describe('a block-diffusion model', () => {
  it('is unmasked in place and settles as exactly its text', async () => {
    await open('dlm.gguf')
    await ask('Tell me about terns, slow')
    await page.waitForSelector('[data-testid=live-block] .mask')
    await page.waitForSelector('[data-testid=block-cell].fresh')
    expect(await page.getByTestId('block-cell').count()).toBe(32)
    await at('stop').click()
    await phase('ready')

    await ask('Tell me about terns, fast')
    await phase('ready')
    const answer = page.getByTestId('output').last()
    expect(await answer.textContent()).toMatch(/^The tern is a seabird[\s\S]*forked tail\.$/)
    expect(await page.getByTestId('live-block').count()).toBe(0)
    expect(await at('announcer').textContent()).toBe(await answer.textContent())
    expect(Number(await page.getByTestId('stat-tokens-per-pass').textContent())).toBeGreaterThan(1)
  })

  it('tells id, confidence and pass of a token to pointer, keyboard and screen reader', async () => {
    await open('dlm.gguf')
    await ask('Tell me about terns, fast')
    await phase('ready')
    await at('block-previous').click()
    expect(await at('block-label').textContent()).toBe('3 of 4')
    const facts = /confidence \d+\s%, pass \d+, token \d+, position \d+/
    await page.getByTestId('block-cell').first().focus()
    await page.keyboard.press('ArrowRight')
    expect(await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toMatch(facts)
    expect(await at('tip').textContent()).toMatch(facts)
    await page.locator('[data-testid=output] .token').first().hover()
    expect(await at('tip').textContent()).toMatch(/^The.*pass \d+/)
  })

  it('keeps finished blocks in the document as they are', async () => {
    await open('dlm.gguf')
    await page.getByTestId('maxTokens').fill('2000')
    await ask('a long one')
    await page.waitForFunction(() => document.querySelectorAll('[data-testid=output] .token').length > 60)
    await page.evaluate(() => Object.assign(window, { first: document.querySelector('[data-testid=output] .token') }))
    await page.keyboard.press('Escape')
    await phase('ready')
    expect(
      await page.evaluate(() => Reflect.get(window, 'first') === document.querySelector('[data-testid=output] .token')),
    ).toBe(true)
  })
})

describe('the keyboard', () => {
  it('sends with Enter, breaks lines with Shift+Enter, stops with Escape', async () => {
    await open('dlm.gguf')
    await at('prompt').pressSequentially('one')
    await at('prompt').press('Shift+Enter')
    await at('prompt').pressSequentially('two slow')
    expect(await at('prompt').inputValue()).toBe('one\ntwo slow')
    await at('prompt').press('Enter')
    await phase('running')
    await page.keyboard.press('Escape')
    await phase('ready')
    expect(await page.getByTestId('answer').getAttribute('data-finish')).toBe('abort')
  })
})

describe('an autoregressive model', () => {
  it('continues the text and offers no block modes', async () => {
    await open('stories.gguf')
    expect(await at('tab-completion').getAttribute('aria-selected')).toBe('true')
    expect(await page.getByTestId('mode-greedy').isDisabled()).toBe(true)
    await ask('Once upon a time, fast')
    await phase('ready')
    expect(await page.getByTestId('output').textContent()).toMatch(/^The tern/)
    expect(await at('block-grid').isHidden()).toBe(true)
  })
})

describe('what goes wrong', () => {
  it('is shown with its code, message and advice, and can be dismissed', async () => {
    await page.goto(`${served.url}?model=not-gguf.html`)
    await at('error').waitFor()
    expect(await at('error').getAttribute('data-code')).toBe('not-gguf')
    expect(await page.locator('#error [data-part=message]').textContent()).toContain('web page')
    await page.locator('#error [data-part=dismiss]').click()
    expect(await at('error').isHidden()).toBe(true)
  })

  it('takes a crashed model away and offers to load it again', async () => {
    await open('dlm.gguf')
    await ask('crash')
    await phase('empty')
    expect(await at('error').getAttribute('data-code')).toBe('crashed')
    await page.locator('#error [data-part=retry]').click()
    await phase('ready')
  })

  it('leaves nothing behind when a load is cancelled', async () => {
    await page.goto(`${served.url}?model=slow.gguf`)
    await page.locator('#loading [data-part=rate]').filter({ hasText: 'Downloading at' }).waitFor()
    expect(await page.locator('#loading [data-part=bytes]').textContent()).toMatch(/of 1\.22 MB/)
    await page.locator('#loading [data-part=cancel]').click()
    await phase('empty')
    expect(await at('loading').isHidden()).toBe(true)
    expect(await at('error').isHidden()).toBe(true)
  })

  it('does not let the model write markup', async () => {
    await open('dlm.gguf')
    await ask('markup fast')
    await phase('ready')
    expect(await page.getByTestId('output').textContent()).toContain('<img src=x')
    expect(await page.locator('[data-testid=output] :is(img, b, script)').count()).toBe(0)
    expect(await page.evaluate(() => Reflect.has(window, 'hit'))).toBe(false)
  })
})

describe('a local file', () => {
  it('loads by the picker and by dropping it on the page', async () => {
    await page.goto(`${served.url}?model=`)
    await at('model-file').setInputFiles({ name: 'mine.gguf', mimeType: '', buffer: Buffer.from('GGUF') })
    await phase('ready')
    await at('unload').click()
    await phase('empty')
    await page.evaluate(() => {
      const dataTransfer = new DataTransfer()
      dataTransfer.items.add(new File(['GGUF'], 'stories.gguf'))
      window.dispatchEvent(new DragEvent('drop', { dataTransfer, cancelable: true }))
    })
    await phase('ready')
    expect(await at('model-name').textContent()).toBe('stories260K')
  })
})

describe('the settings', () => {
  it('allow no number that the library rejects', async () => {
    await open('dlm.gguf')
    const rejected = cases.filter(({ value, ok }) => typeof value === 'number' && !ok)
    const allowed = await page.evaluate((rejected) => {
      const form = document.querySelector<HTMLFormElement>('#settings-form')
      return rejected.filter(({ option, value }) => {
        const field = form?.elements.namedItem(option)
        if (!(field instanceof HTMLInputElement)) return false
        field.value = JSON.stringify(value)
        // A slider moves to the next value that it allows.
        return field.checkValidity() && Number(field.value) === value
      })
    }, rejected)
    expect(rejected.length).toBeGreaterThan(10)
    expect(allowed).toEqual([])
  })
})

describe('a narrow screen', () => {
  it('never scrolls sideways', async () => {
    await page.setViewportSize({ width: 360, height: 700 })
    const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
    await page.goto(`${served.url}?model=`)
    await at('picker').waitFor()
    expect(await overflow()).toBeLessThanOrEqual(0)
    await open('dlm.gguf')
    await ask('fast')
    await phase('ready')
    expect(await overflow()).toBeLessThanOrEqual(0)
  })
})
