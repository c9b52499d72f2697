/**
 * One measurement, step by step: load, warm up, read a long prompt and write after a short one, several times. Others take their steps
 * between these.
 *
 * What engines report of themselves leaves out what happens between their passes, each in another way. So only whole calls are timed, from the
 * page:
 *
 * - `loadMs`: from the address of the file to an engine that can be asked, with the fetching of its own scripts and WebAssembly.
 * - `downloadMs`: the same by the engine's own call for an address, in another browser. Those of wllama store the file on the way, which
 *   `loadMs` spares them.
 * - `prefillMs`: one token after a prompt of 128, each time that it was done.
 * - `decodeMs`: 65 tokens after a prompt of 8, minus 1 token after another prompt of 8: what is left are 64 passes over one token. As often.
 * - `cost`: 64 tokens after a prompt of 8, block by block, in two ways: `blocks.ts`. Only webtern does this, so its own times will do.
 */

import { decode, DECODE_TOKENS, inBlocks, load, prefill, settingsOf, warmUp, writer } from './ask.js'
import { costOf, type BlockCost } from './blocks.js'
import { growth, resident } from './memory.js'
import { PREFILL_TOKENS, type Prompts } from './prompts.js'
import { median } from './statistics.js'
import { arrive, StepError, visit, type Visitor } from './visit.js'

/** How often a prompt is read and a text written, or how long at most before the last time: slow engines need not be asked as often. */
const SAMPLES = 5
const SAMPLING_MS = 6000
/** What a browser still does when it has started takes about so long, and when it may go on. */
const SETTLING_MS = 1000
const RESUMING_MS = 200

/** What was measured, as far as it came. */
export interface Sample {
  /** Threads that really ran. */
  readonly threads?: number
  readonly build?: string
  readonly loadMs?: number
  readonly downloadMs?: number
  readonly prefillMs?: readonly number[]
  readonly decodeMs?: readonly number[]
  /** What blocks cost, where the engine and the model decode them. */
  readonly cost?: BlockCost
  /** What the tab's process grew by at its peak; `null` where the system does not tell. */
  readonly peakBytes?: number | null
  /** Size of the WebAssembly memory; `null` where the engine does not tell. */
  readonly wasmBytes?: number | null
  /** Where the measurement ended early, and why. */
  readonly failure?: { readonly step: string; readonly reason: string }
}

/** Measures one engine with one model, in a browser of its own. Each step gives what is known by then and was not before. */
export async function* measure(
  address: string,
  model: string,
  threads: number,
  prompts: Prompts,
  timeoutMs: number,
): AsyncGenerator<Sample, void, undefined> {
  const download = (): Promise<number> =>
    visit(address, 'bench', timeoutMs, (visitor) => downloaded(visitor, model, threads))
  try {
    const visitor = await arrive(address, 'bench', timeoutMs)
    try {
      for await (const found of measured(visitor, model, threads, prompts, download)) {
        // While others take their steps.
        visitor.hold(true)
        yield found
        visitor.hold(false)
        await settled(RESUMING_MS)
      }
    } finally {
      await visitor.leave()
    }
  } catch (error) {
    if (!(error instanceof StepError)) throw error
    yield { failure: { step: error.step, reason: error.message } }
  }
}

/** The steps. `download` loads another time, by the engine's own call for an address. */
async function* measured(
  visitor: Visitor,
  model: string,
  threads: number,
  prompts: Prompts,
  download: () => Promise<number>,
): AsyncGenerator<Sample, void, undefined> {
  const { browser, step } = visitor
  const write = writer(visitor)
  await settled(SETTLING_MS)
  const before = await step('memory', () => resident(browser))
  const loaded = await load(visitor, model, threads)
  // At once, as a page would: what the load left behind is still there, and belongs to the peak of the memory.
  try {
    await warmUp(write, prompts)
  } finally {
    yield { threads: loaded.threads, build: loaded.build, loadMs: loaded.ms }
  }
  yield { downloadMs: loaded.own ? loaded.ms : await download() }
  const [prefillMs, decodeMs]: [number[], number[]] = [[], []]
  for (let ms = 0; prefillMs.length < SAMPLES && ms < SAMPLING_MS;) {
    const begin = performance.now()
    prefillMs.push(await prefill(write, prompts))
    decodeMs.push(await decode(write, prompts))
    ms += performance.now() - begin
    yield { prefillMs, decodeMs }
  }
  const runs = await inBlocks(visitor, prompts.short[0], DECODE_TOKENS)
  if (runs) yield { cost: costOf(runs, median(prefillMs) / PREFILL_TOKENS) }
  const wasmBytes = await step('memory', (page) => page.evaluate(() => bench.memoryBytes()))
  const after = await step('memory', () => resident(browser))
  yield { wasmBytes, peakBytes: growth(before, after) }
}

/** Milliseconds of the engine's own call for an address. */
async function downloaded({ step }: Visitor, model: string, threads: number): Promise<number> {
  await settled(SETTLING_MS)
  return step('download', (page) =>
    page.evaluate(([model, settings]) => bench.download(model, settings), [model, settingsOf(threads)] as const),
  )
}

async function settled(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms))
}
