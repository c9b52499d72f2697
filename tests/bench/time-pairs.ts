/**
 * What more threads bring: webtern with the fewest and with more, in turns and nobody else. The two of a pair are neighbours in time, and each
 * pair says by how many processors it was met, and how fast memory was (`machine.ts`).
 */

import { decode, inBlocks, load, prefill, warmUp, writer } from './ask.js'
import { OURS } from './engines.js'
import { machine, processors, reading, type Probe } from './machine.js'
import type { ModelFile } from './options.js'
import { KINDS, type Kind, type Pair } from './pairs.js'
import { BLOCK_TOKENS, type Prompts } from './prompts.js'
import type { Site } from './site.js'
import { arrive, type Visitor } from './visit.js'

/**
 * Times `count` pairs of each kind for a model, with `threads` and with the `fewest`.
 *
 * @throws {StepError} when one of the engines fails
 */
export async function timePairs(
  site: Site,
  model: ModelFile,
  prompts: Prompts,
  { fewest, threads, count, timeoutMs }: { fewest: number; threads: number; count: number; timeoutMs: number },
): Promise<readonly Pair[]> {
  const probes: Probe[] = []
  const timed: Omit<Pair, 'processors' | 'memory'>[] = []
  const prober = machine(threads)
  const probe = async (): Promise<unknown> => probes.push(await prober.probe())
  const visitors: Visitor[] = []
  const open = async (threads: number): Promise<Timed> => {
    const visitor = await arrive(site.pageOf(OURS), 'bench', timeoutMs)
    visitors.push(visitor)
    return ready(visitor, site.addressOf(model), threads, prompts)
  }
  try {
    const [few, many] = [await open(fewest), await open(threads)]
    await probe()
    for (let i = 0; i < count; i++) {
      for (const kind of KINDS) {
        const fewestMs = await few[kind]()
        await probe()
        const ms = await many[kind]()
        await probe()
        timed.push({ model: model.name, threads, kind, fewestMs, ms })
      }
    }
  } finally {
    for (const visitor of visitors) await visitor.leave()
    await prober.stop()
  }
  const [counts, readings] = [processors(probes), probes.map(reading)]
  // The probe after a pair is the one before the next.
  const around = <T>(of: readonly T[], i: number): T[] => of.slice(2 * i, 2 * i + 3)
  return timed.map((pair, i) => ({ ...pair, processors: around(counts, i), memory: around(readings, i) }))
}

/** Does each kind of work, and says how many milliseconds that took. */
type Timed = Readonly<Record<Kind, () => Promise<number>>>

/** An engine that has loaded the model and is warm. */
async function ready(visitor: Visitor, model: string, threads: number, prompts: Prompts): Promise<Timed> {
  await load(visitor, model, threads)
  const write = writer(visitor)
  await warmUp(write, prompts)
  return {
    prefill: () => prefill(write, prompts),
    decode: () => decode(write, prompts),
    // Passes over a block until it is full, a token each.
    block: async () => (await inBlocks(visitor, prompts.block, BLOCK_TOKENS))?.full.ms ?? NaN,
  }
}
