/**
 * Checkpoints in the page, by the library: the file equals the native one byte for byte and decodes as the reference did;
 * whatever is wrong with a checkpoint has the native code and message; nothing stays behind.
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { describe, expect } from 'vitest'
import type { ConvertOptions } from '../../src/checkpoint-types.ts'
import { noWorkers, type Outcome } from './support/browser.ts'
import { tinyCheckpoint } from './support/checkpoint.ts'
import { fixture, targetFolder } from './support/files.ts'
import { convertNatively, nativeBinary } from './support/native.ts'
import { itNeeds, test } from './support/test.ts'
import { withMemoryCap } from './support/wasm.ts'

const NAMES = ['config.json', 'dlm_config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']
/** The reference's names for modes, and how many cases are decoded in each. */
const MODES = [
  ['greedy', 'greedy'],
  ['iterative', 'iterative-0.9'],
  ['adaptive', 'adaptive-0.9'],
  ['ar', 'ar'],
] as const
const DECODED = 6

const it = itNeeds(tinyCheckpoint)
const itNatively = itNeeds(tinyCheckpoint, nativeBinary)

// The checkpoint's files, in the page.
test.beforeEach(async ({ page }) => {
  await page.evaluate(async (names) => {
    const fetched = names.map(async (name) => {
      const response = await fetch(`/fixtures/tiny-dlm/checkpoint/${name}`)
      return new File([await response.blob()], name)
    })
    Object.assign(globalThis, { checkpoint: await Promise.all(fetched) })
  }, NAMES)
})

declare global {
  /** The trained checkpoint, in the test page. */
  var checkpoint: readonly File[]
}

/** Files in place of those of the checkpoint; `null` takes one away. */
type Changes = Readonly<Record<string, string | Uint8Array | null>>

/** Converts the checkpoint with `changes`, and gives code and message of how that ended. */
async function convert(
  page: Page,
  changes: Changes,
  options: Omit<ConvertOptions, 'signal' | 'onProgress'> = {},
): Promise<string> {
  const encoded = Object.entries(changes).map(
    ([name, content]) => [name, content === null ? null : Buffer.from(content).toString('base64')] as const,
  )
  const { code, message } = await page.evaluate(
    async ({ encoded, options }): Promise<Outcome<never>> => {
      const files = new Map(checkpoint.map((file) => [file.name, file]))
      for (const [name, content] of encoded) {
        if (content === null) files.delete(name)
        else files.set(name, new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], name))
      }
      try {
        await webtern.convertCheckpoint(files.values(), options)
        return { code: 'ok', message: '' }
      } catch (error) {
        if (error instanceof webtern.WebternError) return { code: error.code, message: error.message }
        throw error
      }
    },
    { encoded, options },
  )
  await noWorkers(page)
  return `${code}: ${message}`
}

const read = (name: string): Buffer => readFileSync(join(tinyCheckpoint, name))

/** A JSON file of the checkpoint with some entries changed. */
function json(name: string, change: object): string {
  const parse: (text: string) => object = JSON.parse
  return JSON.stringify({ ...parse(read(name).toString()), ...change })
}

describe('the trained checkpoint', () => {
  itNatively('becomes the file that the command line writes', async ({ page }) => {
    const native = await convertNatively(tinyCheckpoint, join(targetFolder, 'models', 'tiny-dlm-native.gguf'))
    const { bytes, progress, report } = await page.evaluate(async () => {
      const progress: number[] = []
      const { blob, report } = await webtern.convertCheckpoint(checkpoint, {
        name: 'checkpoint',
        onProgress: ({ loaded, total }) => progress.push(loaded / total),
      })
      let bytes = ''
      for (const byte of new Uint8Array(await blob.arrayBuffer())) bytes += String.fromCharCode(byte)
      return { bytes: btoa(bytes), progress, report }
    })
    expect(Buffer.from(bytes, 'base64').equals(readFileSync(native))).toBe(true)
    expect(progress.at(-1)).toBe(1)
    expect(report).toMatchObject({ class: 'BitNetForCausalLM', architecture: 'bitnet', subNorms: 'two' })
    expect(report.tensors.find(({ name }) => name === 'blk.0.attn_q.weight')).toMatchObject({
      sourceType: 'F32',
      type: 'Q2_0',
      origin: 'master',
    })
    await noWorkers(page)
  })

  it('is known before it is converted, and agrees with its file', async ({ page }) => {
    const { report, same, other, progress } = await page.evaluate(async () => {
      const progress: string[] = []
      const report = await webtern.inspectCheckpoint(checkpoint)
      const { blob } = await webtern.convertCheckpoint(checkpoint, { type: 'q8_0' })
      const stories = await (await fetch('/fixtures/stories260K.gguf')).blob()
      return {
        report,
        same: await webtern.verifyModel(blob, checkpoint, { onProgress: (event) => progress.push(event.phase) }),
        other: await webtern.verifyModel(stories, checkpoint),
        progress,
      }
    })
    expect(report.diffusion).toMatchObject({ maskToken: 3, blockSize: 32, attention: 'block' })
    expect(report).toMatchObject({ modes: ['adaptive', 'iterative', 'greedy', 'ar'], maskTokenText: '|<MASK>|' })
    const read = report.tensors.filter(({ origin }) => origin !== null)
    expect(read.every(({ name }) => name.startsWith('blk.0.'))).toBe(true)
    expect(same.findings.filter(({ severity }) => severity === 'problem')).toEqual([])
    expect(same.tokenizer).toMatchObject({ reference: 'tokenizer.json', differing: 0 })
    expect(same.matrices.length).toBe(29)
    expect(new Set(progress)).toEqual(new Set(['verify']))
    expect(Math.min(...same.matrices.map(({ cosine }) => cosine))).toBeGreaterThan(0.9999)
    expect(other.findings[0]).toMatchObject({ severity: 'problem' })
    await noWorkers(page)
  })

  it('decodes as the reference did', async ({ page }) => {
    const parse: (line: string) => { readonly tokens: readonly number[]; readonly out: Record<string, number[]> } =
      JSON.parse
    const lines = readFileSync(fixture('tiny-dlm/cases.jsonl'), 'utf8').split('\n').slice(0, DECODED)
    const runs = lines
      .map(parse)
      .flatMap(({ tokens, out }) => MODES.map(([mode, name]) => ({ mode, tokens, expected: out[name] })))
    const found = await page.evaluate(async (runs) => {
      // The reference rounds its scales to f16.
      const { blob } = await webtern.convertCheckpoint(checkpoint, { scales: 'f16' })
      const model = await webtern.loadModel(blob)
      const found: (readonly number[])[] = []
      for (const { mode, tokens } of runs) {
        const options = { tokens, threshold: 0.9, maxTokens: mode === 'ar' ? 48 : 96 }
        found.push((await model.generate({ ...options, mode }).result()).tokens)
      }
      await model.unload()
      return found
    }, runs)
    expect(found).toEqual(runs.map(({ expected }) => expected))
  })
})

describe('a GGUF model', () => {
  it('is known by its file, wherever it is', async ({ page }) => {
    const { here, there, phases } = await page.evaluate(async () => {
      const phases = new Set<string>()
      const { blob } = await webtern.convertCheckpoint(checkpoint, { type: 'tq2_0' })
      return {
        here: await webtern.inspectModel(blob),
        there: await webtern.inspectModel('/fixtures/stories260K.gguf', {
          onProgress: ({ phase }) => phases.add(phase),
        }),
        phases: [...phases],
      }
    })
    expect(here).toMatchObject({ architecture: 'bitnet', runs: true, files: 1, subNorms: 'two' })
    expect(here.diffusion).toMatchObject({ maskToken: 3, blockSize: 32, attention: 'block' })
    expect(here.tensors.find(({ name }) => name === 'blk.1.attn_q.weight')).toMatchObject({ type: 'TQ2_0' })
    expect(here.tensors.find(({ name }) => name === 'blk.1.attn_q.weight')?.zeros).toBeCloseTo(0.33, 1)
    expect(here.findings.filter(({ severity }) => severity === 'problem')).toEqual([])
    expect(there).toMatchObject({ architecture: 'llama', runs: true, modes: ['ar'], diffusion: null })
    expect(there.findings.map(({ code }) => code)).toContain('no-mask-token')
    expect(phases).toEqual(['download', 'inspect'])
    await noWorkers(page)
  })

  it('that is none, or not whole, has the code that loading it would have', async ({ page }) => {
    const codes = await page.evaluate(async () => {
      const stories = await (await fetch('/fixtures/stories260K.gguf')).blob()
      const codeOf = (error: unknown): string => (error instanceof webtern.WebternError ? error.code : String(error))
      const inspect = (blob: Blob): Promise<string> => webtern.inspectModel(blob).then(() => 'ok', codeOf)
      return [await inspect(new Blob(['no model, but some text'])), await inspect(stories.slice(0, 5000))]
    })
    expect(codes).toEqual(['not-gguf', 'truncated'])
  })
})

describe('a checkpoint with a fault', () => {
  const weights = read('model.safetensors')
  const index = JSON.stringify({
    weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' },
  })
  /** The weights with a NaN as the tensor's element 7. */
  const withNan = (tensor: string): Uint8Array => {
    const length = Number(weights.readBigUInt64LE(0))
    const parse: (text: string) => Record<string, { readonly data_offsets: [number, number] }> = JSON.parse
    const header = parse(weights.toString('utf8', 8, 8 + length))
    const changed = Buffer.from(weights)
    changed.writeFloatLE(NaN, 8 + length + (header[tensor]?.data_offsets[0] ?? NaN) + 4 * 7)
    return changed
  }

  it.for<[name: string, expected: RegExp, changes: Changes]>([
    ['no configuration', /^io: config\.json is missing/, { 'config.json': null }],
    ['no tokenizer', /^io: the checkpoint has no tokenizer/, { 'tokenizer.json': null }],
    ['no weights', /^io: the checkpoint has no weights/, { 'model.safetensors': null }],
    [
      'a missing shard',
      /^truncated: 1 of the 2 weight files .* model-00002-of-00002\.safetensors$/,
      {
        'model.safetensors': null,
        'model.safetensors.index.json': index,
        'model-00001-of-00002.safetensors': weights.subarray(0, 64),
      },
    ],
    [
      'weights that end early',
      /^truncated: model\.safetensors: its tensors take 9987880 bytes, but the file has 5000000/,
      { 'model.safetensors': weights.subarray(0, 5_000_000) },
    ],
    [
      'a Git LFS pointer',
      /^truncated: .*git lfs pull/,
      { 'model.safetensors': 'version https://git-lfs.github.com/spec' },
    ],
    ['a header that is none', /^malformed: model\.safetensors/, { 'model.safetensors': new Uint8Array(64).fill(255) }],
    [
      'another architecture',
      /^unsupported-architecture: .*Mamba/,
      { 'config.json': json('config.json', { architectures: ['MambaForCausalLM'] }) },
    ],
    ['damaged JSON', /^malformed: .*tokenizer\.json/, { 'tokenizer.json': '{"model":' }],
    [
      'a weight that is NaN',
      /^malformed: tensor model\.layers\.1\.mlp\.up_proj\.weight: row 0, column 7 is NaN/,
      { 'model.safetensors': withNan('model.layers.1.mlp.up_proj.weight') },
    ],
  ])('%s', async ([_, expected, changes], { page }) => {
    expect(await convert(page, changes)).toMatch(expected)
  })

  it('weights of more than 4 GiB in one file', async ({ page }) => {
    const message = await page.evaluate(async () => {
      const part = new Blob([new Uint8Array(1 << 20)])
      const weights = new File(
        Array.from({ length: 4097 }, () => part),
        'model.safetensors',
      )
      const files = [...checkpoint.filter(({ name }) => name !== weights.name), weights]
      return webtern.inspectCheckpoint(files).then(
        () => 'ok',
        (error: unknown) => String(error),
      )
    })
    expect(message).toContain('model.safetensors has 4296015872 bytes, and a page reads files of up to 4 GiB')
  })

  it('options that do not go with it', async ({ page }) => {
    expect(await convert(page, {}, { maskTokenId: 600 })).toMatch(/^\S+: .*600/)
    expect(await convert(page, {}, { maskTokenId: 2 })).toMatch(/^\S+: .*2/)
    expect(await convert(page, {}, { maskTokenId: 2, forceMaskToken: true })).toBe('ok: ')
  })
})

describe('no room', () => {
  it('in the memory of the engine', async ({ page, site }) => {
    site.route('capped/converter/webtern_bg.wasm', (_, response) => {
      response.writeHead(200, { 'content-type': 'application/wasm' }).end(withMemoryCap(3, 'converter'))
    })
    expect(await convert(page, {}, { wasmBaseUrl: '/capped/' })).toMatch(/^out-of-memory: \S/)
  })

  it('for the file', async ({ page }) => {
    const ended = await convert(page, {}, { workerUrl: '/full-worker.js' })
    expect(ended).toMatch(/^out-of-memory: writing tensor \S+: the browser has no room for \d+ bytes after \d+/)
  })
})

describe('an abort', () => {
  it.for(['inspectCheckpoint', 'convertCheckpoint'] as const)(
    'ends %s at once, and its worker',
    async (name, { page }) => {
      const code = await page.evaluate(async (name) => {
        const controller = new AbortController()
        const call = webtern[name](checkpoint, { signal: controller.signal }).then(
          () => 'ok',
          (error: unknown) => (error instanceof webtern.WebternError ? error.code : 'another error'),
        )
        setTimeout(() => controller.abort(), 20)
        return call
      }, name)
      expect(code).toBe('aborted')
      await noWorkers(page)
    },
  )
})
