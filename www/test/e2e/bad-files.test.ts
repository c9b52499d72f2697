/** Files that are no model, or not whole, or lie: each ends in an error with its code, and leaves no worker behind. */

import type { Page } from 'playwright-core'
import { describe, expect } from 'vitest'
import { load, noWorkers } from './support/browser.ts'
import { F32, split, tinyLlama, write, type Gguf, type Tensor, type Value } from './support/gguf.ts'
import { test as it } from './support/test.ts'

/** Loads bytes that must fail, and gives the code and message. */
async function failure(page: Page, bytes: Uint8Array): Promise<string> {
  const { code, message } = await load(page, bytes)
  await noWorkers(page)
  return `${code}: ${message}`
}

/** The tiny model with other metadata (`undefined` removes a key). */
function withMetadata(changes: Readonly<Record<string, Value | undefined>>): Uint8Array {
  const model = tinyLlama()
  for (const [key, value] of Object.entries(changes)) {
    if (value) model.metadata.set(key, value)
    else model.metadata.delete(key)
  }
  return write(model).bytes
}

/** The tiny model with one tensor changed, or removed. */
function withTensor(name: string, change: (tensor: Tensor) => Tensor | undefined): Uint8Array {
  const model = tinyLlama()
  const tensors = model.tensors.flatMap((tensor) => (tensor.name === name ? (change(tensor) ?? []) : tensor))
  return write({ ...model, tensors }).bytes
}

const withClaim = (claim: Partial<Gguf>): Uint8Array => write({ ...tinyLlama(), ...claim }).bytes

/** A length as it stands in a file. */
function u64(value: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(value).buffer)
}

it('the whole file loads and decodes', async ({ page }) => {
  expect(await load(page, write(tinyLlama()).bytes)).toMatchObject({ code: 'ok' })
  const result = await page.evaluate(() => model.generate({ prompt: 'e', maxTokens: 5 }).result())
  expect(result.tokens.length).toBe(5)
  await page.evaluate(() => model.unload())
  await noWorkers(page)
})

describe('what is no GGUF file', () => {
  it.for([
    ['text', Buffer.from('this is a text file, and a long enough one at that')],
    ['a zip archive', Buffer.from('PK\x03\x04 and more of it, as in a PyTorch checkpoint')],
    ['zeros', Buffer.alloc(4096)],
    ['a web page', Buffer.from('<!doctype html><title>Sign in</title>')],
  ] as const)('%s', async ([_, bytes], { page }) => {
    expect(await failure(page, bytes)).toMatch(/^not-gguf: \S/)
  })

  it('nothing at all', async ({ page }) => {
    expect(await failure(page, Buffer.alloc(0))).toMatch(/^truncated: /)
  })
})

describe('a file that ends early', () => {
  const { bytes, ends } = write(tinyLlama())
  it.for([
    ['in the magic', 2],
    ['behind the magic', ends.magic],
    ['in the preamble', ends.preamble - 5],
    ['behind the preamble', ends.preamble],
    ['in a key', ends.preamble + 12],
    ['in the metadata', (ends.preamble + ends.metadata) / 2],
    ['behind the metadata', ends.metadata],
    ['in the tensor list', (ends.metadata + ends.tensors) / 2],
    ['before the data', ends.header],
    ['in the data', (ends.header + bytes.length) / 2],
    ['one byte early', bytes.length - 1],
  ] as const)('%s', async ([_, length], { page }) => {
    expect(await failure(page, bytes.slice(0, length))).toMatch(/^truncated: .*\d/)
  })
})

describe('hostile counts and lengths', () => {
  const most = 2n ** 64n - 1n
  it.for([
    ['tensors', withClaim({ tensorCount: most })],
    ['tensors, below the limit', withClaim({ tensorCount: 60_000n })],
    ['metadata pairs', withClaim({ metadataCount: most })],
    ['the length of a string', withMetadata({ 'general.name': { kind: 8, raw: u64(most) } })],
    ['the length of a string, plausibly', withMetadata({ 'general.name': { kind: 8, raw: u64(50_000_000n) } })],
    [
      'the length of an array',
      withMetadata({ x: { kind: 9, raw: Buffer.concat([Buffer.of(4, 0, 0, 0), u64(most)]) } }),
    ],
    ['the kind of a value', withMetadata({ x: { kind: 99, raw: u64(0n) } })],
    ['the alignment', withMetadata({ 'general.alignment': { u32: 0 } })],
    ['the number of layers', withMetadata({ 'llama.block_count': { u32: 0xffffffff } })],
    ['the width', withMetadata({ 'llama.embedding_length': { u32: 0x7fffffff } })],
    ['no heads', withMetadata({ 'llama.attention.head_count': { u32: 0 } })],
    ['a dimension', withTensor('output_norm.weight', (tensor) => ({ ...tensor, dims: [2 ** 52] }))],
    ['dimensions', withTensor('output_norm.weight', (tensor) => ({ ...tensor, dims: [64, 1, 1, 1, 1, 1] }))],
    ['an offset', withTensor('output_norm.weight', (tensor) => ({ ...tensor, offset: 2n ** 63n }))],
    ['two tensors in one place', withTensor('output_norm.weight', (tensor) => ({ ...tensor, offset: 0 }))],
  ] as const)('%s', async ([_, bytes], { page }) => {
    expect(await failure(page, bytes)).toMatch(/^(limits|malformed|truncated|out-of-memory): \S/)
  })
})

describe('a sound file that is no model for webtern', () => {
  const nan = new Uint8Array(Float32Array.from({ length: 64 * 64 }, (_, i) => (i === 77 ? NaN : 0.1)).buffer)
  it.for([
    [/^unsupported-architecture: .*mamba/, withMetadata({ 'general.architecture': { string: 'mamba' } })],
    [/^malformed: .*general\.architecture/, withMetadata({ 'general.architecture': undefined })],
    [/^malformed: .*llama\.block_count/, withMetadata({ 'llama.block_count': undefined })],
    [/^malformed: .*tokenizer\.ggml\.tokens/, withMetadata({ 'tokenizer.ggml.tokens': undefined })],
    [/^malformed: .*tokenizer\.ggml\.scores/, withMetadata({ 'tokenizer.ggml.scores': { f32s: [1, 2] } })],
    [/^unsupported-type: .*NVFP4/, withTensor('blk.0.attn_q.weight', (tensor) => ({ ...tensor, type: 40 }))],
    [/^unsupported-type: .*999/, withTensor('blk.0.attn_q.weight', (tensor) => ({ ...tensor, type: 999 }))],
    [/^malformed: .*blk\.0\.ffn_up\.weight is missing/, withTensor('blk.0.ffn_up.weight', () => undefined)],
    [
      /^malformed: .*blk\.0\.attn_q\.weight has shape \[32, 128\]/,
      withTensor('blk.0.attn_q.weight', (tensor) => ({ ...tensor, dims: [32, 128] })),
    ],
    [
      /^malformed: .*blk\.0\.attn_q\.weight: row 1: weight 13 .*NaN/,
      withTensor('blk.0.attn_q.weight', (tensor) => ({ ...tensor, data: nan })),
    ],
    [
      /^malformed: .*two tensors have the name output_norm\.weight/,
      withTensor('blk.0.attn_norm.weight', (tensor) => ({ ...tensor, name: 'output_norm.weight' })),
    ],
    [/^malformed: .*big-endian/, withClaim({ version: 0x0300_0000 })],
    [/^malformed: .*version 1/, withClaim({ version: 1 })],
  ] as const)('%s', async ([expected, bytes], { page }) => {
    expect(await failure(page, bytes)).toMatch(expected)
  })
})

describe('files that do not fit', () => {
  it('a part of a split model alone', async ({ page }) => {
    const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = split(tinyLlama(), 2)
    expect(await failure(page, first)).toMatch(/^truncated: .*1 of the 2 files/)
    expect(await failure(page, second)).toMatch(/^malformed: .*file 2 of 2/)
  })

  it('more tensors than memory can hold, by the header alone', async ({ page, site }) => {
    const rows = 1 << 16
    const giant = Array.from({ length: 40 }, (_, i): Tensor => {
      const offset = i * rows * 1024 * 4
      return { name: `giant.${String(i)}`, dims: [1024, rows], type: F32, data: Buffer.alloc(0), offset }
    })
    const { bytes } = write({ ...tinyLlama(), tensors: giant })
    const url = site.route('fault/giant', (_, response) => {
      response.write(bytes)
    })
    const { code, message } = await load(page, url)
    expect(`${code}: ${message}`).toMatch(/^out-of-memory: .*10737418240 bytes/)
    await noWorkers(page)
  })
})
