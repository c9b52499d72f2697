/** Charts as SVG, drawn by Vega, on white or on black as the reader's color scheme is. */

import { parse, View } from 'vega'

/** The colors of series, in the order of their use: on white, and on black. */
const SERIES = [
  ['#1f6feb', '#79c0ff'],
  ['#bc4c00', '#f0883e'],
  ['#1a7f37', '#56d364'],
  ['#bf3989', '#f778ba'],
  ['#6e7781', '#9198a1'],
  ['#8250df', '#bc8cff'],
]

/** Everything else that has a color. */
const ROLES = {
  background: ['#fff', '#0d1117'],
  text: ['#1f2328', '#e6edf3'],
  minor: ['#59636e', '#9198a1'],
  grid: ['#d8dee4', '#30363d'],
}

const all = [...Object.entries(ROLES), ...SERIES.entries()]
const scheme = (/** @type {0 | 1} */ column) =>
  `svg { ${all.map(([name, pair]) => `--${name}: ${pair[column]}`).join('; ')} }`
const STYLE = `<style>${scheme(0)} @media (prefers-color-scheme: dark) { ${scheme(1)} }</style>`

/** @param {keyof typeof ROLES | number} name a role, or the place of a series */
const color = (name) => `var(--${name})`

/** What to use as `range` of a scale of series. */
export const SERIES_COLORS = SERIES.map((_, place) => color(place))
export const TEXT = color('text')
export const MINOR = color('minor')

const FONT = 'system-ui, sans-serif'

/** @type {import('vega').Config} */
const CONFIG = {
  background: color('background'),
  padding: 16,
  title: { anchor: 'start', color: TEXT, font: FONT, fontSize: 15, offset: 16 },
  text: { fill: TEXT, font: FONT, fontSize: 12 },
  axis: {
    domain: false,
    ticks: false,
    grid: true,
    gridColor: color('grid'),
    labelColor: MINOR,
    labelFont: FONT,
    labelFontSize: 12,
    labelPadding: 8,
    titleColor: MINOR,
    titleFont: FONT,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    titlePadding: 12,
  },
  legend: {
    offset: 24,
    labelColor: TEXT,
    labelFont: FONT,
    labelFontSize: 12,
    titleColor: MINOR,
    titleFont: FONT,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    symbolStrokeWidth: 0,
  },
}

/**
 * @param {import('vega').Spec} spec
 * @returns {Promise<string>} SVG
 */
export async function draw(spec) {
  const svg = await new View(parse(spec, CONFIG), { renderer: 'none' }).toSVG()
  return `${svg.replace('>', `>${STYLE}`)}\n`
}
