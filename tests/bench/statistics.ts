/** Medians, and what they say about each other. */

/** Several measurements of one thing. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
  readonly count: number
}

/** The spread of `values`; `undefined` when there is none. */
export function spread(values: readonly number[]): Spread | undefined {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length / 2
  const [low, high] = [sorted[Math.ceil(half) - 1], sorted[Math.floor(half)]]
  const [min, max] = [sorted[0], sorted.at(-1)]
  if (low === undefined || high === undefined || min === undefined || max === undefined) return undefined
  return { median: (low + high) / 2, min, max, count: sorted.length }
}

/** The median of `values`; NaN when there is none. */
export function median(values: readonly number[]): number {
  return spread(values)?.median ?? NaN
}

/** The mean of `values`; NaN when there is none. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** How many times as much `theirs` is as `ours`: by medians, above 1 where ours costs less. `undefined` where one is missing. */
export function advantage(ours: Spread | undefined, theirs: Spread | undefined): number | undefined {
  return ours && theirs && ours.median > 0 ? theirs.median / ours.median : undefined
}
