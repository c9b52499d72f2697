/**
 * What has to be right before anything is timed: every engine must write what webtern writes. `agreement.ts` says when it does.
 *
 * A trained model knows what comes next, so there all texts must be equal. The models that are timed usually have random weights, which
 * know nothing, so there near-ties may fall either way.
 */

import { agreement, compare, TOLERANCE, type Verdict } from './agreement.js'
import { load } from './ask.js'
import { OURS } from './engines.js'
import { BenchError } from './errors.js'
import type { ModelFile } from './options.js'
import type { Step } from './page/engine.js'
import type {} from './page/webtern.js'
import { cutPrompts, type Prompts } from './prompts.js'
import type { Site } from './site.js'
import { StepError, visit, type Visitor } from './visit.js'

/** Tokens that follow each prompt. */
const TRACE_TOKENS = 4

/** The trained model, how its texts begin, and how far they are compared. */
export const TRAINED = { file: 'stories260K.gguf', prompts: ['Once upon a time', 'One day, a little girl'], tokens: 48 }

/** How engines are called and told to run. */
export interface Checking {
  readonly site: Site
  readonly engines: readonly string[]
  readonly threads: readonly number[]
  readonly timeoutMs: number
}

/** A model that may be timed. */
export interface Checked {
  readonly prompts: Prompts
  /** By engine, webtern left out. */
  readonly verdicts: ReadonlyMap<string, Verdict>
}

/**
 * Compares what engines write with a model that is to be timed.
 *
 * @throws {BenchError} `disagreement`
 * @throws {StepError} when webtern does not run the model
 */
export async function checkModel(checking: Checking, model: ModelFile): Promise<Checked> {
  const [fewest = 1, ...more] = checking.threads
  const { prompts, ours } = await loaded(checking, OURS, model, fewest, async (visitor) => {
    const prompts = await cutPrompts((text) =>
      visitor.step('tokens', (page) => page.evaluate((text) => countTokens(text), text)),
    )
    return { prompts, ours: await traces(visitor, prompts.compared, TRACE_TOKENS) }
  })
  for (const threads of more) {
    const again = await loaded(checking, OURS, model, threads, (visitor) =>
      traces(visitor, prompts.compared, TRACE_TOKENS),
    )
    if (tokensOf(again) !== tokensOf(ours))
      throw new BenchError(
        'disagreement',
        `${model.name}: webtern writes other tokens with ${threads} threads than with ${fewest}`,
      )
  }
  const verdicts = new Map<string, Verdict>()
  for (const engine of checking.engines.filter((engine) => engine !== OURS)) {
    verdicts.set(engine, await verdict(checking, engine, model, fewest, prompts.compared, ours))
  }
  return { prompts, verdicts }
}

/** Compares one engine with webtern's tokens. */
async function verdict(
  checking: Checking,
  engine: string,
  model: ModelFile,
  threads: number,
  prompts: readonly string[],
  ours: readonly Step[][],
): Promise<Verdict> {
  const theirs = await loaded(checking, engine, model, threads, (visitor) =>
    traces(visitor, prompts, TRACE_TOKENS),
  ).catch(refusal)
  if (!Array.isArray(theirs)) return theirs
  const found = agreement(theirs.map((steps, i) => compare(ours[i] ?? [], steps)))
  if ('tokens' in found) return { agreement: found }
  throw new BenchError(
    'disagreement',
    `${model.name}: webtern takes token ${found.ours} where ${engine} takes ${found.theirs}, by whose probabilities it is ` +
      `${found.gap.toFixed(2)} nats less likely; a near-tie is up to ${TOLERANCE}`,
  )
}

/**
 * Compares the texts of a trained model, as the engines write them when they are timed. Returns the engines that do not run it, and why.
 *
 * @throws {BenchError} `disagreement`
 * @throws {StepError} when webtern does not run it
 */
export async function checkTrained(checking: Checking, model: ModelFile): Promise<ReadonlyMap<string, string>> {
  const threads = checking.threads[0] ?? 1
  const ours = await loaded(checking, OURS, model, threads, texts)
  const refusals = new Map<string, string>()
  for (const engine of checking.engines.filter((engine) => engine !== OURS)) {
    const theirs = await loaded(checking, engine, model, threads, texts).catch(refusal)
    if (!Array.isArray(theirs)) refusals.set(engine, theirs.refusal)
    else if (theirs.join('\n') !== ours.join('\n'))
      throw new BenchError(
        'disagreement',
        `${model.name}: ${engine} writes ${JSON.stringify(theirs)} and webtern ${JSON.stringify(ours)}`,
      )
  }
  return refusals
}

async function texts({ step }: Visitor): Promise<string[]> {
  const found: string[] = []
  for (const prompt of TRAINED.prompts) {
    const { text } = await step('text', (page) =>
      page.evaluate(([prompt, tokens]) => bench.write(prompt, tokens), [prompt, TRAINED.tokens] as const),
    )
    found.push(text)
  }
  return found
}

/** What went wrong with an engine, as a verdict. */
function refusal(error: unknown): { readonly refusal: string } {
  if (error instanceof StepError) return { refusal: error.toString() }
  throw error
}

/** A visit with the model loaded. */
function loaded<T>(
  { site, timeoutMs }: Checking,
  engine: string,
  model: ModelFile,
  threads: number,
  work: (visitor: Visitor) => Promise<T>,
): Promise<T> {
  return visit(site.pageOf(engine), 'bench', timeoutMs, async (visitor) => {
    await load(visitor, site.addressOf(model), threads)
    return work(visitor)
  })
}

async function traces({ step }: Visitor, prompts: readonly string[], tokens: number): Promise<Step[][]> {
  const found: Step[][] = []
  for (const prompt of prompts) {
    const steps = await step('comparison', (page) =>
      page.evaluate(([prompt, tokens]) => bench.trace(prompt, tokens), [prompt, tokens] as const),
    )
    found.push([...steps])
  }
  return found
}

function tokensOf(traces: readonly Step[][]): string {
  return traces.map((steps) => steps.map(({ token }) => token).join(' ')).join('; ')
}
