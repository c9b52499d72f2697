/** What a checkpoint is and would become, or what a GGUF model is: findings first, then facts, then every tensor. */

import { byId, el, setText } from './dom'
import { bytes, count } from './format'
import { groupTensors } from './tensor-groups'
import { FindingsView } from './view-findings'
import type { Checkpoint } from './checkpoint'
import type { CheckpointReport, ModelDescription, ModelReport } from 'webtern'

const SUB_NORMS = { none: 'none', two: 'two norms a layer', seven: 'seven norms a layer' } as const

type Fact = readonly [key: string, label: string, value: string]

export class InspectionView {
  readonly #place = byId('inspection', HTMLElement)
  readonly #known = byId('known', HTMLElement)
  readonly #findings = new FindingsView()
  readonly #facts = byId('checkpoint-facts', HTMLElement)
  readonly #tensors = byId('tensors', HTMLElement)

  /** Names what is looked at; nothing is known of it yet. */
  begin({ name, files }: Checkpoint): void {
    setText(byId('checkpoint-name', HTMLElement), name)
    const total = files.reduce((sum, { size }) => sum + size, 0)
    const number = files.length === 1 ? '1 file' : `${files.length} files`
    setText(byId('checkpoint-size', HTMLElement), `${number}, ${bytes(total)}`)
    this.clear()
  }

  set busy(busy: boolean) {
    this.#place.setAttribute('aria-busy', String(busy))
  }

  /** For what cannot be converted as things stand. */
  clear(): void {
    this.#known.hidden = true
    this.#tensors.hidden = true
  }

  checkpoint(report: CheckpointReport): void {
    const { ternaryBecause, weightScale } = report
    const scale = weightScale === null ? '' : `; weight_scale: ${weightScale}`
    this.#show(report, 'Tensors of the converted file', [
      ['class', 'Class', report.class],
      ['architecture', 'Architecture of the file', report.architecture],
      ['weights', 'Weights', `${ternaryBecause === null ? 'not ternary' : `ternary: ${ternaryBecause}`}${scale}`],
      ...facts(report),
      ['bytes', 'Size of the file', bytes(report.bytes)],
    ])
    const left = report.dropped.map(({ name, reason }) =>
      row('dropped', name, '', '', el('b', {}, 'left out'), [reason]),
    )
    byId('tensor-table', HTMLElement).replaceChildren(table([...rows(report), ...left]))
  }

  model(report: ModelReport): void {
    const types = report.types.map(({ type, tensors }) => `${type} (${tensors})`)
    this.#show(report, 'Tensors', [
      ['architecture', 'Architecture', report.architecture],
      ['runs', 'Runs', report.runs ? 'yes' : 'no'],
      ['parameters', 'Parameters', count(report.parameters)],
      ['weights', 'Types of tensors', types.join(', ')],
      ...facts(report),
    ])
    byId('tensor-table', HTMLElement).replaceChildren(table(rows(report)))
  }

  #show(report: ModelDescription, title: string, facts: readonly Fact[]): void {
    this.#known.hidden = false
    this.#tensors.hidden = false
    this.#findings.show(report.findings)
    this.#facts.replaceChildren(
      ...facts.flatMap(([key, label, value]) => [
        el('dt', {}, label),
        el('dd', { 'data-testid': `checkpoint-${key}` }, value),
      ]),
    )
    setText(byId('tensors-title', HTMLElement), title)
  }
}

/** What is told of checkpoints and models alike. */
function facts(report: ModelDescription): readonly Fact[] {
  const { diffusion, maskTokenText } = report
  const spelling = maskTokenText === null ? '' : ` (${maskTokenText})`
  return [
    ['sub-norms', 'SubLN norms', SUB_NORMS[report.subNorms]],
    ['mask-token', 'Mask token', diffusion ? `${diffusion.maskToken}${spelling}` : 'none'],
    ['blocks', 'Blocks', diffusion ? `${diffusion.blockSize} tokens, ${diffusion.attention} attention` : 'none'],
    ['modes', 'Decode modes', report.modes.join(', ')],
    ['tokenizer', 'Tokenizer', report.tokenizer],
    ['template', 'Chat template', report.chatTemplate ? 'from the checkpoint' : 'ChatML (the checkpoint has none)'],
  ]
}

function rows({ tensors }: CheckpointReport | ModelReport): HTMLElement[] {
  return groupTensors(tensors).map(({ name, layers, shape, from, to, notes }) => {
    const type = el('span', {}, ...(from === null ? [] : [`${from} → `]), el('b', {}, to))
    return row('tensor', name.replace(/\.weight$/, ''), layers, shape, type, notes)
  })
}

function row(
  kind: string,
  name: string,
  layers: string,
  shape: string,
  type: HTMLElement,
  notes: readonly string[],
): HTMLElement {
  return el(
    'tr',
    { 'data-testid': kind },
    el('th', { scope: 'row' }, name, ...(layers === '' ? [] : [el('small', {}, `layers ${layers}`)])),
    el('td', { class: 'shape' }, shape),
    el('td', {}, type, ...notes.map((note) => el('small', {}, note))),
  )
}

function table(rows: readonly HTMLElement[]): HTMLElement {
  const head = ['Tensor', 'Shape', 'Type'].map((text, i) =>
    el('th', { scope: 'col', class: i === 1 ? 'shape' : '' }, text),
  )
  return el(
    'table',
    { 'aria-labelledby': 'tensors-title' },
    el('thead', {}, el('tr', {}, ...head)),
    el('tbody', {}, ...rows),
  )
}
