/** What is asked of the engine of a page: to load and to write, timed there. What was timed must be what was meant. */

import type { TimedLoad } from './page/bench.js'
import type { BlockRuns, Settings } from './page/engine.js'
import { PREFILL_TOKENS, SHORT_TOKENS, type Prompts } from './prompts.js'
import { StepError, type Visitor } from './visit.js'

/** Positions that all engines keep room for: more than any prompt here needs. */
export const CONTEXT_LENGTH = 512

/** Tokens whose decoding is timed. */
export const DECODE_TOKENS = 64
const WARM_UP_TOKENS = 8
const WARM_UP_MS = 2000

/** The settings of every engine. */
export function settingsOf(threads: number): Settings {
  return { threads, contextLength: CONTEXT_LENGTH }
}

/** Loads the model at an address. */
export function load({ step }: Visitor, model: string, threads: number): Promise<TimedLoad> {
  return step('load', (page) =>
    page.evaluate(([model, settings]) => bench.load(model, settings), [model, settingsOf(threads)] as const),
  )
}

/** Continues a prompt block by block; `null` where the engine or the model does not. */
export function inBlocks({ step }: Visitor, prompt: string, tokens: number): Promise<BlockRuns | null> {
  return step('blocks', (page) =>
    page.evaluate(([prompt, tokens]) => bench.blocks(prompt, tokens), [prompt, tokens] as const),
  )
}

/** Milliseconds of a text of `tokens` tokens after a prompt of `length`. */
export type Write = (name: string, prompt: string, length: number, tokens: number) => Promise<number>

/**
 * How an engine writes.
 *
 * @throws {StepError} when a text has another length: it says that something else was timed than meant
 */
export function writer({ step }: Visitor): Write {
  return async (name, prompt, length, tokens) => {
    const { ms, newTokens, promptTokens } = await step(name, (page) =>
      page.evaluate(([prompt, tokens]) => bench.write(prompt, tokens), [prompt, tokens] as const),
    )
    if (newTokens !== tokens) throw new StepError(name, `the text ended after ${newTokens} of ${tokens} tokens`)
    if (promptTokens !== length)
      throw new StepError(name, `the prompt was ${promptTokens} new tokens to the engine, rather than ${length}`)
    return ms
  }
}

/**
 * Reads other prompts of 128 tokens and writes 8 more, once and then on until two seconds are over: so long may the browser compile what
 * runs often.
 */
export async function warmUp(write: Write, prompts: Prompts): Promise<void> {
  let [next, other] = prompts.warmUp
  for (let ms = 0; ms < WARM_UP_MS; [next, other] = [other, next]) {
    ms += await write('warm-up', next, PREFILL_TOKENS, WARM_UP_TOKENS)
  }
}

/** One token after a prompt of {@link PREFILL_TOKENS}. */
export function prefill(write: Write, prompts: Prompts): Promise<number> {
  return write('prefill', prompts.prefill, PREFILL_TOKENS, 1)
}

/** {@link DECODE_TOKENS} passes over one token: what a text takes longer than its first token. */
export async function decode(write: Write, { short }: Prompts): Promise<number> {
  const first = await write('decode', short[0], SHORT_TOKENS, 1)
  const all = await write('decode', short[1], SHORT_TOKENS, 1 + DECODE_TOKENS)
  return all - first
}
