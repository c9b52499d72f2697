/** A trained model of the ordinary kind: the library and the demo page write exactly what llama.cpp writes. */

import { expect } from 'vitest'
import { loaded } from './support/browser.ts'
import { openDemo } from './support/demo.ts'
import { fixture } from './support/files.ts'
import { itNeeds } from './support/test.ts'

const PROMPT = 'Once upon a time'
/** What wllama 3.8.1 (llama.cpp) answers. */
const STORY =
  ', there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. ' +
  "She wanted to play with it, but it was too high.\nLily's mom said"

const it = itNeeds(fixture('stories260K.gguf'))

it('the library tells the story', async ({ page }) => {
  const info = await loaded(page, '/fixtures/stories260K.gguf')
  expect(info).toMatchObject({ architecture: 'llama', quantization: 'F32', diffusion: null })
  const { streamed, result } = await page.evaluate(async (prompt) => {
    const run = model.generate({ prompt, maxTokens: 64, mode: 'ar', temperature: 0 })
    let streamed = ''
    for await (const event of run) if (event.type === 'text') streamed += event.text
    return { streamed, result: await run.result() }
  }, PROMPT)
  expect(result.text).toBe(STORY)
  expect(streamed).toBe(STORY)
  expect(result.finishReason).toBe('length')
  expect(result.tokens).toHaveLength(64)
  expect(result.stats.kernel).toMatch(/^wasm32-/)
  expect(result.stats).toMatchObject({ newTokens: 64, mode: 'ar', blocks: 0, commits: 0 })
  expect(await page.evaluate((ids) => model.detokenize(ids), result.tokens)).toBe(STORY)
})

it('the demo page tells the story', async ({ page, site }) => {
  await openDemo(page, site, '../fixtures/stories260K.gguf')
  await page.getByTestId('mode').getByText('ar', { exact: true }).click()
  await page.getByTestId('maxTokens').fill('64')
  await page.locator('#prompt').fill(PROMPT)
  await page.locator('#prompt').press('Enter')
  await page.waitForSelector('[data-testid=answer][data-finish=length]')
  expect(await page.getByTestId('output').textContent()).toBe(STORY)
  expect(await page.getByTestId('stat-tokens').textContent()).toBe('64')
})
