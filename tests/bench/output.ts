/** From measurements to results, and to the files that keep them. */

import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { cpus, release, type } from 'node:os'
import { join } from 'node:path'
import { CONTEXT_LENGTH, DECODE_TOKENS } from './ask.js'
import { blockRows } from './blocks.js'
import { chart } from './chart.js'
import type { Checked } from './check.js'
import { OURS } from './engines.js'
import type { Sample } from './measure.js'
import type { ModelFile, Options } from './options.js'
import { pairRows, type Pair } from './pairs.js'
import type { KernelTiming } from './page/kernel-timing.js'
import { PREFILL_TOKENS } from './prompts.js'
import { shownAs, type Results } from './report.js'
import type { Turn } from './schedule.js'
import { median } from './statistics.js'
import { againstFewestThreads, againstOthers, rowsOf, type Measured } from './summary.js'

/** A turn and what it found. */
export type Measurement = Turn & { readonly sample: Sample }

/** How the figures of this benchmark are shown. */
export const SHOWN = shownAs(PREFILL_TOKENS, DECODE_TOKENS)

/** Sums up a run. */
export function resultsOf(
  models: readonly ModelFile[],
  titles: ReadonlyMap<string, string>,
  checked: ReadonlyMap<string, Checked>,
  measurements: readonly Measurement[],
  pairs: readonly Pair[],
  kernels: readonly KernelTiming[],
): Results {
  const rows = rowsOf(measurements.map(measuredOf))
  const sizes = new Map(models.map(({ name, path }) => [name, statSync(path).size]))
  return {
    models: models.map(({ name }) => name),
    titles,
    verdicts: new Map([...checked].map(([model, { verdicts }]) => [model, verdicts])),
    rows,
    kernels,
    blocks: blockRows(
      measurements.flatMap(({ engine, model, threads, sample: { cost, decodeMs } }) =>
        cost && decodeMs ? { engine, model, threads, cost, tokenMs: median(decodeMs) / DECODE_TOKENS } : [],
      ),
    ),
    againstOthers: againstOthers(rows, OURS, sizes),
    againstFewestThreads: againstFewestThreads(rows),
    pairs: pairRows(pairs),
  }
}

function measuredOf({ engine, model, threads, sample }: Measurement): Measured {
  const { loadMs, downloadMs, prefillMs, decodeMs, peakBytes, failure } = sample
  const once = (value: number | null | undefined): number[] => (typeof value === 'number' ? [value] : [])
  return {
    ...{ engine, model, threads },
    ran: sample.threads,
    values: {
      loadMs: once(loadMs),
      downloadMs: once(downloadMs),
      prefillMs: prefillMs ?? [],
      decodeMs: decodeMs ?? [],
      peakBytes: once(peakBytes),
    },
    failure: failure && `${failure.step}: ${failure.reason}`,
  }
}

/** Writes `bench.json`, which has everything, and `bench.svg`, and returns their paths. */
export async function write(
  options: Options,
  chromium: string,
  results: Results,
  measurements: readonly Measurement[],
  pairs: readonly Pair[],
): Promise<readonly string[]> {
  const { engines, threads, rounds, busy, timeoutMs, models } = options
  const { titles, verdicts, ...summary } = results
  const processors = cpus()
  const data = {
    date: new Date().toISOString(),
    machine: { system: `${type()} ${release()}`, processor: processors[0]?.model, cores: processors.length },
    chromium,
    engines: Object.fromEntries(titles),
    options: { engines, threads, rounds, busy, timeoutMs },
    lengths: { prefillTokens: PREFILL_TOKENS, decodeTokens: DECODE_TOKENS, contextLength: CONTEXT_LENGTH },
    files: models.map(({ name, path }) => ({ name, bytes: statSync(path).size })),
    checks: Object.fromEntries([...verdicts].map(([model, ofModel]) => [model, Object.fromEntries(ofModel)])),
    ...summary,
    measurements,
    timedPairs: pairs,
  }
  const heading = `webtern and wllama in Chromium ${chromium.split('.')[0] ?? ''}${busy ? ', on a busy machine' : ''}`
  const files = {
    [join(options.out, 'bench.json')]: `${JSON.stringify(data, null, 2)}\n`,
    [join(options.out, 'bench.svg')]: await chart(heading, results.rows, titles, SHOWN),
  }
  mkdirSync(options.out, { recursive: true })
  for (const [path, contents] of Object.entries(files)) writeFileSync(path, contents)
  return Object.keys(files)
}
