/** The convert view of the built page on real checkpoints, with a screenshot of every state (`target/screenshots`). */

import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { beforeAll, describe, expect } from 'vitest'
import { noWorkers } from './support/browser.ts'
import { smollm2Checkpoint, smollm2Files, tinyCheckpoint } from './support/checkpoint.ts'
import { fixture, screenshotPath, targetFolder } from './support/files.ts'
import { convertNatively, detokenizeNatively, nativeBinary } from './support/native.ts'
import { itNeeds, test } from './support/test.ts'

const STOP = 2
/** The last of the special tokens at the head of SmolLM2's vocabulary; its tokenizer has no mask token. */
const MASK_TOKEN = '16'
/** A task of the main thread that is longer than this is felt. */
const LONGEST_TASK_MS = 150

const it = itNeeds(tinyCheckpoint, nativeBinary)
const itSmollm2 = itNeeds(join(smollm2Files, 'config.json'), nativeBinary)

test.beforeEach(async ({ page, site }) => {
  await page.goto(`${site.url}demo/#convert`)
})

const at = (page: Page, id: string) => page.locator(`#${id}`)
const step = (page: Page, name: string) => page.waitForSelector(`#convert[data-step=${name}]`, { timeout: 90_000 })

/** Screenshots of the present state: wide and narrow, light and dark. */
async function shots(page: Page, name: string): Promise<void> {
  const wide = page.viewportSize() ?? { width: 1200, height: 800 }
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    await page.screenshot({ path: screenshotPath(`${name}-${colorScheme}`) })
    await page.setViewportSize({ width: 360, height: 740 })
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360)
    await page.screenshot({ path: screenshotPath(`${name}-360-${colorScheme}`), fullPage: true })
    await page.setViewportSize(wide)
  }
}

/** Drops a file or a folder of the disk on the page, as a person does. */
async function drop(page: Page, path: string): Promise<void> {
  const session = await page.context().newCDPSession(page)
  const data = { items: [], files: [path], dragOperationsMask: 1 }
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const)
    await session.send('Input.dispatchDragEvent', { type, x: 600, y: 400, data })
  await session.detach()
}

/** Sends a message and gives the answer. */
async function ask(page: Page, mode: string, prompt: string): Promise<string | null> {
  await page.getByTestId('mode').getByText(mode, { exact: true }).click()
  await at(page, 'prompt').fill(prompt)
  await at(page, 'prompt').press('Enter')
  await page.waitForSelector('body[data-phase=ready]', { timeout: 60_000 })
  return page.getByTestId('output').last().textContent()
}

async function downloaded(page: Page): Promise<Buffer> {
  const download = page.waitForEvent('download')
  await at(page, 'download').click()
  return readFileSync(await (await download).path())
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

describe('a trained checkpoint', () => {
  it('is inspected, converted, compared, downloaded, and answers', async ({ page }) => {
    await shots(page, 'convert-choose')
    await at(page, 'checkpoint-folder').setInputFiles(tinyCheckpoint)
    await step(page, 'ready')
    expect(await page.getByTestId('checkpoint-architecture').textContent()).toBe('bitnet')
    expect(await page.getByTestId('checkpoint-sub-norms').textContent()).toBe('two norms a layer')
    expect(await page.getByTestId('checkpoint-blocks').textContent()).toBe('32 tokens, block attention')
    await shots(page, 'convert-inspected')
    await at(page, 'convert-start').click()
    await step(page, 'done')
    await at(page, 'verify').click()
    await at(page, 'verification').filter({ hasText: 'Equal: 29 matrices' }).waitFor()
    await shots(page, 'convert-done')

    const native = await convertNatively(tinyCheckpoint, join(targetFolder, 'models', 'tiny-dlm-native.gguf'))
    expect((await downloaded(page)).equals(readFileSync(native))).toBe(true)

    const question = 'What is 28 - 13?'
    interface Case {
      readonly prompt: string
      readonly out: Readonly<Record<string, readonly number[]>>
    }
    const parse: (line: string) => Case = JSON.parse
    const cases = readFileSync(fixture('tiny-dlm/cases.jsonl'), 'utf8').trimEnd().split('\n').map(parse)
    const reference = cases.find(({ prompt }) => prompt === question)?.out['iterative-0.9'] ?? []
    await at(page, 'use-now').click()
    await page.waitForSelector('body[data-view=run][data-phase=ready]')
    const expected = await detokenizeNatively(
      native,
      reference.filter((id) => id !== STOP),
    )
    expect(await ask(page, 'iterative', question)).toBe(expected)
    await shots(page, 'convert-used')
  })

  it('may be dropped as a folder', async ({ page, site }) => {
    await page.goto(`${site.url}demo/`)
    await drop(page, join(tinyCheckpoint, '..'))
    await page.waitForSelector('body[data-view=convert]')
    await step(page, 'ready')
    expect(await at(page, 'checkpoint-name').textContent()).toBe('checkpoint')
    expect(await at(page, 'checkpoint-size').textContent()).toMatch(/^5 files, 10\.0 MB/)
    expect(await at(page, 'convert-start').isEnabled()).toBe(true)
  })
})

describe('a GGUF model', () => {
  it('that is dropped on the view is looked at', async ({ page }) => {
    await drop(page, fixture('tiny-dlm/tiny-dlm-q2_0.gguf'))
    await step(page, 'model')
    expect(await page.getByTestId('checkpoint-runs').textContent()).toBe('yes')
    expect(await page.getByTestId('checkpoint-weights').textContent()).toContain('Q2_0 (28)')
    expect(await page.getByTestId('tensor').filter({ hasText: 'ffn_down' }).innerText()).toMatch(
      /layers 0–3[^]*% zeros/,
    )
    await shots(page, 'convert-model')
  })

  it('that is none says so', async ({ page }) => {
    await at(page, 'checkpoint-files').setInputFiles({
      name: 'm.gguf',
      mimeType: '',
      buffer: Buffer.from('not a model at all'),
    })
    await at(page, 'convert-error').waitFor()
    expect(await at(page, 'convert-error').getAttribute('data-code')).toBe('not-gguf')
    expect(await at(page, 'inspection').getAttribute('aria-busy')).toBe('false')
    expect(await at(page, 'converting').isHidden()).toBe(true)
    await noWorkers(page)
  })
})

describe('a checkpoint that does not become a file', () => {
  const whole = ['config.json', 'dlm_config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']
  const start = (name: string, bytes: number): Buffer => readFileSync(join(tinyCheckpoint, name)).subarray(0, bytes)
  /** The files of the trained checkpoint, with some changed or left out. */
  async function choose(page: Page, changes: Readonly<Record<string, Buffer | null>>): Promise<void> {
    const files = Object.entries({
      ...Object.fromEntries(whole.map((name) => [name, readFileSync(join(tinyCheckpoint, name))])),
      ...changes,
    })
    await at(page, 'checkpoint-files').setInputFiles(
      files.flatMap(([name, buffer]) => (buffer ? { name, mimeType: '', buffer } : [])),
    )
    await step(page, 'ready')
  }

  it.for([
    [
      'truncated',
      'are missing: model-00002-of-00002.safetensors',
      {
        'model.safetensors': null,
        'model.safetensors.index.json': Buffer.from(
          JSON.stringify({
            weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' },
          }),
        ),
        'model-00001-of-00002.safetensors': Buffer.alloc(64),
      },
    ],
    ['truncated', 'but the file has 5000000', { 'model.safetensors': start('model.safetensors', 5_000_000) }],
    ['io', 'the checkpoint has no tokenizer', { 'tokenizer.json': null }],
    [
      'unsupported-architecture',
      'Mamba',
      {
        'config.json': Buffer.from('{"architectures":["MambaForCausalLM"],"hidden_size":64}'),
      },
    ],
  ] as const)('%s: %s', async ([code, message, changes], { page }) => {
    await choose(page, changes)
    expect(await at(page, 'convert-error').getAttribute('data-code')).toBe(code)
    expect(await page.locator('#convert-error [data-part=message]').textContent()).toContain(message)
    expect(await at(page, 'convert-form').isHidden()).toBe(true)
    await shots(page, `convert-error-${code}`)
    await noWorkers(page)
  })
})

describe('SmolLM2-135M with SubLN norms and random weights', () => {
  let checkpoint: string

  beforeAll(() => {
    if (existsSync(smollm2Files)) checkpoint = smollm2Checkpoint()
  }, 600_000)

  itSmollm2(
    'is converted in the page, which never waits, and decodes in every mode',
    // A busy machine takes the main thread away too, so there are three chances.
    { timeout: 240_000, retry: 2 },
    async ({ page }) => {
      await page.evaluate(() => {
        const tasks: number[] = []
        new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({
          type: 'longtask',
        })
        Object.assign(globalThis, { tasks })
      })
      await at(page, 'checkpoint-folder').setInputFiles(checkpoint)
      await step(page, 'ready')
      await page.getByTestId('convert-advanced').locator('summary').click()
      await page.getByTestId('maskTokenId').fill(MASK_TOKEN)
      await page.getByTestId('maskTokenId').blur()
      await page.getByTestId('checkpoint-mask-token').filter({ hasText: MASK_TOKEN }).waitFor()
      await step(page, 'ready')

      await at(page, 'convert-start').click()
      await page.locator('#converting [data-part=rate]').filter({ hasText: 'Writing at' }).waitFor()
      await shots(page, 'convert-running')
      await page.locator('#converting [data-part=cancel]').click()
      await step(page, 'ready')
      expect(await at(page, 'download').getAttribute('href')).toBeNull()
      await noWorkers(page)

      const begun = performance.now()
      await at(page, 'convert-start').click()
      await step(page, 'done')
      console.log(`SmolLM2-135M converted in the page: ${((performance.now() - begun) / 1000).toFixed(1)} s`)
      await noWorkers(page)
      await at(page, 'verify').click()
      await at(page, 'verification').filter({ hasText: 'Equal: 211 matrices' }).waitFor({ timeout: 60_000 })

      const file = join(targetFolder, 'models', 'smollm2-native.gguf')
      const native = await convertNatively(checkpoint, file, '--mask-token-id', MASK_TOKEN)
      expect(sha256(await downloaded(page))).toBe(sha256(readFileSync(native)))

      await at(page, 'use-now').click()
      await page.waitForSelector('body[data-view=run][data-phase=ready]', { timeout: 60_000 })
      await page.getByTestId('maxTokens').fill('4')
      for (const mode of ['ar', 'greedy', 'iterative', 'adaptive']) {
        await ask(page, mode, 'The quick brown fox')
        expect(await page.getByTestId('answer').last().getAttribute('data-finish')).toMatch(/^(stop|length)$/)
        expect(await page.getByTestId('answer-foot').last().textContent()).toContain(mode)
      }
      const longest = await page.evaluate(() => {
        const tasks: unknown = Reflect.get(globalThis, 'tasks')
        return Math.max(0, ...(Array.isArray(tasks) ? tasks.map(Number) : [Infinity]))
      })
      console.log(`longest task of the main thread: ${longest.toFixed(0)} ms`)
      expect(longest).toBeLessThanOrEqual(LONGEST_TASK_MS)
    },
  )
})
