// Draws accuracy against speed from what `webtern eval --report` writes: one line per mode, one
// point per threshold.
//
//   node scripts/eval-chart.mjs REPORT.json OUT.svg

import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { draw, MINOR, SERIES_COLORS } from './vega.mjs'

/**
 * @typedef {object} Score
 * @property {string} mode
 * @property {string | null} [acceptance]
 * @property {number | null} threshold
 * @property {number} cases
 * @property {number} exact
 * @property {number} tokensPerSecond
 *
 * @typedef {{ model: string, cases: number, scores: readonly Score[] }} Report
 */

/**
 * Scores of an acceptance rule other than the model's own are left out.
 *
 * @param {Report} report
 * @returns {Promise<string>} SVG
 */
export function evalChart({ model, cases, scores }) {
  const points = scores
    .filter(({ acceptance }) => acceptance == null)
    .map(({ mode, threshold, cases, exact, tokensPerSecond }) => {
      return { mode, threshold, speed: tokensPerSecond, accuracy: (100 * exact) / cases }
    })
  const thresholds = [...new Set(points.flatMap(({ threshold }) => threshold ?? []))].sort((a, b) => a - b)
  const at = /** @type {const} */ ({ x: { scale: 'x', field: 'speed' }, y: { scale: 'y', field: 'accuracy' } })
  const color = { scale: 'mode', field: 'mode' }
  const hasNone = 'datum.threshold === null'
  return draw({
    width: 600,
    height: 320,
    title: `${model}, ${cases} cases`,
    description: `${model}: exact match against tokens per second`,
    data: [{ name: 'points', values: points }],
    scales: [
      { name: 'x', type: 'log', domain: { data: 'points', field: 'speed' }, range: 'width', padding: 16 },
      {
        name: 'y',
        type: 'linear',
        domain: { data: 'points', field: 'accuracy' },
        range: 'height',
        zero: false,
        nice: true,
      },
      { name: 'mode', type: 'ordinal', domain: { data: 'points', field: 'mode' }, range: SERIES_COLORS },
      { name: 'threshold', type: 'point', domain: thresholds, range: [30, 300] },
    ],
    axes: [
      { scale: 'x', orient: 'bottom', title: 'tokens per second, logarithmic', tickCount: 5, format: 'd' },
      { scale: 'y', orient: 'left', title: 'exact match, %', tickCount: 6 },
    ],
    legends: [
      { fill: 'mode', title: 'mode', symbolType: 'circle' },
      ...(thresholds.length > 0
        ? [
            /** @type {const} */ ({
              size: 'threshold',
              title: 'threshold',
              symbolType: 'circle',
              symbolFillColor: MINOR,
            }),
          ]
        : []),
    ],
    marks: [
      {
        type: 'group',
        from: { facet: { name: 'line', data: 'points', groupby: 'mode' } },
        marks: [
          {
            type: 'line',
            from: { data: 'line' },
            encode: { enter: { ...at, stroke: color, strokeWidth: { value: 2 } } },
          },
        ],
      },
      {
        type: 'symbol',
        from: { data: 'points' },
        encode: {
          enter: {
            ...at,
            shape: [{ test: hasNone, value: 'diamond' }, { value: 'circle' }],
            size: [
              { test: hasNone, value: 120 },
              { scale: 'threshold', field: 'threshold' },
            ],
            fill: color,
            fillOpacity: { value: 0.7 },
          },
        },
      },
    ],
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [report, out] = process.argv.slice(2)
  if (!report || !out) throw new Error('usage: node scripts/eval-chart.mjs REPORT.json OUT.svg')
  writeFileSync(out, await evalChart(JSON.parse(readFileSync(report, 'utf8'))))
}
