/** What more threads bring, as pairs tell: `time-pairs.ts` times them. */

import { medianReading, type Reading } from './machine.js'
import { grouped } from './schedule.js'
import { mean, median } from './statistics.js'

/** What is timed: a prefill, one token at a time, and passes over a block of 32. */
export const KINDS = ['prefill', 'decode', 'block'] as const
export type Kind = (typeof KINDS)[number]

/** Processors for each thread that count as whole ones: an undisturbed thread is rarely as fast as the fastest. */
const WHOLE = 0.85

/** Two neighbours. */
export interface Pair {
  readonly model: string
  readonly threads: number
  readonly kind: Kind
  /** Milliseconds with the fewest threads; NaN for blocks that the model does not decode. */
  readonly fewestMs: number
  /** Milliseconds with `threads`. */
  readonly ms: number
  /** Processors before, between and after. */
  readonly processors: readonly number[]
  /** How fast memory was then. */
  readonly memory: readonly Reading[]
}

/** What the pairs of a case come to: by how many times more threads are faster, the median of pairs. */
export interface PairRow {
  readonly model: string
  readonly threads: number
  readonly kind: Kind
  readonly pairs: number
  readonly times: number
  /** Median of all probes. */
  readonly processors: number
  /** The same of memory. */
  readonly memory: Reading
  /** Pairs that met whole processors, by the mean of their probes. */
  readonly wholePairs: number
  /** What those come to; NaN when there were none. */
  readonly wholeTimes: number
}

/** Sums up pairs, case by case. */
export function pairRows(pairs: readonly Pair[]): readonly PairRow[] {
  const cases = grouped(pairs, ({ model, threads, kind }) => [model, threads, kind])
  return cases.flatMap((same) => {
    const [{ model, threads, kind, ms }] = same
    // Without blocks.
    if (Number.isNaN(ms)) return []
    const times = (pairs: readonly Pair[]): number => median(pairs.map(({ fewestMs, ms }) => fewestMs / ms))
    const whole = same.filter(({ processors }) => mean(processors) >= WHOLE * threads)
    return {
      ...{ model, threads, kind },
      pairs: same.length,
      times: times(same),
      processors: median(same.flatMap(({ processors }) => processors)),
      memory: medianReading(same.flatMap(({ memory }) => memory)),
      wholePairs: whole.length,
      wholeTimes: times(whole),
    }
  })
}
