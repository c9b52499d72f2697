/** The results as a picture: a plot for every metric, in it a bar for every case. */

import { draw, MINOR, SERIES_COLORS, TEXT } from '../../www/scripts/vega.mjs'
import { figure, ranOf, threadCount, type Shown } from './report.js'
import { METRICS, type Metric, type Row } from './summary.js'

/** A line of a plot: the name of a model, or a bar. */
type Line = Readonly<Record<string, string | number | null>>

/** Draws the medians of all rows as SVG. A case that failed has no bar, and says so. */
export function chart(
  heading: string,
  rows: readonly Row[],
  titles: ReadonlyMap<string, string>,
  shown: Readonly<Record<Metric, Shown>>,
): Promise<string> {
  const values = METRICS.flatMap((metric) => linesOf(rows, metric, shown[metric], titles))
  const y = { signal: '18 * datum.line + 9' }
  const text = { y, baseline: { value: 'middle' } } as const
  return draw({
    title: heading,
    description: heading,
    data: [{ name: 'lines', values }],
    scales: [
      { name: 'engine', type: 'ordinal', domain: [...new Set(rows.map(({ engine }) => engine))], range: SERIES_COLORS },
    ],
    layout: { columns: 1, padding: 24 },
    marks: [
      {
        type: 'group',
        from: {
          facet: {
            name: 'plot',
            data: 'lines',
            groupby: 'title',
            aggregate: { fields: ['line'], ops: ['max'], as: ['last'] },
          },
        },
        encode: { enter: { width: { value: 640 }, height: { signal: '18 * datum.last + 18' } } },
        title: { text: { signal: 'parent.title' }, frame: 'group', fontSize: 12, offset: 4 },
        scales: [
          { name: 'x', type: 'linear', domain: { data: 'plot', field: 'value' }, zero: true, range: [208, 584] },
        ],
        data: [{ name: 'cases', source: 'plot', transform: [{ type: 'filter', expr: 'datum.engine' }] }],
        marks: [
          {
            type: 'text',
            from: { data: 'plot' },
            encode: {
              enter: {
                ...text,
                text: { field: 'label' },
                x: { signal: 'datum.engine ? 200 : 0' },
                align: { signal: "datum.engine ? 'right' : 'left'" },
                fill: [{ test: '!datum.engine', value: MINOR }, { value: TEXT }],
              },
            },
          },
          {
            type: 'rect',
            from: { data: 'cases' },
            encode: {
              enter: {
                x: { value: 208 },
                x2: { scale: 'x', signal: 'datum.value || 0' },
                yc: y,
                height: { value: 14 },
                fill: { scale: 'engine', field: 'engine' },
              },
            },
          },
          {
            type: 'text',
            from: { data: 'cases' },
            encode: {
              enter: {
                ...text,
                text: { field: 'figure' },
                fill: { value: MINOR },
                x: { scale: 'x', signal: 'datum.value || 0', offset: 6 },
              },
            },
          },
        ],
      },
    ],
  })
}

/** The lines of one plot, model by model. */
function linesOf(
  rows: readonly Row[],
  metric: Metric,
  { title, unit, convert, larger }: Shown,
  titles: ReadonlyMap<string, string>,
): Line[] {
  const plot = `${title}, ${unit} (${larger ? 'more' : 'less'} is better)`
  let line = -1
  const lines: Line[] = []
  for (const model of new Set(rows.map(({ model }) => model))) {
    lines.push({ title: plot, line: (line += 1.5), label: model })
    for (const row of rows.filter((row) => row.model === model)) {
      const { engine, threads, spreads, failures } = row
      const value = spreads[metric] ? convert(spreads[metric].median) : null
      const label = `${titles.get(engine) ?? engine}, ${threadCount(threads)}${ranOf(row)}`
      const words = value !== null ? figure(value) : failures.length > 0 ? 'failed' : 'unknown'
      lines.push({ title: plot, line: (line += 1), engine, label, value, figure: words })
    }
  }
  return lines
}
