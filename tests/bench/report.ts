/** The results as text: a table for every model, then who is how many times as fast. */

import type { Verdict } from './agreement.js'
import { BLOCK, type BlockRow } from './blocks.js'
import type { KernelTiming } from './page/kernel-timing.js'
import type { Kind, PairRow } from './pairs.js'
import type { Case } from './schedule.js'
import type { Spread } from './statistics.js'
import { METRICS, type Comparison, type Metric, type Row } from './summary.js'

/** What stands in the report. */
export interface Results {
  readonly models: readonly string[]
  /** Titles of the engines by name. */
  readonly titles: ReadonlyMap<string, string>
  /** Models by name, then engines other than webtern. */
  readonly verdicts: ReadonlyMap<string, ReadonlyMap<string, Verdict>>
  readonly rows: readonly Row[]
  readonly blocks: readonly BlockRow[]
  readonly kernels: readonly KernelTiming[]
  readonly againstOthers: readonly Comparison[]
  readonly againstFewestThreads: readonly Comparison[]
  readonly pairs: readonly PairRow[]
}

/** How a metric is shown: as a rate where that is usual. */
export interface Shown {
  readonly title: string
  readonly unit: string
  /** From milliseconds or bytes to the unit. */
  readonly convert: (value: number) => number
  /** Whether the shown figure is better when it is larger. */
  readonly larger: boolean
}

/** How metrics are shown, for a prefill and a decoding of so many tokens. */
export function shownAs(prefillTokens: number, decodeTokens: number): Readonly<Record<Metric, Shown>> {
  return {
    loadMs: { title: 'load', unit: 's', convert: (ms) => ms / 1e3, larger: false },
    downloadMs: { title: 'load by its own download', unit: 's', convert: (ms) => ms / 1e3, larger: false },
    prefillMs: { title: 'prefill', unit: 'tokens/s', convert: (ms) => (prefillTokens / ms) * 1e3, larger: true },
    decodeMs: { title: 'AR decode', unit: 'tokens/s', convert: (ms) => (decodeTokens / ms) * 1e3, larger: true },
    peakBytes: { title: 'peak memory', unit: 'MB', convert: (bytes) => bytes / 1e6, larger: false },
  }
}

/** Three significant digits, and no fewer than all those before the point. */
export function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3)
}

/** The whole report. */
export function report(results: Results, shown: Readonly<Record<Metric, Shown>>): string {
  const { models, titles } = results
  const title = (engine: string): string => titles.get(engine) ?? engine
  const sections = models.map((model) => {
    const rows = results.rows.filter((row) => row.model === model)
    const header = ['', 'threads', ...METRICS.map((metric) => `${shown[metric].title}, ${shown[metric].unit}`)]
    const body = rows.map((row) => [
      title(row.engine),
      `${row.threads}${ranOf(row)}`,
      ...METRICS.map((metric) => range(row.spreads[metric], shown[metric])),
    ])
    const failures = rows.flatMap(({ engine, threads, failures }) =>
      [...new Set(failures)].map((failure) => {
        const times = failures.filter((other) => other === failure).length
        return `${title(engine)}, ${threadCount(threads)}, ${times} times: ${failure}`
      }),
    )
    return [model, table([header, ...body]), ...notes(results, model), ...failures].join('\n')
  })
  return [
    ...sections,
    comparisons('Times as fast as (of memory: times less)', results.againstOthers, title, shown),
    comparisons('What threads bring', results.againstFewestThreads, title, shown),
    pairs(results.pairs, shown),
    blocks(results.blocks),
    kernels(results.kernels),
  ]
    .filter((section) => section !== '')
    .join('\n\n')
}

/** What the checks of a model came to. */
function notes({ verdicts, titles }: Results, model: string): string[] {
  return [...(verdicts.get(model) ?? [])].map(([engine, verdict]) => {
    const title = titles.get(engine) ?? engine
    if ('refusal' in verdict) return `${title} does not run it: ${verdict.refusal}`
    const { tokens, nearTies, widest } = verdict.agreement
    const ties = nearTies === 0 ? '' : `, ${nearTies} of them near-ties (up to ${widest.toFixed(3)} nats)`
    return `webtern and ${title} agree on ${tokens} tokens${ties}`
  })
}

function comparisons(
  heading: string,
  list: readonly Comparison[],
  title: (engine: string) => string,
  shown: Readonly<Record<Metric, Shown>>,
): string {
  if (list.length === 0) return ''
  const name = ({ engine, model, threads }: Case): string => `${title(engine)}, ${model}, ${threadCount(threads)}`
  const header = ['', '', ...METRICS.map((metric) => shown[metric].title)]
  const body = list.map(({ ours, theirs, times }) => [
    name(ours),
    `: ${name(theirs)}`,
    ...METRICS.map((metric) => (times[metric] === undefined ? '-' : `${times[metric].toFixed(2)}x`)),
  ])
  return [heading, table([header, ...body])].join('\n')
}

/** What threads bring, neighbour by neighbour. */
function pairs(rows: readonly PairRow[], { prefillMs, decodeMs }: Readonly<Record<Metric, Shown>>): string {
  if (rows.length === 0) return ''
  const titles: Record<Kind, string> = { prefill: prefillMs.title, decode: decodeMs.title, block: `block of ${BLOCK}` }
  const header = [
    '',
    'threads',
    '',
    'times as fast',
    'pairs',
    'processors',
    'GB/s, 1 and all',
    'on whole processors',
    'pairs',
  ]
  const body = rows.map(({ model, threads, kind, times, pairs, processors, memory, wholeTimes, wholePairs }) => [
    ...[model, `${threads}`, titles[kind], `${times.toFixed(2)}x`, `${pairs}`, processors.toFixed(2)],
    `${memory.one.toFixed(1)}, ${memory.all.toFixed(1)}`,
    ...[wholePairs === 0 ? '-' : `${wholeTimes.toFixed(2)}x`, `${wholePairs}`],
  ])
  return ['What threads bring, in pairs', table([header, ...body])].join('\n')
}

/** When a pass over a block is worth it. */
function blocks(rows: readonly BlockRow[]): string {
  if (rows.length === 0) return ''
  const header = [
    '',
    'threads',
    'pass, ms',
    'with dual cache, ms',
    'commit, ms',
    'tokens a pass to beat AR',
    'with dual cache',
  ]
  const body = rows.map((row) => [
    row.model,
    `${row.threads}`,
    ...[row.passMs, row.dualPassMs, row.commitMs, row.tokensToBeatAr, row.dualTokensToBeatAr].map(figure),
  ])
  return [`Blocks of ${BLOCK}`, table([header, ...body])].join('\n')
}

/** How near kernels come to what the processor could do: the first timing of a backend is the loop on registers. */
function kernels(timings: readonly KernelTiming[]): string {
  if (timings.length === 0) return ''
  const ceiling = (name: string): number | undefined =>
    timings.find((other) => other.rows === 0 && other.name === `${name.split(' ')[0] ?? ''} registers`)?.gmacs
  const body = timings.map(({ name, rows, gmacs }) => {
    const most = ceiling(name)
    const share = most === undefined || rows === 0 ? '' : `${((gmacs / most) * 100).toFixed(0)} %`
    return [name, rows === 0 ? '' : `${rows}`, figure(gmacs), share]
  })
  return ['Kernels in the browser, one thread', table([['', 'rows', 'GMAC/s', 'of registers'], ...body])].join('\n')
}

/** A number of threads in words. */
export function threadCount(threads: number): string {
  return threads === 1 ? '1 thread' : `${threads} threads`
}

/** How many threads ran, if not as many as wanted. */
export function ranOf({ threads, ran }: Row): string {
  return ran === undefined || ran === threads ? '' : ` (ran ${ran})`
}

/** A median, and between which values it lies. */
function range(spread: Spread | undefined, { convert }: Shown): string {
  if (!spread) return '-'
  const ends = [convert(spread.min), convert(spread.max)].sort((a, b) => a - b).map(figure)
  return spread.count === 1
    ? figure(convert(spread.median))
    : `${figure(convert(spread.median))} (${ends.join(' to ')})`
}

/** Columns as wide as their widest cell. */
function table(lines: readonly (readonly string[])[]): string {
  const width = (column: number): number => Math.max(...lines.map((cells) => cells[column]?.length ?? 0))
  return lines
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd(width(column)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
