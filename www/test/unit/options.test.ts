import { describe, expect, it } from 'vitest'
import cases from '../../../tests/cases/options.json' with { type: 'json' }
import { WebternError } from '../../src/errors.js'
import {
  checkChatTemplate,
  checkConvert,
  checkDetokenize,
  checkGenerate,
  checkInspectCheckpoint,
  checkLoad,
  checkRead,
  checkTokenize,
} from '../../src/options.js'
import type { ConvertOptions } from '../../src/checkpoint-types.js'
import type { LoadOptions } from '../../src/types.js'

function messageOf(call: () => void): string {
  try {
    call()
  } catch (error) {
    expect(error).toBeInstanceOf(WebternError)
    expect(error).toMatchObject({ code: 'bad-option' })
    return String(error)
  }
  throw new Error('it did not throw')
}

const ALL_OPTIONS = {
  mode: 'adaptive',
  threshold: 0.9,
  acceptance: 'dynamic',
  steps: 4,
  blockSize: 32,
  subBlockSize: 8,
  dualCache: true,
  maxTokens: 1,
  temperature: 0.5,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1.1,
  presencePenalty: -2,
  frequencyPenalty: 2,
  logitBias: { 7: -100 },
  logprobs: 3,
  seed: Number.MAX_SAFE_INTEGER,
  stop: ['a', 'b'],
  stopTokenIds: [2],
} as const

describe('checkLoad', () => {
  it('accepts every option, and undefined for each', () => {
    const options: LoadOptions = {
      onProgress: () => undefined,
      signal: new AbortController().signal,
      threads: 4,
      contextLength: 512,
      maskTokenId: 0,
      attention: 'block',
      wasmBaseUrl: '/wasm/',
      workerUrl: new URL('https://a.org/worker.js'),
    }
    checkLoad(options)
    for (const key of Object.keys(options)) checkLoad({ [key]: undefined })
  })

  it.each([
    [
      { conTextLength: 1 },
      'loadModel has no option "conTextLength"; it has signal, wasmBaseUrl, workerUrl, onProgress, threads',
    ],
    [{ toString: 1 }, 'loadModel has no option "toString"'],
    [{ onProgress: 1 }, 'onProgress must be a function, not 1'],
    [{ signal: {} }, 'signal must be an AbortSignal, not this object'],
    [{ threads: 0 }, 'threads must be an integer of at least 1, not 0'],
    [{ contextLength: 1.5 }, 'contextLength must be an integer of at least 1, not 1.5'],
    [{ contextLength: NaN }, 'not NaN'],
    [{ maskTokenId: -1 }, 'maskTokenId must be an integer of at least 0'],
    [{ maskTokenId: 2 ** 32 }, 'maskTokenId must be'],
    [{ attention: 'none' }, 'attention must be one of block, causal, not "none"'],
    [{ wasmBaseUrl: null }, 'wasmBaseUrl must be a URL or a string, not null'],
    [null, 'the options must be an object, not null'],
    ['fast', 'the options must be an object, not "fast"'],
  ])('rejects %j', (options, message) => {
    // @ts-expect-error: as from JavaScript, where no compiler looks
    expect(messageOf(() => checkLoad(options))).toContain(message)
  })
})

describe('checkConvert', () => {
  it('accepts every option, and undefined for each', () => {
    const options: ConvertOptions = {
      onProgress: () => undefined,
      signal: new AbortController().signal,
      type: 'q2_0',
      embeddingType: 'q8_0',
      subln: 'drop',
      ternarize: true,
      name: 'm',
      maskTokenId: 0,
      forceMaskToken: true,
      blockSize: 1,
      attention: 'causal',
      wasmBaseUrl: '/wasm/',
      workerUrl: '/worker.js',
    }
    checkConvert(options)
    for (const key of Object.keys(options)) checkConvert({ [key]: undefined })
  })

  it.each([
    [{ maxTokens: 1 }, 'convertCheckpoint has no option "maxTokens"; it has signal, wasmBaseUrl, workerUrl, type'],
    [{ type: 'Q2_0' }, 'type must be one of q2_0, pq2_0, tq1_0, tq2_0, i2_s, q8_0, q4_0, f16, bf16, f32, not "Q2_0"'],
    [{ embeddingType: 'q2_0' }, 'embeddingType must be one of q8_0, q4_0, f16, bf16, f32, not "q2_0"'],
    [{ subln: false }, 'subln must be one of keep, drop, not false'],
    [{ ternarize: 1 }, 'ternarize must be true or false, not 1'],
    [{ blockSize: 0 }, 'blockSize must be an integer of at least 1, not 0'],
    [{ attention: 'full' }, 'attention must be one of block, causal, not "full"'],
  ])('rejects %j', (options, message) => {
    // @ts-expect-error: as from JavaScript, where no compiler looks
    expect(messageOf(() => checkConvert(options))).toContain(message)
  })

  it('has more than the calls that only read', () => {
    const onProgress = (): void => undefined
    checkRead('inspectModel', { onProgress })
    // @ts-expect-error: there is no such option
    expect(messageOf(() => checkRead('verifyModel', { type: 'f16' }))).toContain('verifyModel has no option "type"')
    // @ts-expect-error: there is no such option
    expect(messageOf(() => checkInspectCheckpoint({ onProgress }))).toContain('inspectCheckpoint has no option')
  })
})

describe('checkGenerate', () => {
  it('keeps every option but the signal, in the form of the engine', () => {
    const signal = new AbortController().signal
    expect(checkGenerate({ prompt: '', ...ALL_OPTIONS, signal })).toEqual({ prompt: '', ...ALL_OPTIONS })
    const seed = 1
    expect(checkGenerate({ tokens: Uint32Array.of(1, 2), stop: 'a', seed })).toEqual({
      tokens: [1, 2],
      stop: ['a'],
      seed,
    })
    const messages = [{ role: 'user', content: '' }] as const
    expect(checkGenerate({ messages, seed })).toEqual({ messages, seed })
  })

  it('accepts and rejects what the engine does', () => {
    const outcome = (option: string, value: unknown): string => {
      try {
        checkGenerate({ prompt: '', [option]: value })
        return 'accepted'
      } catch (error) {
        return error instanceof WebternError ? error.code : String(error)
      }
    }
    expect(new Set(cases.flatMap(({ option, ok }) => (ok ? [option] : [])))).toEqual(new Set(Object.keys(ALL_OPTIONS)))
    for (const { option, value, ok } of cases) {
      expect(`${option} ${JSON.stringify(value)}: ${outcome(option, value)}`).toBe(
        `${option} ${JSON.stringify(value)}: ${ok ? 'accepted' : 'bad-option'}`,
      )
    }
  })

  it('draws another seed every time when none is given', () => {
    const seeds = Array.from({ length: 8 }, () => checkGenerate({ prompt: '' }).seed)
    expect(seeds.every((seed) => Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)).toBe(true)
    expect(new Set(seeds).size).toBeGreaterThan(1)
  })

  it.each([
    [{}, 'exactly one of prompt, messages and tokens'],
    [{ prompt: 'a', tokens: [1] }, 'exactly one of prompt, messages and tokens'],
    [{ prompt: 'a', max_tokens: 4 }, 'generate has no option "max_tokens"; it has mode, threshold'],
    [{ prompt: 1 }, 'prompt must be a string, not 1'],
    [{ messages: [] }, 'messages must be an array of at least one { role, content }'],
    [{ messages: [{ role: 'robot', content: '' }] }, 'with a role of system, user, assistant, tool'],
    [{ messages: [{ role: 'user' }] }, 'messages must be'],
    [{ tokens: [1, -1] }, 'tokens must be an array of token ids'],
    [{ tokens: [0.5] }, 'tokens must be'],
    [{ tokens: 'abc' }, 'tokens must be'],
    [
      { prompt: 'a', mode: 'fast' },
      'mode must be one of auto, ar, greedy, iterative, adaptive, speculative, not "fast"',
    ],
    [{ prompt: 'a', threshold: 1.1 }, 'threshold must be a number above 0 and at most 1, not 1.1'],
    [{ prompt: 'a', temperature: -1 }, 'temperature must be a number from 0 to 100, not -1'],
    [{ prompt: 'a', temperature: Infinity }, 'temperature must be'],
    [{ prompt: 'a', temperature: '1' }, 'temperature must be a number from 0 to 100, not "1"'],
    [{ prompt: 'a', repetitionPenalty: 0 }, 'repetitionPenalty must be a number from 0.01 to 100, not 0'],
    [{ prompt: 'a', subBlockSize: 0 }, 'subBlockSize must be an integer of at least 1, not 0'],
    [{ prompt: 'a', maxTokens: -1 }, 'maxTokens must be an integer of at least 1, not -1'],
    [{ prompt: 'a', seed: 2 ** 60 }, 'seed must be'],
    [{ prompt: 'a', stop: '' }, 'stop must be a non-empty string'],
    [{ prompt: 'a', stop: ['a', 1] }, 'stop must be'],
  ])('rejects %j', (options, message) => {
    // @ts-expect-error: as from JavaScript, where no compiler looks
    expect(messageOf(() => checkGenerate(options))).toContain(message)
  })
})

describe('the arguments of the other calls', () => {
  it('are checked', () => {
    expect(messageOf(() => checkTokenize({ text: undefined }))).toContain(
      'tokenize: text must be a string, not undefined',
    )
    expect(messageOf(() => checkTokenize({ text: '', addSpecial: 1 }))).toContain(
      'addSpecial must be true or false, not 1',
    )
    expect(messageOf(() => checkDetokenize({ ids: [1.5] }))).toContain('detokenize: ids must be an array of token ids')
    expect(messageOf(() => checkChatTemplate({ messages: 'hi' }))).toContain('applyChatTemplate: messages must be')
  })
})
