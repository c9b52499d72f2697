/**
 * A stand-in for the library that needs no model: it replays scripted text as the events of a real run, so that the page
 * can be tested for what it does with them. The address or file name of the "model" says how it behaves.
 */

import type {
  BlockToken,
  DecodeMode,
  GenerateEvent,
  GenerateOptions,
  GenerateResult,
  LoadModel,
  Model,
  ModelInfo,
  Run,
} from '../../src/types'
import { FakeError, sleep } from './fake-error'

export { convertCheckpoint, inspectCheckpoint, inspectModel, verifyModel } from './fake-checkpoint'

declare global {
  /** What was asked of a model last, for tests to look at. */
  var lastRequest: GenerateOptions
}

const BLOCK = 32
const MASK = 3
const ANSWER =
  'The tern is a seabird of the open coast. It hovers on narrow wings, turns its black cap to the water, and falls like ' +
  'a dropped needle after small fish.\n\nEvery year the Arctic tern flies from the top of the world to the bottom and back ' +
  'again, so that it lives in two summers and sees more daylight than any other animal. Its legs are short, its bill is ' +
  'sharp and red, and its colonies are loud. Fishermen called it the sea swallow for its forked tail.'
const MARKUP = '<img src=x onerror="window.hit=1"> <b>bold</b> <script>window.hit=1</script>'

export const loadModel: LoadModel = async (source, options = {}) => {
  // The embedded model has no address that could say how it behaves, so that of the page does.
  const address = source === 'tiny' ? `tiny${location.search}` : typeof source === 'string' ? source : ''
  const name = source instanceof File ? source.name : address
  const total = name.includes('unsized') ? null : 1_224_416
  const step = name.includes('slow') ? 120 : 4
  for (let i = 1; i <= 25; i += 1) {
    await sleep(step)
    if (options.signal?.aborted) throw new FakeError('aborted', 'the load was cancelled')
    options.onProgress?.({ phase: source instanceof File ? 'load' : 'download', loaded: (1_224_416 * i) / 25, total })
    if (i === 5 && name.includes('not-gguf')) {
      throw new FakeError(
        'not-gguf',
        'the file does not start with "GGUF" but with "<!DO": it looks like a web page; use the link to the file itself',
      )
    }
  }
  return model(name)
}

function model(name: string): Model {
  const ar = name.includes('stories')
  const info: ModelInfo = {
    name: ar ? 'stories260K' : name.startsWith('tiny') ? 'tiny' : 'tiny-dlm',
    architecture: ar ? 'llama' : 'bitnet',
    parameters: ar ? 292_800 : 3_146_000,
    quantization: ar ? 'F32' : 'Q2_0',
    contextLength: 8192,
    vocabSize: 512,
    diffusion: ar
      ? null
      : {
          maskToken: MASK,
          blockSize: BLOCK,
          attention: 'block',
          shiftLogits: true,
          autoregressive: false,
          acceptance: null,
          steps: null,
          threshold: null,
          tokensPerPass: null,
        },
    chatTemplate: !ar,
    notices: ['One thread: the page is not cross-origin isolated.'],
    kernel: 'simd128',
    build: 'simd128',
    threads: 1,
    memoryBytes: 5_177_344,
  }
  let unloaded = false
  return {
    info,
    generate: (options) => {
      if (unloaded) throw new FakeError('aborted', 'the model was unloaded')
      globalThis.lastRequest = options
      return new FakeRun(info, options)
    },
    tokenize: (text) => Promise.resolve(text.split(' ').map((_, i) => i)),
    detokenize: () => Promise.resolve(''),
    applyChatTemplate: () => Promise.resolve(''),
    fetch: notCalled,
    chat: { completions: { create: notCalled } },
    completions: { create: notCalled },
    choose: notCalled,
    session: () => {
      throw new Error('the page does not use sessions')
    },
    unload: () => {
      unloaded = true
      return Promise.resolve()
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

/** What the page has no use for. */
function notCalled(): Promise<never> {
  return Promise.reject(new FakeError('bad-option', 'the page does not call this'))
}

class FakeRun implements Run {
  readonly #info: ModelInfo
  readonly #options: GenerateOptions

  constructor(info: ModelInfo, options: GenerateOptions) {
    this.#info = info
    this.#options = options
  }

  async *[Symbol.asyncIterator](): AsyncIterator<GenerateEvent> {
    const said = this.#options.prompt ?? this.#options.messages?.at(-1)?.content ?? ''
    if (said.includes('crash'))
      throw new FakeError('crashed', 'the engine stopped: unreachable executed at pass 3; load the model again')
    const prompt = pieces(said)
    const answer = pieces(
      said.includes('markup')
        ? MARKUP
        : said.includes('long')
          ? Array.from({ length: 40 }, () => ANSWER).join(' ')
          : ANSWER,
    ).slice(0, this.#options.maxTokens ?? 128)
    const pause = said.includes('fast') ? 0 : said.includes('slow') ? 260 : said.includes('rapid') ? 1 : 40
    yield { type: 'prefill', done: prompt.length, total: prompt.length }
    const started = performance.now()
    let emitted = ''
    let passes = 0
    let blocks = 0
    let aborted = false
    if (!this.#info.diffusion || this.#options.mode === 'ar') {
      for (const piece of answer) {
        if (pause > 0) await sleep(pause / 4)
        aborted = this.#options.signal?.aborted ?? false
        if (aborted) break
        emitted += piece
        passes += 1
        yield { type: 'text', text: piece }
      }
    } else {
      const all = [...prompt, ...answer]
      for (
        let start = Math.floor(prompt.length / BLOCK) * BLOCK;
        start < all.length && !aborted;
        start += BLOCK, blocks += 1
      ) {
        const size = BLOCK
        const order = schedule(start, Math.max(prompt.length - start, 0), this.#options.subBlockSize ?? 8)
        const last = Math.max(...order)
        for (let pass = 1; pass <= last && !aborted; pass += 1) {
          if (pause > 0) await sleep(pause)
          aborted = this.#options.signal?.aborted ?? false
          passes += 1
          const tokens = Array.from({ length: size }, (_, i): BlockToken => {
            const at = order[i] ?? 1
            const text = all[start + i] ?? '<|im_end|>'
            return at <= pass
              ? {
                  id: 100 + (((start + i) * 37) % 400),
                  text,
                  masked: false,
                  confidence: at === 0 ? 1 : 0.99 - ((i * 7 + start) % 11) * 0.045,
                  pass: at,
                  decision: 'accepted' as const,
                }
              : { id: MASK, text: '', masked: true, confidence: 0, pass: 0, decision: null }
          })
          yield { type: 'block', index: blocks, start, tokens }
          const ready = tokens.findIndex((token) => token.masked)
          const until = Math.min(ready < 0 ? start + size : start + ready, all.length)
          const text = all.slice(prompt.length, Math.max(until, prompt.length)).join('')
          if (text.length > emitted.length) {
            yield { type: 'text', text: text.slice(emitted.length) }
            emitted = text
          }
        }
      }
    }
    const mode: Exclude<DecodeMode, 'auto'> = !this.#info.diffusion
      ? 'ar'
      : this.#options.mode === undefined || this.#options.mode === 'auto'
        ? 'iterative'
        : this.#options.mode
    const result: GenerateResult = {
      text: emitted,
      tokens: pieces(emitted).map((_, i) => i),
      finishReason: aborted ? 'abort' : answer.length === (this.#options.maxTokens ?? 128) ? 'length' : 'stop',
      stats: {
        promptTokens: prompt.length,
        reusedTokens: 0,
        newTokens: pieces(emitted).length,
        prefillMs: 3,
        decodeMs: performance.now() - started,
        tokensPerSecond: (pieces(emitted).length / Math.max(performance.now() - started, 1)) * 1000,
        passes,
        blocks,
        commits: blocks,
        evaluatedRows: 0,
        mode,
        kernel: 'simd128',
        threads: 1,
        build: 'simd128',
      },
    }
    yield { type: 'done', result }
  }

  text(): Promise<string> {
    return this.result().then(({ text }) => text)
  }

  async result(): Promise<GenerateResult> {
    for await (const event of this) if (event.type === 'done') return event.result
    throw new FakeError('aborted', 'no result')
  }
}

function pieces(text: string): string[] {
  return text.match(/\n+|\s?[\w’]{1,7}|\s?[^\s\w]/g) ?? []
}

/** The pass that decides each position: 0 for the prompt's, then sub-block by sub-block in a few passes each. */
function schedule(start: number, given: number, sub: number): number[] {
  const passes: number[] = []
  let base = 0
  for (let i = 0; i < BLOCK; i += sub) {
    let most = base
    for (let j = i; j < Math.min(i + sub, BLOCK); j += 1) {
      if (j < given) passes[j] = 0
      else {
        passes[j] = base + 1 + ((j * j + start) % 7 < 4 ? 0 : (j + start) % 3)
        most = Math.max(most, passes[j] ?? 0)
      }
    }
    base = most
  }
  return passes
}
