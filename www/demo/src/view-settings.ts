/** The decoding settings: a form that knows which of them matter for the mode and model at hand. */

import { byId, el, setText } from './dom'
import { numberField, type NumberSpec } from './fields'
import type { DecodeMode, DecodeOptions, ModelInfo } from 'webtern'

const MODES: readonly (readonly [DecodeMode, string])[] = [
  ['auto', 'Adaptive for diffusion models, autoregressive for others.'],
  ['ar', 'Autoregressive: one token per pass, from left to right.'],
  ['greedy', 'All tokens of a block in one pass. Fastest and least accurate.'],
  ['iterative', 'Several passes per block; each accepts the tokens above the threshold. Most accurate.'],
  ['adaptive', 'Iterative, with a lower threshold in the first passes: fewer passes.'],
  ['speculative', 'The output of ar, faster: one pass drafts several tokens, another verifies them.'],
]

// The ranges of the library: `tests/cases/options.json`, which a page test runs.
const ADVANCED: readonly NumberSpec[] = [
  ['topK', 'Top-k', '0', '1', '0', '', '0 is no limit'],
  ['topP', 'Top-p', '1', '0.01', '0.01', '1', '1 is no limit'],
  ['minP', 'Min-p', '0', '0.01', '0', '1', '0 is no limit'],
  ['repetitionPenalty', 'Repetition penalty', '1', '0.01', '0.01', '100', '1 is no penalty'],
  ['seed', 'Seed', '', '1', '0', String(Number.MAX_SAFE_INTEGER), 'empty: random'],
]

export class SettingsView {
  readonly #form = byId('settings-form', HTMLFormElement)
  readonly #hint = el('p', { class: 'hint', id: 'mode-hint' })
  readonly #system = el('textarea', { name: 'system', rows: 2, 'data-testid': 'system', placeholder: 'Optional' })
  #info: ModelInfo | null = null

  constructor() {
    this.#form.append(this.#modes(), this.#diffusion(), this.#sampling(), this.#advanced())
    this.#form.addEventListener('submit', (event) => event.preventDefault())
    this.#form.addEventListener('input', () => this.#refresh())
    // A field in a closed section cannot be pointed at.
    this.#form.addEventListener(
      'invalid',
      ({ target }) => {
        for (
          let at = target instanceof Element ? target.closest('details') : null;
          at;
          at = at.parentElement?.closest('details') ?? null
        )
          at.open = true
      },
      true,
    )
    this.#refresh()
  }

  /** Fits the form to a model. */
  model(info: ModelInfo): void {
    this.#info = info
    const mode = this.#mode()
    for (const [name] of MODES)
      this.#input(`mode-${name}`).disabled = info.diffusion === null && name !== 'auto' && name !== 'ar'
    // Drafts need rows that predict the next position, as the verifying rows do.
    if (info.diffusion?.shiftLogits === false) this.#input('mode-speculative').disabled = true
    if (this.#input(`mode-${mode}`).disabled) this.#input('mode-auto').checked = true
    if (info.diffusion === null && mode !== 'ar') this.#input('mode-auto').checked = true
    this.#input('maxTokens').max = String(info.contextLength)
    this.#refresh()
  }

  /** Whether every field holds a number it may hold; points at the first that does not. */
  validate(): boolean {
    return this.#form.reportValidity()
  }

  /** The system message, for conversations. */
  get system(): string {
    return this.#system.value.trim()
  }

  /** Positions worked on at a time, for showing them as rows. */
  get subBlockSize(): number {
    return this.#mode() === 'greedy' ? 8 : this.#number('subBlockSize')
  }

  options(): DecodeOptions {
    const mode = this.#mode()
    const temperature = this.#number('temperature')
    const stop = this.#text('stop')
      .split('\n')
      .filter((line) => line !== '')
      .map(unescape)
    const seed = this.#text('seed')
    return {
      mode,
      maxTokens: this.#number('maxTokens'),
      temperature,
      topK: this.#number('topK'),
      topP: this.#number('topP'),
      minP: this.#number('minP'),
      repetitionPenalty: this.#number('repetitionPenalty'),
      ...(this.#blocks(mode) && { threshold: this.#number('threshold'), ...this.#subBlock() }),
      ...(seed !== '' && { seed: Number(seed) }),
      ...(stop.length > 0 && { stop }),
    }
  }

  #refresh(): void {
    const mode = this.#mode()
    const blocks = this.#blocks(mode)
    setText(this.#hint, MODES.find(([name]) => name === mode)?.[1] ?? '')
    for (const name of ['threshold', 'subBlockSize']) {
      this.#field(name).disabled = !blocks || mode === 'greedy' || mode === 'speculative'
    }
    for (const name of ['threshold', 'temperature'])
      setText(byIdOutput(this.#form, name), this.#number(name).toFixed(2))
  }

  /** The size of sub-blocks where it fits the model's blocks and no rule of its own wants whole ones. */
  #subBlock(): { subBlockSize?: number } {
    const subBlockSize = this.#number('subBlockSize')
    const diffusion = this.#info?.diffusion
    const fits = !diffusion || (diffusion.acceptance === null && diffusion.blockSize % subBlockSize === 0)
    return fits ? { subBlockSize } : {}
  }

  /** Whether a run in this mode goes block by block, as far as can be told before a model is loaded. */
  #blocks(mode: DecodeMode): boolean {
    return mode !== 'ar' && this.#info?.diffusion !== null
  }

  #modes(): HTMLElement {
    const group = el(
      'fieldset',
      { class: 'field', 'aria-describedby': 'mode-hint' },
      el('legend', { class: 'visually-hidden' }, 'Mode'),
    )
    const segments = el('div', { class: 'segments', 'data-testid': 'mode' })
    for (const [name] of MODES) {
      segments.append(
        el(
          'label',
          {},
          el('input', {
            type: 'radio',
            name: 'mode',
            value: name,
            id: `mode-${name}`,
            'data-testid': `mode-${name}`,
            checked: name === 'auto',
          }),
          name,
        ),
      )
    }
    group.append(segments, this.#hint)
    return group
  }

  #diffusion(): HTMLElement {
    const sizes = el('select', { name: 'subBlockSize', 'data-testid': 'subBlockSize' })
    for (const size of [4, 8, 16, 32])
      sizes.append(el('option', { value: size, selected: size === 8 }, `${size} tokens`))
    return el(
      'div',
      { class: 'pair' },
      slider('threshold', 'Threshold', '0.9', '0.01', '0.01', '1'),
      el('label', { class: 'field' }, el('span', {}, 'Sub-block'), sizes),
    )
  }

  #sampling(): HTMLElement {
    return el(
      'div',
      { class: 'pair' },
      slider('temperature', 'Temperature', '0', '0.05', '0', '2'),
      numberField(['maxTokens', 'Max tokens', '128', '1', '1', '', '']),
    )
  }

  #advanced(): HTMLElement {
    return el(
      'details',
      { class: 'advanced', 'data-testid': 'advanced' },
      el('summary', {}, 'Sampling, stop and system message'),
      el(
        'div',
        {},
        el('div', { class: 'pair' }, ...ADVANCED.map(numberField)),
        el(
          'label',
          { class: 'field' },
          el('span', {}, 'Stop at (one per line, \\n is a line break)'),
          el('textarea', { name: 'stop', rows: 2, 'data-testid': 'stop-strings', spellcheck: 'false' }),
        ),
        el('label', { class: 'field' }, el('span', {}, 'System message (chat)'), this.#system),
      ),
    )
  }

  #mode(): DecodeMode {
    return MODES.find(([name]) => name === this.#text('mode'))?.[0] ?? 'auto'
  }

  // `FormData` leaves disabled fields out, so values are read from the fields themselves.
  #field(name: string): HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement {
    const field = this.#form.elements.namedItem(name)
    if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement || field instanceof HTMLTextAreaElement)
      return field
    throw new Error(`the settings have no field "${name}"`)
  }

  #input(name: string): HTMLInputElement {
    const field = this.#form.elements.namedItem(name)
    if (field instanceof HTMLInputElement) return field
    throw new Error(`the settings have no input "${name}"`)
  }

  #text(name: string): string {
    const field = this.#form.elements.namedItem(name)
    return field instanceof RadioNodeList ? field.value : this.#field(name).value
  }

  #number(name: string): number {
    return Number(this.#text(name))
  }
}

function slider(name: string, label: string, value: string, step: string, min: string, max: string): HTMLElement {
  return el(
    'label',
    { class: 'field' },
    el('span', { class: 'row between' }, label, el('output', { class: 'figures', 'data-for': name }, value)),
    el('input', { type: 'range', name, 'data-testid': name, min, max, step, value, 'aria-label': label }),
  )
}

function byIdOutput(form: HTMLFormElement, name: string): HTMLElement {
  const output = form.querySelector(`[data-for="${name}"]`)
  if (output instanceof HTMLElement) return output
  throw new Error(`the settings have no output for "${name}"`)
}

function unescape(line: string): string {
  return line.replace(/\\n/g, '\n').replace(/\\t/g, '\t')
}
