/** Form fields: labelled, named and test-identified alike. */

import { el } from './dom'

/** A number field: name, label, its attributes, and what it says about itself. */
export type NumberSpec = readonly [
  name: string,
  label: string,
  value: string,
  step: string,
  min: string,
  max: string,
  hint: string,
]

/** A number field. One without a value may stay empty. */
export function numberField([name, label, value, step, min, max, hint]: NumberSpec): HTMLElement {
  const input = el('input', {
    type: 'number',
    name,
    'data-testid': name,
    step,
    min,
    value,
    placeholder: hint,
    required: value !== '',
    inputmode: 'decimal',
    title: hint,
  })
  if (max !== '') input.max = max
  return el('label', { class: 'field' }, el('span', {}, label), input)
}

/** A choice among `[value, label]` pairs; the first is chosen. */
export function selectField(
  name: string,
  label: string,
  choices: readonly (readonly [value: string, label: string])[],
): HTMLElement {
  const select = el('select', { name, 'data-testid': name })
  for (const [value, text] of choices) select.append(el('option', { value }, text))
  return el('label', { class: 'field' }, el('span', {}, label), select)
}

/** A box to tick. */
export function toggleField(name: string, label: string): HTMLElement {
  return el(
    'label',
    { class: 'toggle' },
    el('input', { type: 'checkbox', name, 'data-testid': name }),
    el('span', {}, label),
  )
}
