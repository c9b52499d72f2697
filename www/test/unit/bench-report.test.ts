/** How the benchmark of tests/bench sums up and shows what was measured. */

import { describe, expect, it } from 'vitest'
import { blockRows, costOf } from '../../../tests/bench/blocks.js'
import type { Verdict } from '../../../tests/bench/agreement.js'
import { pairRows, type Kind } from '../../../tests/bench/pairs.js'
import { processors, reading } from '../../../tests/bench/machine.js'
import { report, shownAs } from '../../../tests/bench/report.js'
import { againstFewestThreads, againstOthers, rowsOf, type Measured } from '../../../tests/bench/summary.js'

const shown = shownAs(128, 64)
const sizes = new Map([
  ['small', 60],
  ['middle', 90],
  ['large', 145],
])
const titles = new Map([
  ['ours', 'ours 1'],
  ['old', 'old <2>'],
])

const measured = (engine: string, model: string, threads: number, decodeMs?: number, failure?: string): Measured => ({
  ...{ engine, model, threads, failure },
  ran: threads,
  values: decodeMs === undefined ? {} : { decodeMs: [decodeMs] },
})

const all = [
  measured('ours', 'small', 1, 100),
  measured('old', 'middle', 1, 300),
  measured('ours', 'small', 1, 200),
  measured('old', 'middle', 1, undefined, 'decode: timed out after 120 s'),
  measured('old', 'large', 1, 900),
  measured('ours', 'small', 2, 75),
]

describe('rows', () => {
  const rows = rowsOf(all)

  it('gather the rounds of a case', () => {
    expect(rows.map(({ engine, model, threads }) => [engine, model, threads])).toEqual([
      ['ours', 'small', 1],
      ['old', 'middle', 1],
      ['old', 'large', 1],
      ['ours', 'small', 2],
    ])
    expect(rows[0]?.spreads).toEqual({ decodeMs: { median: 150, min: 100, max: 200, count: 2 } })
    expect(rows[1]).toMatchObject({ spreads: { decodeMs: { count: 1 } }, failures: ['decode: timed out after 120 s'] })
  })

  it('are compared with the engine that runs the model, or the one next in size', () => {
    const [comparison, ...others] = againstOthers(rows, 'ours', sizes)
    expect(comparison).toMatchObject({ ours: { model: 'small' }, theirs: { model: 'middle' }, times: { decodeMs: 2 } })
    expect(others).toEqual([])
    const same = againstOthers(rowsOf([...all, measured('old', 'small', 1, 450)]), 'ours', sizes)
    expect(same[0]).toMatchObject({ theirs: { model: 'small' }, times: { decodeMs: 3 } })
  })

  it('are compared with one thread', () => {
    const found = againstFewestThreads(rows)
    expect(found).toMatchObject([{ ours: { threads: 2 }, theirs: { threads: 1 }, times: { decodeMs: 2 } }])
    expect(againstFewestThreads([])).toEqual([])
  })
})

const memory = [20, 24, 28].map((one) => ({ one, all: one + 6 }))
const pair = (kind: Kind, fewestMs: number, ms: number) => ({ model: 'small', threads: 2, kind, fewestMs, ms, memory })

describe('pairs', () => {
  it('are summed up by kind, and again those on whole processors, without blocks where there are none', () => {
    const rows = pairRows([
      { ...pair('decode', 30, 20), processors: [2, 1.9, 1.8] },
      { ...pair('decode', 30, 30), processors: [2, 1, 1.7] },
      { ...pair('decode', 30, 15), processors: [1.8, 1.79, 1.4] },
      { ...pair('block', NaN, NaN), processors: [2, 2, 2] },
    ])
    const decode = {
      model: 'small',
      threads: 2,
      kind: 'decode',
      pairs: 3,
      times: 1.5,
      processors: 1.8,
      memory: memory[1],
    }
    expect(rows).toEqual([{ ...decode, wholePairs: 1, wholeTimes: 1.5 }])
  })

  it('meet as many processors as were undisturbed when they were met', () => {
    const read = { alone: [1, 1], together: 1 }
    const probes = [
      { compute: { alone: [4, 5], together: 8 }, read },
      { compute: { alone: [5, 6], together: 4 }, read },
    ]
    expect(processors(probes)).toEqual([1, 2])
  })

  it('know how fast one thread reads, and all of them', () => {
    const compute = { alone: [1, 1], together: 1 }
    const { one, all } = reading({ compute, read: { alone: [4, 3], together: 4 } })
    expect(one).toBeCloseTo(2 ** 26 / 3e6)
    expect(all).toBeCloseTo(2 ** 27 / 4e6)
  })
})

describe('the cost of blocks', () => {
  it('is what explains all runs', () => {
    // 5 ms a pass, 7 a commit, 3 a pass with the dual cache.
    const runs = {
      full: { ms: 64 * 5 + 2 * 7, passes: 64, commits: 2 },
      dual: { ms: 64 * 3 + 2 * 7, passes: 64, commits: 2 },
    }
    expect(costOf(runs, 7 / 32)).toEqual({ passMs: 5, commitMs: 7, dualPassMs: 3 })
  })

  it('is the median of each case', () => {
    const cost = (passMs: number) => ({ passMs, dualPassMs: 1, commitMs: 0 })
    const of = (threads: number, passMs: number) => ({
      ...{ engine: 'ours', model: 'm', threads, tokenMs: 2 },
      cost: cost(passMs),
    })
    expect(blockRows([of(1, 4), of(1, 100), of(1, 6), of(2, 5)])).toMatchObject([
      { threads: 1, passMs: 6, tokensToBeatAr: 3, dualTokensToBeatAr: 0.5 },
      { threads: 2, passMs: 5, tokensToBeatAr: 2.5 },
    ])
  })
})

describe('the report', () => {
  const rows = rowsOf([...all, { ...measured('old', 'small', 2, 640), ran: 1 }])
  const text = report(
    {
      models: ['small', 'middle', 'large'],
      titles,
      verdicts: new Map<string, Map<string, Verdict>>([
        ['small', new Map([['old', { refusal: 'load: no such type' }]])],
        ['middle', new Map([['old', { agreement: { tokens: 40, nearTies: 2, widest: 0.0314 } }]])],
      ]),
      rows,
      blocks: blockRows([
        { engine: 'ours', model: 'small', threads: 1, tokenMs: 10, cost: { passMs: 19, dualPassMs: 8, commitMs: 16 } },
      ]),
      kernels: [
        { name: 'simd128 registers', rows: 0, gmacs: 50 },
        { name: 'simd128 ternary', rows: 32, gmacs: 45.04 },
      ],
      againstOthers: againstOthers(rows, 'ours', sizes),
      againstFewestThreads: againstFewestThreads(rows),
      pairs: pairRows([
        { ...pair('decode', 30, 20), processors: [2, 1.9, 1.95] },
        { ...pair('decode', 30, 25), processors: [2, 1.1, 1.3] },
        { ...pair('prefill', 30, 25), processors: [1.2, 1.1, 1.3] },
      ]),
    },
    shown,
  )

  it.each([
    ['medians as rates, and between what', /^ours 1 +1 +- +- +- +427 \(320 to 640\) +-$/m],
    ['threads that did not run', /^old <2> +2 \(ran 1\) +- +- +- +100 +-$/m],
    ['what does not run', /^old <2> does not run it: load: no such type$/m],
    ['near-ties', /^webtern and old <2> agree on 40 tokens, 2 of them near-ties \(up to 0\.031 nats\)$/m],
    ['failures', /^old <2>, 1 thread, 1 times: decode: timed out after 120 s$/m],
    ['who is faster', /^ours 1, small, 1 thread +: old <2>, middle, 1 thread +- +- +- +2\.00x +-$/m],
    ['what threads bring', /^ours 1, small, 2 threads +: ours 1, small, 1 thread +- +- +- +2\.00x +-$/m],
    ['what threads bring in pairs', /^small +2 +AR decode +1\.35x +2 +1\.92 +24\.0, 30\.0 +1\.50x +1$/m],
    ['that no pair met whole processors', /^small +2 +prefill +1\.20x +1 +1\.20 +24\.0, 30\.0 +- +0$/m],
    ['how many tokens a pass must bring', /^small +1 +19\.0 +8\.00 +16\.0 +2\.00 +0\.842$/m],
    ['how near the ceiling kernels are', /^simd128 ternary +32 +45\.0 +90 %$/m],
  ])('says %s', (_, line) => {
    expect(text).toMatch(line)
  })
})
