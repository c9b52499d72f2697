/**
 * `make bench`, the half that runs in a browser: webtern beside wllama 3.8.1 and wllama 2.3.1 in headless Chromium, on the same files.
 *
 *     check      every engine writes what webtern writes              check.ts, agreement.ts
 *     measure    step by step in turns, each in a browser of its own  schedule.ts, heat.ts, measure.ts, visit.ts
 *     pairs      one thread and more in turns, webtern alone          time-pairs.ts, machine.ts, pairs.ts
 *     kernels    against a loop on registers                          kernels.ts, page/kernels.ts
 *     report     medians and ratios: a table, JSON, a chart           output.ts, summary.ts, report.ts, chart.ts
 *
 * `www/scripts/bench.mjs` bundles and starts it.
 */

import { existsSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { keepBusy } from './busy.js'
import { checkModel, checkTrained, TRAINED, type Checked, type Checking } from './check.js'
import { OURS, titleOf } from './engines.js'
import { BenchError } from './errors.js'
import { heat } from './heat.js'
import { kernelTimings } from './kernels.js'
import { measure } from './measure.js'
import { parseOptions, USAGE, type ModelFile, type Options } from './options.js'
import { resultsOf, SHOWN, write, type Measurement } from './output.js'
import type { Pair } from './pairs.js'
import { report, threadCount } from './report.js'
import { schedule, type Turn } from './schedule.js'
import { startSite, type Site } from './site.js'
import { timePairs } from './time-pairs.js'
import { browserVersion, StepError } from './visit.js'

/** A case that failed so often in a row is not tried any more. */
const FAILURES = 2

/** Runs the benchmark and returns the exit code: 0 ok, 1 failed, 2 wrong usage. */
export async function main(args: readonly string[], root: string, built: string): Promise<number> {
  try {
    const fixtures = process.env['WEBTERN_FIXTURES'] ?? resolve(root, '../shared/fixtures')
    await run(parseOptions(args, { root, fixtures }), root, fixtures, built)
    return 0
  } catch (error) {
    if (!(error instanceof BenchError) && !(error instanceof StepError)) throw error
    const usage = error instanceof BenchError && error.code === 'bad-option'
    const message = error instanceof StepError ? error.toString() : error.message
    console.error(`bench: ${message}${usage ? `\n${USAGE}` : ''}`)
    return usage ? 2 : 1
  }
}

async function run(options: Options, root: string, fixtures: string, built: string): Promise<void> {
  const www = join(root, 'www')
  const titles = new Map([OURS, ...options.engines].map((engine) => [engine, titleOf(engine, www)]))
  const chromium = await browserVersion()
  const trained = { name: 'stories260K', path: join(fixtures, TRAINED.file) }
  const site = await startSite(join(root, 'tests/bench'), www, built, [...options.models, trained])
  try {
    const checked = await check({ site, ...options }, options.models, trained)
    const busy = options.busy ? keepBusy() : undefined
    let measurements: readonly Measurement[]
    let pairs: readonly Pair[]
    try {
      measurements = await measureAll(options, site, checked)
      pairs = await pairAll(options, site, checked)
    } finally {
      busy?.stop()
    }
    say('timing kernels')
    const kernels = await kernelTimings(www, site, options.timeoutMs)
    if (!kernels) say('  not there: build them by npm run build -- --bench')
    const results = resultsOf(options.models, titles, checked, measurements, pairs, kernels ?? [])
    const files = await write(options, chromium, results, measurements, pairs)
    console.log(`${report(results, SHOWN)}\n\n${files.map((file) => relative(root, file)).join('\n')}`)
  } finally {
    await site.close()
  }
}

// ---- check

async function check(
  checking: Checking,
  models: readonly ModelFile[],
  trained: ModelFile,
): Promise<ReadonlyMap<string, Checked>> {
  if (existsSync(trained.path)) {
    say(`checking texts of ${trained.name}`)
    for (const [engine, reason] of await checkTrained(checking, trained)) say(`  ${engine} does not run it: ${reason}`)
  } else say(`${trained.path} is missing: texts of a trained model are not compared`)
  const checked = new Map<string, Checked>()
  for (const model of models) {
    say(`checking tokens of ${model.name}`)
    checked.set(model.name, await checkModel(checking, model))
  }
  return checked
}

// ---- measure

async function measureAll(
  options: Options,
  site: Site,
  checked: ReadonlyMap<string, Checked>,
): Promise<readonly Measurement[]> {
  const { engines, threads, rounds, timeoutMs } = options
  const models = new Map(options.models.map((model) => [model.name, model]))
  const runs = (engine: string, model: string): boolean => {
    const verdict = checked.get(model)?.verdicts.get(engine)
    return engine === OURS || (verdict !== undefined && 'agreement' in verdict)
  }
  const heats = schedule({ engines, models: [...models.keys()], threads, rounds }, runs)
  const measurements: Measurement[] = []
  for (const [i, turns] of heats.entries()) {
    const lanes = turns.flatMap((turn) => {
      const model = models.get(turn.model)
      const prompts = checked.get(turn.model)?.prompts
      if (!model || !prompts || givenUp(turn, measurements)) return []
      const steps = measure(site.pageOf(turn.engine), site.addressOf(model), turn.threads, prompts, timeoutMs)
      return [{ turn, steps }]
    })
    say(`heat ${i + 1} of ${heats.length}: ${turns[0]?.model ?? ''}`)
    const found = await heat(lanes)
    for (const { engine, threads, sample } of found) {
      if (!sample.failure) continue
      const { step, reason } = sample.failure
      say(`  ${engine}, ${threadCount(threads)}, failed: ${step}: ${reason}`)
    }
    measurements.push(...found)
  }
  return measurements
}

async function pairAll(
  { engines, threads, models, pairs: count, timeoutMs }: Options,
  site: Site,
  checked: ReadonlyMap<string, Checked>,
): Promise<readonly Pair[]> {
  if (!engines.includes(OURS)) return []
  const fewest = Math.min(...threads)
  const pairs: Pair[] = []
  for (const model of models) {
    const prompts = checked.get(model.name)?.prompts
    for (const more of threads.filter((number) => number > fewest)) {
      if (!prompts) continue
      say(`pairs of ${model.name}: ${threadCount(fewest)} and ${more}`)
      try {
        pairs.push(...(await timePairs(site, model, prompts, { fewest, threads: more, count, timeoutMs })))
      } catch (error) {
        if (!(error instanceof StepError)) throw error
        say(`  failed: ${error.toString()}`)
      }
    }
  }
  return pairs
}

/** Whether a case has failed too often in a row. */
function givenUp({ engine, model, threads }: Turn, measurements: readonly Measurement[]): boolean {
  const before = measurements.filter((one) => one.engine === engine && one.model === model && one.threads === threads)
  const last = before.slice(-FAILURES)
  return last.length === FAILURES && last.every(({ sample }) => sample.failure)
}

function say(line: string): void {
  console.error(`bench: ${line}`)
}
