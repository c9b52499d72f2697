/** Ending things early: a load at any point, a generation at any point. */

import type { ServerResponse } from 'node:http'
import { describe, expect } from 'vitest'
import { loaded, noWorkers } from './support/browser.ts'
import { tinyLlama, write } from './support/gguf.ts'
import { test as it } from './support/test.ts'

describe('a load', () => {
  const { bytes, ends } = write(tinyLlama())

  it('that never begins', async ({ page }) => {
    const code = await page.evaluate(async () => {
      const load = webtern.loadModel('/nothing', { signal: AbortSignal.abort() })
      return load.then(
        () => 'ok',
        (error: unknown) => (error instanceof webtern.WebternError ? error.code : 'other'),
      )
    })
    expect(code).toBe('aborted')
    expect(page.workers()).toEqual([])
  })

  // The server sends so many bytes and then waits, so that the load is exactly there.
  it.for([
    ['before the first byte', 0],
    ['in the header', ends.metadata - 100],
    ['in the data', ends.header + 5000],
    ['at the end of the data', bytes.length],
  ] as const)('%s', async ([_, sent], { page, site }) => {
    let reached: (response: ServerResponse) => void = () => undefined
    const waiting = new Promise<ServerResponse>((resolve) => (reached = resolve))
    const url = site.route('fault/endless.gguf', (_, response) => {
      response.writeHead(200)
      response.flushHeaders()
      response.write(bytes.subarray(0, sent), () => reached(response))
      if (sent === 0) reached(response)
    })
    await page.evaluate((url) => {
      const controller = new AbortController()
      const load = webtern.loadModel(url, { signal: controller.signal }).then(
        () => 'ok',
        (error: unknown) => (error instanceof webtern.WebternError ? error.code : 'other'),
      )
      Object.assign(globalThis, { controller, load })
    }, url)
    const response = await waiting
    const closed = new Promise((resolve) => response.on('close', resolve))
    await new Promise((resolve) => setTimeout(resolve, 200))
    const code = await page.evaluate(() => {
      const controller: unknown = Reflect.get(globalThis, 'controller')
      if (controller instanceof AbortController) controller.abort()
      const load: unknown = Reflect.get(globalThis, 'load')
      return load
    })
    expect(code).toBe('aborted')
    await noWorkers(page)
    await closed
  })
})

describe('a generation', () => {
  // Room for seconds of work, so that no page is too late to end it. Of a last layer, a prompt needs next to nothing.
  const CONTEXT = 1 << 16
  const endless = tinyLlama()
  endless.metadata
    .set('llama.context_length', { u32: CONTEXT })
    .set('llama.block_count', { u32: 2 })
    .set('tokenizer.ggml.mask_token_id', { u32: 0 })
  const layer = endless.tensors.filter(({ name }) => name.startsWith('blk.0.'))
  endless.tensors.push(...layer.map((tensor) => ({ ...tensor, name: tensor.name.replace('blk.0.', 'blk.1.') })))
  const { bytes } = write(endless)

  it.beforeEach(async ({ page }) => {
    await loaded(page, bytes)
  })

  it('that never begins', async ({ page }) => {
    const result = await page.evaluate(() => model.generate({ prompt: 'a', signal: AbortSignal.abort() }).result())
    expect(result).toMatchObject({ finishReason: 'abort', text: '', tokens: [] })
  })

  it.for([
    ['while the prompt is read', 'prefill', 'ar', CONTEXT / 2],
    ['after the first text', 'text', 'ar', 3],
    ['in the middle of a block', 'block', 'iterative', 3],
  ] as const)('%s', async ([_, type, mode, length], { page }) => {
    const { result, events, again } = await page.evaluate(
      async ({ type, mode, length, maxTokens }) => {
        const controller = new AbortController()
        const tokens = Array.from({ length }, (_, i) => 3 + (i % 256))
        const run = model.generate({ tokens, mode, maxTokens, signal: controller.signal })
        let events = 0
        for await (const event of run) {
          events += 1
          if (event.type === type) controller.abort()
        }
        const after = model.generate({ tokens: [1, 88, 86], mode, maxTokens: 4 })
        return { result: await run.result(), events, again: (await after.result()).finishReason }
      },
      { type, mode, length, maxTokens: CONTEXT / 2 },
    )
    expect(result.finishReason).toBe('abort')
    expect(result.tokens.length).toBeLessThan(CONTEXT / 2)
    expect(events).toBeLessThan(CONTEXT / 2)
    if (type === 'prefill') expect(result.tokens).toEqual([])
    expect(again).toMatch(/^(stop|length)$/)
  })

  it('does not wait for others, and others wait for it', async ({ page }) => {
    const order = await page.evaluate(async (maxTokens) => {
      const order: string[] = []
      const controller = new AbortController()
      const first = model.generate({ tokens: [1, 88, 86], mode: 'ar', maxTokens, signal: controller.signal })
      const second = model.generate({ tokens: [1, 88, 86], mode: 'ar', maxTokens: 2 })
      await Promise.all([
        first.result().then(({ finishReason }) => order.push(finishReason)),
        second.result().then(() => order.push('second')),
        model.tokenize('beside it').then(() => {
          order.push('tokenize')
          controller.abort()
        }),
      ])
      return order
    }, CONTEXT / 2)
    expect(order).toEqual(['tokenize', 'abort', 'second'])
  })
})
