/** What a run found out: medians of each case, and how they compare. Plain data, which is what goes into `bench.json`. */

import { byCase, type Case } from './schedule.js'
import { advantage, spread, type Spread } from './statistics.js'

/** What is measured, all of it costs: the less the better. */
export const METRICS = ['loadMs', 'downloadMs', 'prefillMs', 'decodeMs', 'peakBytes'] as const
export type Metric = (typeof METRICS)[number]

/** What a turn found, each metric as often as it was measured. */
export interface Measured extends Case {
  readonly ran: number | undefined
  readonly values: Partial<Record<Metric, readonly number[]>>
  readonly failure: string | undefined
}

/** A case in all its rounds. */
export interface Row extends Case {
  /** Threads that really ran; `undefined` when no load succeeded. */
  readonly ran: number | undefined
  readonly spreads: Partial<Record<Metric, Spread>>
  readonly failures: readonly string[]
}

/** How many times as much another case costs. */
export interface Comparison {
  readonly ours: Case
  readonly theirs: Case
  readonly times: Partial<Record<Metric, number>>
}

/** The rows, in the order in which their cases were met first. */
export function rowsOf(measured: readonly Measured[]): Row[] {
  return byCase(measured).map((ofCase) => {
    const [{ engine, model, threads }] = ofCase
    const ran = ofCase.find((one) => one.ran !== undefined)?.ran
    const failures = ofCase.flatMap(({ failure }) => failure ?? [])
    return { engine, model, threads, ran, failures, spreads: spreadsOf(ofCase) }
  })
}

function spreadsOf(ofCase: readonly Measured[]): Row['spreads'] {
  return byMetric((metric) => spread(ofCase.flatMap(({ values }) => values[metric] ?? [])))
}

/**
 * Compares `ours` with every other engine, each with as many threads. An engine that does not run a model is compared with the model
 * next in size that it runs; `sizes` are those of the files, and all files should be of one shape.
 */
export function againstOthers(rows: readonly Row[], ours: string, sizes: ReadonlyMap<string, number>): Comparison[] {
  const others = new Set(rows.map(({ engine }) => engine).filter((engine) => engine !== ours))
  const size = (model: string): number => sizes.get(model) ?? 0
  return rows
    .filter(({ engine }) => engine === ours)
    .flatMap((own) =>
      [...others].flatMap((engine) => {
        const distance = (row: Row): number => Math.abs(Math.log(size(row.model) / size(own.model)))
        const [theirs] = rows
          .filter((row) => row.engine === engine && row.threads === own.threads)
          .sort((a, b) => distance(a) - distance(b))
        return theirs ? comparison(own, theirs) : []
      }),
    )
}

/** Compares every case with the same one on the fewest threads: how many times as much that costs. */
export function againstFewestThreads(rows: readonly Row[]): Comparison[] {
  const fewest = Math.min(...rows.map(({ threads }) => threads))
  return rows
    .filter(({ threads }) => threads > fewest)
    .flatMap((row) => {
      const { engine, model } = row
      const single = rows.find((other) => other.engine === engine && other.model === model && other.threads === fewest)
      return single ? comparison(row, single) : []
    })
}

function comparison(ours: Row, theirs: Row): Comparison {
  const caseOf = ({ engine, model, threads }: Row): Case => ({ engine, model, threads })
  const times = byMetric((metric) => advantage(ours.spreads[metric], theirs.spreads[metric]))
  return { ours: caseOf(ours), theirs: caseOf(theirs), times }
}

function byMetric<T>(of: (metric: Metric) => T | undefined): Partial<Record<Metric, T>> {
  const found: Partial<Record<Metric, T>> = {}
  for (const metric of METRICS) {
    const value = of(metric)
    if (value !== undefined) found[metric] = value
  }
  return found
}
