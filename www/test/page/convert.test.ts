/** The convert view in a browser, on the stand-in library: what it shows, its keys, its errors, its manners. */

import type { Page } from 'playwright-core'
import { beforeEach, describe, expect, it } from 'vitest'
import { onPages } from './served.ts'

let page: Page
const served = onPages((opened) => {
  page = opened
})

beforeEach(() => page.goto(`${served.url}#convert`))

const at = (id: string) => page.locator(`#${id}`)
const step = (name: string) => page.waitForSelector(`#convert[data-step=${name}]`)

/** Chooses files of these names, and waits until they have been inspected. */
async function choose(...names: readonly string[]): Promise<void> {
  await at('checkpoint-files').setInputFiles(names.map((name) => ({ name, mimeType: '', buffer: Buffer.from('{}') })))
  await step('ready')
}

/** Drops files of these names on the page. */
async function drop(...names: readonly string[]): Promise<void> {
  await page.evaluate((names) => {
    const dataTransfer = new DataTransfer()
    for (const name of names) dataTransfer.items.add(new File(['{}'], name))
    window.dispatchEvent(new DragEvent('drop', { dataTransfer, cancelable: true }))
  }, names)
}

describe('an inspection', () => {
  it('shows what the checkpoint is, what to know, and what each tensor becomes', async () => {
    await choose('config.json', 'model.safetensors')
    expect(await at('checkpoint-size').textContent()).toBe('2 files, 4 B')
    expect(await page.getByTestId('checkpoint-class').textContent()).toBe('BitnetForCausalLM')
    expect(await page.getByTestId('checkpoint-weights').textContent()).toBe('ternary: the class is BitNet')
    expect(await page.getByTestId('checkpoint-sub-norms').textContent()).toBe('two norms a layer')
    expect(await page.getByTestId('checkpoint-modes').textContent()).toBe('ar')
    expect(await page.getByTestId('finding').allInnerTexts()).toEqual([
      'Note\n\nThere is no mask token: <b>markup</b> stays text\n\nName it with “Mask token id”',
    ])
    const rows = await page.getByTestId('tensor').allInnerTexts()
    expect(rows.map((row) => row.replace(/\s*\t/g, '\t'))).toEqual([
      'token_embd\t49152 × 576\tBF16 → BF16',
      'attn_norm\nlayers 0–29\t576\tBF16 → F32',
      'attn_q\nlayers 0–29\t576 × 576\tBF16 → Q2_0\nternarized from full precision\n31\u00a0% zeros in the first layer\nscale 0.0525 in the first layer',
    ])
    expect(await page.getByTestId('dropped').innerText()).toContain('lm_head.weight')
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('convert-start')
  })

  it('follows the options', async () => {
    await choose('config.json')
    await page.getByTestId('type').selectOption('q8_0')
    await page.getByTestId('tensor').last().filter({ hasText: 'Q8_0' }).waitFor()
    await page.getByTestId('convert-advanced').locator('summary').click()
    await page.getByTestId('maskTokenId').fill('2')
    await page.getByTestId('maskTokenId').blur()
    await at('convert-error').waitFor()
    expect(await at('convert-error').getAttribute('data-code')).toBe('bad-option')
    expect(await at('convert-start').isDisabled()).toBe(true)
    await page.getByTestId('maskTokenId').fill('16')
    await page.getByTestId('maskTokenId').blur()
    await page.getByTestId('checkpoint-mask-token').filter({ hasText: '16 (<mask>)' }).waitFor()
    expect(await at('convert-error').isHidden()).toBe(true)
    expect(await page.getByTestId('finding').count()).toBe(0)
    expect(await page.getByTestId('checkpoint-modes').textContent()).toContain('adaptive')
    await page.getByTestId('blockSize').fill('0')
    await page.getByTestId('blockSize').blur()
    expect(await page.getByTestId('blockSize').evaluate((field: HTMLInputElement) => field.validity.valid)).toBe(false)
  })

  it.each([
    ['io', ['model.safetensors'], 'config.json is missing'],
    ['unsupported-architecture', ['config.json', 'unsupported.txt'], 'MambaForCausalLM'],
  ] as const)('says what is wrong: %s', async (code, names, message) => {
    await choose(...names)
    expect(await at('convert-error').getAttribute('data-code')).toBe(code)
    expect(await page.locator('#convert-error [data-part=message]').textContent()).toContain(message)
    expect(await at('tensor-table').isHidden()).toBe(true)
    expect(await at('convert-form').isHidden()).toBe(true)
    await at('checkpoint-other').click()
    expect(await at('convert-error').isHidden()).toBe(true)
    await choose('config.json')
    expect(await at('tensor-table').isVisible()).toBe(true)
  })
})

describe('a conversion', () => {
  it('goes by the keyboard, and its file is downloaded, compared and used', async () => {
    await choose('config.json')
    await page.keyboard.press('Enter')
    await step('done')
    expect(await page.getByTestId('tensor').last().innerText()).toMatch(
      /Q2_0\s+ternarized from full precision\s+31\s% zeros\s+scale 0.0525/,
    )
    const downloading = page.waitForEvent('download')
    await at('download').click()
    expect((await downloading).suggestedFilename()).toBe('checkpoint-q2_0.gguf')
    await at('verify').click()
    await at('verification').filter({ hasText: 'Equal: 1 matrices, 61 vectors and the tokens of 50 texts' }).waitFor()
    await at('use-now').focus()
    await page.keyboard.press('Enter')
    await page.waitForSelector('body[data-view=run][data-phase=ready]')
    await page.goBack()
    await page.waitForSelector('body[data-view=convert]')
    expect(await at('result').isVisible()).toBe(true)
  })

  it('that is cancelled leaves nothing', async () => {
    await choose('config.json', 'slow.txt')
    await at('convert-start').click()
    await page.locator('#converting [data-part=rate]').filter({ hasText: 'Writing at' }).waitFor()
    expect(await page.getByTestId('type').isDisabled()).toBe(true)
    expect(await page.locator('#converting [data-part=bytes]').textContent()).toMatch(/of 1\.21 MB/)
    await page.locator('#converting [data-part=cancel]').click()
    await step('ready')
    expect(await at('result').isHidden()).toBe(true)
    expect(await at('download').getAttribute('href')).toBeNull()
    expect(await at('convert-error').isHidden()).toBe(true)
    expect(await at('status').textContent()).toContain('cancelled')
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('convert-start')
  })

  it('takes back its file when an option changes', async () => {
    await choose('config.json')
    await at('convert-start').click()
    await step('done')
    await page.getByTestId('type').selectOption('f16')
    await step('ready')
    expect(await at('result').isHidden()).toBe(true)
    expect(await at('convert-start').isEnabled()).toBe(true)
  })
})

describe('a GGUF model', () => {
  it('is looked at and used', async () => {
    await drop('stories.gguf')
    await step('model')
    expect(await at('checkpoint-name').textContent()).toBe('stories.gguf')
    expect(await page.getByTestId('checkpoint-runs').textContent()).toBe('yes')
    expect(await page.getByTestId('tensor').innerText()).toMatch(
      /^attn_q\s+layers 0\s+576 × 576\s+Q2_0\s+31\s% zeros\s+scale 0.0200$/,
    )
    expect(await at('convert-form').isHidden()).toBe(true)
    expect(await at('download').isHidden()).toBe(true)
    await page.keyboard.press('Enter')
    await page.waitForSelector('body[data-view=run][data-phase=ready]')
    expect(await at('model-name').textContent()).toBe('stories260K')
  })

  it('that does not run says why', async () => {
    await at('checkpoint-files').setInputFiles({ name: 'broken.gguf', mimeType: '', buffer: Buffer.from('GGUF') })
    await step('model')
    expect(await page.getByTestId('finding').innerText()).toBe('Problem\n\nNoise\n\na, b, c and 2 more')
    expect(await page.getByTestId('finding').getAttribute('data-code')).toBe('raw-weights')
    expect(await at('use-now').isDisabled()).toBe(true)
    await at('checkpoint-other').click()
    await choose('config.json')
    expect(await at('convert-form').isVisible()).toBe(true)
    expect(await at('result').isHidden()).toBe(true)
  })
})

describe('what is dropped', () => {
  it('goes to the view that is for it', async () => {
    await at('view-run').click()
    await drop('stories.gguf')
    await page.waitForSelector('body[data-view=run][data-phase=ready]')
    expect(await at('model-name').textContent()).toBe('stories260K')
    await drop('config.json', 'model.safetensors')
    await page.waitForSelector('body[data-view=convert]')
    await step('ready')
    expect(await at('view-convert').getAttribute('aria-current')).toBe('page')
    expect(await at('view-run').getAttribute('aria-current')).toBeNull()
  })
})

it('never scrolls a narrow screen sideways', async () => {
  await page.setViewportSize({ width: 360, height: 700 })
  const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
  expect(await overflow()).toBeLessThanOrEqual(0)
  await choose('config.json')
  expect(await overflow()).toBeLessThanOrEqual(0)
  await at('convert-start').click()
  await step('done')
  expect(await overflow()).toBeLessThanOrEqual(0)
  await at('use-now').click()
  await page.waitForSelector('body[data-phase=ready]')
  expect(await overflow()).toBeLessThanOrEqual(0)
})
