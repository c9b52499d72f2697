/** The charts: of a report of `webtern eval`, and of the benchmark. */

import { describe, expect, it } from 'vitest'
import { chart } from '../../../tests/bench/chart.js'
import { shownAs } from '../../../tests/bench/report.js'
import { METRICS, rowsOf } from '../../../tests/bench/summary.js'
import { evalChart } from '../../scripts/eval-chart.mjs'

/** The texts that are drawn. */
const textsOf = (svg: string) => [...svg.matchAll(/<text[^>]*>([^<]+)</g)].map(([, text]) => text)

describe('an evaluation', () => {
  const score = (mode: string, threshold: number | null, exact: number, tokensPerSecond: number) => ({
    ...{ mode, threshold, exact, tokensPerSecond },
    cases: 100,
  })
  const ar = score('ar', null, 90, 100)

  it('has a point for every score, and names modes and thresholds', async () => {
    const scores = [ar, score('adaptive', 0.5, 80, 400), score('adaptive', 0.9, 100, 200)]
    const svg = await evalChart({ model: 'a <b>', cases: 100, scores })
    expect(svg.match(/fill-opacity/g)).toHaveLength(scores.length)
    const texts = ['a &lt;b&gt;, 100 cases', 'ar', 'adaptive', 'threshold', '0.5', '0.9', '80', '100']
    expect(textsOf(svg)).toEqual(expect.arrayContaining(texts))
    expect(svg).not.toMatch(/NaN|undefined|Infinity/)
  })

  it('has no thresholds where there are none, and leaves other rules of acceptance out', async () => {
    const scores = [ar, { ...score('adaptive', 0.5, 80, 400), acceptance: 'static' }]
    const svg = await evalChart({ model: 'toy', cases: 100, scores })
    expect(svg.match(/fill-opacity/g)).toHaveLength(1)
    expect(textsOf(svg)).not.toContain('threshold')
    expect(textsOf(svg)).not.toContain('adaptive')
  })
})

describe('a benchmark', async () => {
  const measured = (engine: string, threads: number, decodeMs?: number) => ({
    ...{ engine, model: 'small', threads, ran: threads },
    values: decodeMs === undefined ? {} : { decodeMs: [decodeMs] },
    failure: decodeMs === undefined ? 'decode: timed out after 120 s' : undefined,
  })
  const rows = rowsOf([measured('ours', 1, 150), measured('ours', 2, 75), measured('old', 1), measured('old', 2, 300)])
  const titles = new Map([
    ['ours', 'ours 1'],
    ['old', 'old <2>'],
  ])
  const svg = await chart('a "b" & c', rows, titles, shownAs(128, 64))

  it('has a bar for every case in every plot, the best as long as the plot', () => {
    const bars = [...svg.matchAll(/h(\d+)v14h-?\d+Z" fill="var/g)].map(([, width]) => width)
    expect(bars).toHaveLength(METRICS.length * rows.length)
    // 64 tokens in 75 ms are the most, and half as long is twice as slow.
    expect(bars.filter((width) => width !== '0')).toEqual(['188', '376', '94'])
    expect(textsOf(svg)).toEqual(expect.arrayContaining(['853', 'failed', 'small']))
  })

  it('is for light and dark readers, and its text is escaped', () => {
    expect(textsOf(svg)).toContain('a "b" &amp; c')
    expect(textsOf(svg)).toContain('old &lt;2&gt;, 1 thread')
    expect(svg).toContain('prefers-color-scheme: dark')
    expect(svg).not.toMatch(/NaN|undefined|Infinity/)
  })
})
