/** What can be chosen about a conversion. Fields left alone let the checkpoint decide. */

import { byId, el } from './dom'
import { numberField, selectField, toggleField } from './fields'
import type { CheckpointOptions, TensorType } from 'webtern'

const TYPES: readonly (readonly [TensorType, string])[] = [
  ['q2_0', 'q2_0: ternary, for webtern and llama.cpp'],
  ['tq2_0', 'tq2_0: ternary, 2.06 bits a weight'],
  ['tq1_0', 'tq1_0: ternary, 1.69 bits a weight'],
  ['i2_s', 'i2_s: ternary, for bitnet.cpp'],
  ['q8_0', 'q8_0: 8 bits'],
  ['q4_0', 'q4_0: 4 bits'],
  ['bf16', 'bf16: 16 bits'],
  ['f16', 'f16: 16 bits'],
  ['f32', 'f32: 32 bits'],
]

type EmbeddingType = NonNullable<CheckpointOptions['embeddingType']>
const EMBEDDING_TYPES: readonly (readonly [EmbeddingType, string])[] = [
  ['q8_0', 'q8_0: 8 bits'],
  ['bf16', 'bf16: 16 bits'],
  ['f16', 'f16: 16 bits'],
  ['f32', 'f32: 32 bits'],
  ['q4_0', 'q4_0: 4 bits'],
]

const AUTO = ['', 'automatic'] as const

export class ConvertOptionsView {
  readonly #form = byId('convert-form', HTMLFormElement)
  readonly #fields = byId('convert-options', HTMLFieldSetElement)

  /** `changed` is called after every change, `submitted` when the conversion is to begin. */
  constructor(changed: () => void, submitted: () => void) {
    this.#fields.append(
      selectField('type', 'Weights', [AUTO, ...TYPES]),
      selectField('embeddingType', 'Embedding and output head', [AUTO, ...EMBEDDING_TYPES]),
      el(
        'label',
        { class: 'field' },
        el('span', {}, 'Name in the file'),
        el('input', { type: 'text', name: 'name', 'data-testid': 'name', spellcheck: 'false', autocomplete: 'off' }),
      ),
      el(
        'details',
        { class: 'advanced', 'data-testid': 'convert-advanced' },
        el('summary', {}, 'Diffusion, SubLN and ternary weights'),
        el(
          'div',
          {},
          el(
            'div',
            { class: 'pair' },
            numberField(['maskTokenId', 'Mask token id', '', '1', '0', '', 'automatic']),
            numberField(['blockSize', 'Block size', '', '1', '1', '', 'automatic']),
          ),
          selectField('attention', 'Attention within a block', [
            AUTO,
            ['block', 'block: to the whole block'],
            ['causal', 'causal: to what is before'],
          ]),
          toggleField('forceMaskToken', 'Accept a mask token that also ends answers'),
          selectField('subln', 'SubLN norms', [
            ['keep', 'keep'],
            ['drop', 'drop: another function, and worse'],
          ]),
          toggleField('ternarize', 'Ternarize the weights (BitNet master weights)'),
        ),
      ),
    )
    this.#form.addEventListener('change', changed)
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault()
      submitted()
    })
  }

  /** Back to the defaults, for a checkpoint of this name. */
  reset(name: string): void {
    this.#form.reset()
    this.#input('name').value = name
  }

  /** Whether every number is one that may be. Points at the first that is not. */
  validate(): boolean {
    return this.#form.reportValidity()
  }

  set enabled(enabled: boolean) {
    this.#fields.disabled = !enabled
  }

  set hidden(hidden: boolean) {
    this.#form.hidden = hidden
  }

  options(): CheckpointOptions {
    const type = TYPES.find(([name]) => name === this.#text('type'))?.[0]
    const embeddingType = EMBEDDING_TYPES.find(([name]) => name === this.#text('embeddingType'))?.[0]
    const attention = this.#text('attention')
    const [maskTokenId, blockSize, name] = [this.#text('maskTokenId'), this.#text('blockSize'), this.#text('name')]
    return {
      ...(type && { type }),
      ...(embeddingType && { embeddingType }),
      ...(name !== '' && { name }),
      ...(maskTokenId !== '' && { maskTokenId: Number(maskTokenId) }),
      ...(blockSize !== '' && { blockSize: Number(blockSize) }),
      ...((attention === 'block' || attention === 'causal') && { attention }),
      subln: this.#text('subln') === 'drop' ? 'drop' : 'keep',
      ternarize: this.#input('ternarize').checked,
      forceMaskToken: this.#input('forceMaskToken').checked,
    }
  }

  #text(name: string): string {
    const field = this.#form.elements.namedItem(name)
    if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement) return field.value.trim()
    throw new Error(`the conversion has no field "${name}"`)
  }

  #input(name: string): HTMLInputElement {
    const field = this.#form.elements.namedItem(name)
    if (field instanceof HTMLInputElement) return field
    throw new Error(`the conversion has no input "${name}"`)
  }
}
