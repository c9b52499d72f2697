/** From load to unload and again: sources, running out of memory, crashes, pages of other kinds. */

import { readFileSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { load, loaded, noWorkers, openPage } from './support/browser.ts'
import { split, tinyLlama, write } from './support/gguf.ts'
import { startSite } from './support/site.ts'
import { test } from './support/test.ts'
import { withMemoryCap } from './support/wasm.ts'

const { bytes } = write(tinyLlama())
/** With a site whose pages are not isolated. */
const it = test.extend('plain', { scope: 'file' }, async ({}, { onCleanup }) => {
  const plain = await startSite({ isolated: false })
  onCleanup(() => plain.close())
  return plain
})

describe('sources', () => {
  it('File, Blob, ArrayBuffer, view, URL; the buffer stays usable', async ({ page, site }) => {
    const url = site.route('fault/tiny.gguf', (_, response) => response.end(bytes))
    const answers = await page.evaluate(async (url) => {
      const buffer = await (await fetch(url)).arrayBuffer()
      const before = new Uint8Array(buffer).slice()
      const answers: string[] = []
      const sources = [
        new File([buffer], 'a.gguf'),
        new Blob([buffer]),
        buffer,
        new Uint8Array(buffer),
        new URL(url),
        url,
      ]
      for (const source of sources) {
        const model = await webtern.loadModel(source)
        answers.push((await model.generate({ prompt: 'et', maxTokens: 8 }).result()).tokens.join())
        await model.unload()
      }
      answers.push(String(new Uint8Array(buffer).every((byte, i) => byte === before[i]) && buffer.byteLength > 0))
      return answers
    }, url)
    expect(new Set(answers.slice(0, -1)).size).toBe(1)
    expect(answers[0]).toMatch(/^\d+(,\d+){7}$/)
    expect(answers.at(-1)).toBe('true')
    await noWorkers(page)
  })

  it('the files of a split model, in any order, are the whole model', async ({ page }) => {
    const parts = split(tinyLlama(), 3).map((part) => Buffer.from(part).toString('base64'))
    const whole = await loaded(page, bytes)
    const wanted = await page.evaluate(() => model.generate({ prompt: 'et', maxTokens: 8 }).result())
    const { info, tokens } = await page.evaluate(async (parts) => {
      const files = parts.map((part, i) => {
        const bytes = Uint8Array.from(atob(part), (character) => character.charCodeAt(0))
        return new File([bytes], `tiny-0000${String(i + 1)}-of-00003.gguf`)
      })
      const model = await webtern.loadModel(files.reverse())
      const { tokens } = await model.generate({ prompt: 'et', maxTokens: 8 }).result()
      return { info: model.info, tokens }
    }, parts)
    expect(tokens).toEqual(wanted.tokens)
    expect(info.parameters).toBe(whole.parameters)
  })
})

describe('requests that cannot be met', () => {
  it('a prompt longer than the context, a mode without its mask token, a token that does not exist', async ({
    page,
  }) => {
    await loaded(page, bytes)
    const codes = await page.evaluate(async () => {
      const codes: string[] = []
      for (const options of [
        { prompt: 'e'.repeat(500) },
        { prompt: 'e', maxTokens: 100_000 },
        { prompt: 'e', mode: 'adaptive' as const },
        { tokens: [5_000_000] },
        { tokens: [] },
      ]) {
        await model
          .generate(options)
          .result()
          .catch((error: unknown) => codes.push(error instanceof webtern.WebternError ? error.code : String(error)))
      }
      codes.push((await model.generate({ prompt: 'e', maxTokens: 3 }).result()).finishReason)
      return codes
    })
    expect(codes).toEqual(['context-full', 'context-full', 'no-mask-token', 'bad-option', 'bad-option', 'length'])
  })

  it('a context that the model does not have, a mask token that the vocabulary does not have', async ({ page }) => {
    expect(await load(page, bytes, { contextLength: 100_000 })).toMatchObject({ code: 'bad-option' })
    expect(await load(page, bytes, { maskTokenId: 100_000 })).toMatchObject({ code: 'bad-option' })
    await noWorkers(page)
  })
})

describe('memory', () => {
  it('that runs out ends the load with its own code', async ({ page, site }) => {
    site.route('fault/wasm/relaxed/webtern_bg.wasm', (_, response) =>
      response.writeHead(200, { 'content-type': 'application/wasm' }).end(withMemoryCap(8)),
    )
    const options = { wasmBaseUrl: '/fault/wasm/', threads: 1 }
    expect(await load(page, bytes, options)).toMatchObject({ code: 'ok' })
    const model = tinyLlama()
    const tensor = { name: 'token_embd.weight', dims: [64, 1 << 16], type: 0, data: Buffer.alloc(64 << 18) }
    const tokens = Array.from({ length: 1 << 16 }, (_, i) => `token ${String(i)}`)
    model.metadata
      .set('tokenizer.ggml.tokens', { strings: tokens })
      .set('tokenizer.ggml.scores', { f32s: tokens.map(() => 0) })
      .set('tokenizer.ggml.token_type', { i32s: tokens.map(() => 1) })
    const big = write({ ...model, tensors: [tensor, ...model.tensors.slice(1)] }).bytes
    const url = site.route('fault/big.gguf', (_, response) => response.end(big))
    const { code, message } = await load(page, url, options)
    expect(`${code}: ${message}`).toMatch(/^out-of-memory: .*smaller/)
  })
})

describe('a crash', () => {
  it('of the worker rejects everything that is pending, and everything after', async ({ page }) => {
    await loaded(page, bytes)
    const outcomes = page.evaluate(async () => {
      const codeOf = (error: unknown): string => (error instanceof webtern.WebternError ? error.code : String(error))
      // More than can be done before the crash.
      const pending = Array.from({ length: 300 }, (_, seed) =>
        model.generate({ prompt: 'e', maxTokens: 100, temperature: 1, seed }).text(),
      ).map((promise) => promise.then(() => 'ok', codeOf))
      const codes = await Promise.all(pending)
      codes.push(await model.tokenize('e').then(() => 'ok', codeOf))
      return codes
    })
    await page.workers()[0]?.evaluate(() => {
      setTimeout(() => {
        throw new Error('the worker is ill')
      })
    })
    const codes = await outcomes
    const done = codes.filter((code) => code === 'ok').length
    expect(done).toBeLessThan(300)
    expect(codes.slice(done)).toEqual(Array(301 - done).fill('crashed'))
    await noWorkers(page)
  })

  it.for(['loader_push', 'engine_step'])('by a trap in %s', async (call, { page }) => {
    const options = { workerUrl: `/failing-worker.js?trap-at=${call}` }
    const outcome = await load(page, bytes, options)
    if (call === 'engine_step') {
      expect(outcome).toMatchObject({ code: 'ok' })
      const message = await page.evaluate(() =>
        model
          .generate({ prompt: 'e' })
          .text()
          .catch((error: unknown) => (error instanceof webtern.WebternError ? `${error.code}: ${error.message}` : '')),
      )
      expect(message).toMatch(/^crashed: .*divide by zero/)
    } else expect(`${outcome.code}: ${outcome.message}`).toMatch(/^crashed: .*divide by zero/)
    await noWorkers(page)
  })

  it('an unload in the middle of a generation rejects it, and ends the worker', async ({ page }) => {
    const { threads } = await loaded(page, bytes)
    expect(page.workers()).toHaveLength(threads)
    const code = await page.evaluate(async () => {
      const text = model.generate({ prompt: 'e', maxTokens: 100 }).text()
      await model.unload()
      return text.catch((error: unknown) => (error instanceof webtern.WebternError ? error.code : 'other'))
    })
    expect(code).toBe('aborted')
    await noWorkers(page)
  })
})

it('a page without isolation headers works too', async ({ page, browser, plain }) => {
  const other = await openPage(browser, plain.url)
  expect(await other.evaluate(() => globalThis.crossOriginIsolated)).toBe(false)
  expect(await page.evaluate(() => globalThis.crossOriginIsolated)).toBe(true)
  const url = plain.route('fault/tiny.gguf', (_, response) => response.end(bytes))
  const info = await loaded(other, url, { threads: 4 })
  expect(info.threads).toBe(1)
  expect(info.notices.join()).toMatch(/thread/)
  await other.close()
})

it('a page of another origin reads the model where the server lets it', async ({ page, plain }) => {
  const url = plain.route('fault/shared.gguf', (_, response) =>
    response.writeHead(200, { 'access-control-allow-origin': '*' }).end(bytes),
  )
  expect(await load(page, url)).toMatchObject({ code: 'ok' })
  const closed = plain.route('fault/private.gguf', (_, response) => response.end(bytes))
  expect(await load(page, closed)).toMatchObject({ code: 'network' })
})

it('the worker may come from elsewhere', async ({ page, site }) => {
  const script = readFileSync(new URL('../../dist/worker.js', import.meta.url))
  site.route('elsewhere/worker.js', (_, response) =>
    response
      .writeHead(200, { 'content-type': 'text/javascript', 'cross-origin-embedder-policy': 'require-corp' })
      .end(script),
  )
  const options = { workerUrl: '/elsewhere/worker.js', wasmBaseUrl: '/dist/wasm' }
  expect(await load(page, bytes, options)).toMatchObject({ code: 'ok' })
  expect(await load(page, bytes, { workerUrl: '/no-such-worker.js' })).toMatchObject({ code: 'network' })
})
