/** The results as a picture: a plot for every metric, in it a bar for every case. SVG that follows the reader's light or dark scheme. */

import { figure, ranOf, threadCount, type Shown } from './report.js'
import { METRICS, type Metric, type Row } from './summary.js'

/** Sizes in pixels. */
const WIDTH = 720
const LEFT = 208
const RIGHT = 632
const BAR = 14
const BAR_STEP = 18
const MODEL_HEIGHT = 24
const PLOT_HEAD = 40
const TOP = 44

/** Colours that show on white and on black, one for each engine in the order of its first row. */
const COLOURS = ['#1f6feb', '#bc4c00', '#6e7781', '#1a7f37', '#bf3989']

const STYLE = `
  svg { background: #fff; fill: #1f2328; }
  .axis { stroke: #d8dee4; }
  .minor { fill: #59636e; }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117; fill: #e6edf3; }
    .axis { stroke: #30363d; }
    .minor { fill: #9198a1; }
  }
`

/** Draws the medians of all rows. A case that failed has no bar, and says so. */
export function chart(
  heading: string,
  rows: readonly Row[],
  titles: ReadonlyMap<string, string>,
  shown: Readonly<Record<Metric, Shown>>,
): string {
  const engines = [...new Set(rows.map(({ engine }) => engine))]
  const colourOf = (engine: string): string => COLOURS[engines.indexOf(engine) % COLOURS.length] ?? ''
  const parts: string[] = []
  let y = TOP
  for (const metric of METRICS) {
    const drawn = plot(y, rows, metric, shown[metric], titles, colourOf)
    parts.push(drawn.svg)
    y = drawn.bottom
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 16}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="${escaped(heading)}">`,
    `<style>${STYLE}</style>`,
    `<text x="16" y="26" font-size="15" font-weight="600">${escaped(heading)}</text>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}

/** One plot from `top` on, and where it ends. */
function plot(
  top: number,
  rows: readonly Row[],
  metric: Metric,
  { title, unit, convert, larger }: Shown,
  titles: ReadonlyMap<string, string>,
  colourOf: (engine: string) => string,
): { readonly svg: string; readonly bottom: number } {
  const valueOf = ({ spreads }: Row): number | undefined => {
    const spread = spreads[metric]
    return spread && convert(spread.median)
  }
  const most = Math.max(...rows.map((row) => valueOf(row) ?? 0))
  const wanted = larger ? 'more is better' : 'less is better'
  const svg = [
    `<text x="16" y="${top + 18}" font-weight="600">${title}, ${unit} <tspan class="minor" font-weight="400">${wanted}</tspan></text>`,
  ]
  let y = top + PLOT_HEAD
  const begin = y - 8
  for (const model of new Set(rows.map((row) => row.model))) {
    svg.push(`<text class="minor" x="16" y="${y + 4}">${escaped(model)}</text>`)
    y += MODEL_HEIGHT - BAR
    for (const row of rows.filter((row) => row.model === model)) {
      const value = valueOf(row)
      const label = `${titles.get(row.engine) ?? row.engine}, ${threadCount(row.threads)}${ranOf(row)}`
      const width = value === undefined || most === 0 ? 0 : ((RIGHT - LEFT) * value) / most
      const text = value !== undefined ? figure(value) : row.failures.length > 0 ? 'failed' : 'unknown'
      svg.push(
        `<text x="${LEFT - 8}" y="${y + 11}" text-anchor="end">${escaped(label)}</text>`,
        `<rect x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2" fill="${colourOf(row.engine)}"/>`,
        `<text class="minor" x="${(LEFT + width + 6).toFixed(1)}" y="${y + 11}">${text}</text>`,
      )
      y += BAR_STEP
    }
    y += MODEL_HEIGHT - BAR
  }
  svg.push(`<path class="axis" d="M${LEFT} ${begin}V${y - 8}"/>`)
  return { svg: svg.join('\n'), bottom: y + 4 }
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
