/**
 * The block under the lens: a cell for each position, a row for each sub-block. Cells are made once and only those that
 * changed are touched. Arrow keys walk the cells, the pager walks the blocks of the run.
 */

import { byId, el, setText } from './dom'
import { percent } from './format'
import { visible, type BlockRecord, type Recording } from './recording'
import { attachTip, describe, type TokenNote } from './tip'

const COLUMNS = 8

export class BlockView {
  readonly #grid = byId('block-grid', HTMLElement)
  readonly #legend = byId('block-legend', HTMLElement)
  readonly #label = byId('block-label', HTMLElement)
  readonly #note = byId('block-note', HTMLElement)
  readonly #previous = byId('block-previous', HTMLButtonElement)
  readonly #next = byId('block-next', HTMLButtonElement)
  readonly #notes = new WeakMap<Element, TokenNote>()
  #cells: HTMLElement[] = []
  #shape = ''
  #recording: Recording | null = null
  /** The block on show; `null` follows the newest. */
  #pinned: number | null = null

  constructor() {
    this.#previous.addEventListener('click', () => this.#turn(-1))
    this.#next.addEventListener('click', () => this.#turn(1))
    this.#grid.addEventListener('keydown', (event) => this.#walk(event))
    attachTip(this.#grid, (cell) => this.#notes.get(cell))
  }

  /** Forgets the run on show; `note` says what to expect instead. `blockSize` is 0 where there are no blocks. */
  reset(note: string, blockSize: number): void {
    this.#grid.hidden = this.#legend.hidden = blockSize === 0
    this.#recording = null
    this.#pinned = null
    this.#build(blockSize, COLUMNS)
    for (const cell of this.#cells) this.#blank(cell)
    setText(this.#label, '–')
    setText(this.#note, note)
    this.#page(0, 0)
  }

  /** Shows a run from its newest block on. */
  follow(recording: Recording): void {
    this.#recording = recording
    this.#pinned = null
    this.draw()
  }

  draw(): void {
    const blocks = this.#recording?.blocks ?? []
    const last = blocks.length - 1
    const at = Math.min(this.#pinned ?? last, last)
    const block = blocks[at]
    if (!this.#recording || !block) return
    this.#build(block.tokens.length, this.#recording.subBlockSize)
    // A pass is fresh while its block is the one being worked on.
    const fresh = at === last && !this.#recording.result ? block.passes : 0
    // What lies behind a stop token or the limit is no part of the output.
    const stats = this.#recording.result?.stats
    const end = stats ? stats.promptTokens + stats.newTokens : Infinity
    block.tokens.forEach((token, i) => {
      const cell = this.#cells[i]
      const position = block.start + i
      if (!cell) return
      this.#paint(cell, { token, position, given: i < block.given }, fresh > 0 && token.pass === fresh)
      cell.classList.toggle('cut', position >= end)
    })
    setText(this.#label, `${at + 1} of ${blocks.length}`)
    setText(this.#note, noteOf(block))
    this.#page(at, last)
  }

  #paint(cell: HTMLElement, note: TokenNote, fresh: boolean): void {
    const { token, given } = note
    const before = this.#notes.get(cell)
    cell.classList.toggle('fresh', fresh && !token.masked && !given)
    const same =
      before?.token.id === token.id && before.token.masked === token.masked && before.token.pass === token.pass
    if (
      same &&
      before.position === note.position &&
      before.given === given &&
      before.token.confidence === token.confidence
    )
      return
    this.#notes.set(cell, note)
    cell.classList.toggle('prompt', given)
    cell.setAttribute('aria-label', describe(note))
    if (token.masked || given) {
      delete cell.dataset['pass']
      setText(cell, given ? visible(token.text.trimStart() || token.text) : '')
      return
    }
    const pass = Math.max(token.pass, 1)
    cell.dataset['pass'] = String(pass)
    cell.style.setProperty('--pass', String(Math.min(pass, 8)))
    cell.style.setProperty('--confidence', String(token.confidence))
    cell.replaceChildren(
      visible(token.text.trimStart() || token.text),
      el('i', { 'aria-hidden': 'true' }, String(token.pass)),
    )
  }

  #build(size: number, wanted: number): void {
    const sub = Math.max(1, Math.min(wanted, size))
    const shape = `${size}/${sub}`
    if (this.#shape === shape) return
    this.#shape = shape
    this.#grid.dataset['sub'] = String(sub)
    this.#cells = Array.from({ length: size }, (_, i) =>
      el('div', {
        class: 'cell',
        role: 'gridcell',
        tabindex: i === 0 ? 0 : -1,
        'data-testid': 'block-cell',
        'aria-label': 'not begun',
      }),
    )
    const rows: HTMLElement[] = []
    for (let i = 0; i < size; i += sub)
      rows.push(el('div', { class: 'sub', role: 'row' }, ...this.#cells.slice(i, i + sub)))
    this.#grid.replaceChildren(...rows)
  }

  #blank(cell: HTMLElement): void {
    this.#notes.delete(cell)
    cell.className = 'cell'
    delete cell.dataset['pass']
    cell.setAttribute('aria-label', 'not begun')
    cell.replaceChildren()
  }

  #turn(by: number): void {
    const last = (this.#recording?.blocks.length ?? 0) - 1
    const at = Math.max(0, Math.min((this.#pinned ?? last) + by, last))
    this.#pinned = at === last ? null : at
    this.draw()
  }

  #page(at: number, last: number): void {
    this.#previous.disabled = at <= 0
    this.#next.disabled = at >= last
  }

  #walk(event: KeyboardEvent): void {
    const from = this.#cells.findIndex((cell) => cell === document.activeElement)
    const steps: Readonly<Record<string, number>> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -COLUMNS,
      ArrowDown: COLUMNS,
      Home: -from,
      End: this.#cells.length - 1 - from,
    }
    const step = steps[event.key]
    const to = step === undefined ? undefined : this.#cells[from + step]
    const now = this.#cells[from]
    if (!to || !now) return
    event.preventDefault()
    now.tabIndex = -1
    to.tabIndex = 0
    to.focus()
  }
}

function noteOf(block: BlockRecord): string {
  const own = block.tokens.slice(block.given)
  const fixed = own.filter((token) => !token.masked)
  const mean = fixed.reduce((sum, token) => sum + token.confidence, 0) / Math.max(fixed.length, 1)
  const passes = `${block.passes} ${block.passes === 1 ? 'pass' : 'passes'}`
  return fixed.length === 0
    ? `${own.length} masked tokens`
    : `${fixed.length} of ${own.length} fixed in ${passes}, mean confidence ${percent(mean)}`
}
