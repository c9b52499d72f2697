/**
 * One measurement: load, warm up, read a long prompt, write after a short one.
 *
 * What engines report of themselves leaves out what happens between their passes, each in another way. So only whole calls are timed, from the
 * page:
 *
 * - `loadMs`: from the address of the file to an engine that can be asked, with the fetching of its own scripts and WebAssembly.
 * - `downloadMs`: the same by the engine's own call for an address, in another browser. Those of wllama store the file on the way, which
 *   `loadMs` spares them.
 * - `prefillMs`: one token after a prompt of 128.
 * - `decodeMs`: 65 tokens after a prompt of 8, minus 1 token after another prompt of 8: what is left are 64 passes over one token.
 *
 * - `cost`: 64 tokens after a prompt of 8, block by block, in two ways: `blocks.ts`. Only webtern does this, so its own times will do.
 *
 * To warm up, every engine reads other prompts of 128 tokens and writes 8 more, once and then on until two seconds are over: so long
 * may the browser compile what runs often.
 */

import { costOf, type BlockCost } from './blocks.js'
import { growth, resident } from './memory.js'
import type { TimedText } from './page/bench.js'
import type { Settings } from './page/engine.js'
import { PREFILL_TOKENS, SHORT_TOKENS, type Prompts } from './prompts.js'
import { StepError, visit, type Visitor } from './visit.js'

/** Tokens whose decoding is timed. */
export const DECODE_TOKENS = 64
const WARM_UP_TOKENS = 8
const WARM_UP_MS = 2000
/** What a browser still does when it has started takes about so long. */
const SETTLING_MS = 1000

/** Positions that all engines keep room for: more than any prompt here needs. */
export const CONTEXT_LENGTH = 512

/** What was measured, as far as it came. */
export interface Sample {
  /** Threads that really ran. */
  readonly threads?: number
  readonly build?: string
  readonly loadMs?: number
  readonly downloadMs?: number
  readonly prefillMs?: number
  readonly decodeMs?: number
  /** What blocks cost, where the engine and the model decode them. */
  readonly cost?: BlockCost
  /** What the tab's process grew by at its peak; `null` where the system does not tell. */
  readonly peakBytes?: number | null
  /** Size of the WebAssembly memory; `null` where the engine does not tell. */
  readonly wasmBytes?: number | null
  /** Where the measurement ended early, and why. */
  readonly failure?: { readonly step: string; readonly reason: string }
}

/** Measures one engine with one model, in a browser of its own. */
export async function measure(
  address: string,
  model: string,
  threads: number,
  prompts: Prompts,
  timeoutMs: number,
): Promise<Sample> {
  const settings = { threads, contextLength: CONTEXT_LENGTH }
  let sample: Sample = {}
  try {
    await visit(address, 'bench', timeoutMs, async (visitor) => {
      for await (const found of measured(visitor, model, settings, prompts)) sample = { ...sample, ...found }
    })
    if (sample.downloadMs === undefined) {
      const downloadMs = await visit(address, 'bench', timeoutMs, (visitor) => downloaded(visitor, model, settings))
      sample = { ...sample, downloadMs }
    }
  } catch (error) {
    if (!(error instanceof StepError)) throw error
    sample = { ...sample, failure: { step: error.step, reason: error.message } }
  }
  return sample
}

/** The steps, each with what it found. */
async function* measured(
  { browser, step }: Visitor,
  model: string,
  settings: Settings,
  { warmUp, prefill, short }: Prompts,
): AsyncGenerator<Sample, void, undefined> {
  const write = async (name: string, prompt: string, length: number, tokens: number): Promise<number> => {
    const text = await step(name, (page) =>
      page.evaluate(([prompt, tokens]) => bench.write(prompt, tokens), [prompt, tokens] as const),
    )
    return checked(text, name, length, tokens).ms
  }

  await settled()
  const before = await step('memory', () => resident(browser))
  const load = await step('load', (page) =>
    page.evaluate(([model, settings]) => bench.load(model, settings), [model, settings] as const),
  )
  yield { threads: load.threads, build: load.build, loadMs: load.ms, ...(load.own && { downloadMs: load.ms }) }
  let [next, other] = warmUp
  for (let ms = 0; ms < WARM_UP_MS; [next, other] = [other, next]) {
    ms += await write('warm-up', next, PREFILL_TOKENS, WARM_UP_TOKENS)
  }
  const prefillMs = await write('prefill', prefill, PREFILL_TOKENS, 1)
  yield { prefillMs }
  const first = await write('decode', short[0], SHORT_TOKENS, 1)
  const all = await write('decode', short[1], SHORT_TOKENS, 1 + DECODE_TOKENS)
  yield { decodeMs: all - first }
  const runs = await step('blocks', (page) =>
    page.evaluate(([prompt, tokens]) => bench.blocks(prompt, tokens), [short[0], DECODE_TOKENS] as const),
  )
  if (runs) yield { cost: costOf(runs, prefillMs / PREFILL_TOKENS) }
  const wasmBytes = await step('memory', (page) => page.evaluate(() => bench.memoryBytes()))
  const after = await step('memory', () => resident(browser))
  yield { wasmBytes, peakBytes: growth(before, after) }
}

/** Milliseconds of the engine's own call for an address. */
async function downloaded({ step }: Visitor, model: string, settings: Settings): Promise<number> {
  await settled()
  return step('download', (page) =>
    page.evaluate(([model, settings]) => bench.download(model, settings), [model, settings] as const),
  )
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, SETTLING_MS))
}

/** A text of the wrong length says that something else was timed than meant. */
function checked(text: TimedText, step: string, promptTokens: number, newTokens: number): TimedText {
  if (text.newTokens !== newTokens)
    throw new StepError(step, `the text ended after ${text.newTokens} of ${newTokens} tokens`)
  if (text.promptTokens !== promptTokens)
    throw new StepError(
      step,
      `the prompt was ${text.promptTokens} new tokens to the engine, rather than ${promptTokens}`,
    )
  return text
}
