/** What more threads bring, as pairs tell: `time-pairs.ts` times them. */

import { grouped } from './schedule.js'
import { median } from './statistics.js'

/** What is timed: a prefill, one token at a time, and passes over a block of 32. */
export const KINDS = ['prefill', 'decode', 'block'] as const
export type Kind = (typeof KINDS)[number]

/** Two neighbours. */
export interface Pair {
  readonly model: string
  readonly threads: number
  readonly kind: Kind
  /** Milliseconds with the fewest threads. */
  readonly fewestMs: number
  /** Milliseconds with `threads`. */
  readonly ms: number
  /** Processors before, between and after. */
  readonly processors: readonly number[]
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
}

/** Sums up pairs, case by case. */
export function pairRows(pairs: readonly Pair[]): readonly PairRow[] {
  const cases = grouped(pairs, ({ model, threads, kind }) => [model, threads, kind])
  return cases.flatMap((same) => {
    const [{ model, threads, kind, ms }] = same
    // Without blocks.
    if (Number.isNaN(ms)) return []
    return {
      ...{ model, threads, kind },
      pairs: same.length,
      times: median(same.map(({ fewestMs, ms }) => fewestMs / ms)),
      processors: median(same.flatMap(({ processors }) => processors)),
    }
  })
}
