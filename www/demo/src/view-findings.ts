/** What somebody should know about a model, the worst first, each with what to do about it. */

import { byId, el } from './dom'
import type { Finding } from 'webtern'

const SEVERITIES: Readonly<Record<Finding['severity'], string>> = {
  problem: 'Problem',
  warning: 'Warning',
  note: 'Note',
}

/** The form's names for options of the command line, which remedies speak of. */
const OPTIONS: Readonly<Record<string, string>> = {
  '--type': 'Weights',
  '--embedding-type': 'Embedding and output head',
  '--mask-token-id': 'Mask token id',
  '--force-mask-token': 'Accept a mask token that also ends answers',
  '--block-size': 'Block size',
  '--attention': 'Attention within a block',
  '--subln': 'SubLN norms',
  '--ternarize': 'Ternarize the weights (BitNet master weights)',
}

/** Names of tensors that are written out. */
const NAMED = 3

export class FindingsView {
  readonly #list = byId('findings', HTMLUListElement)

  show(findings: readonly Finding[]): void {
    this.#list.replaceChildren(...findings.map(item))
  }
}

function item({ severity, code, message, remedy, tensors }: Finding): HTMLElement {
  return el(
    'li',
    { class: 'finding', 'data-testid': 'finding', 'data-severity': severity, 'data-code': code },
    el('b', {}, SEVERITIES[severity]),
    el('p', {}, sentence(message)),
    ...(remedy === null ? [] : [el('p', { class: 'muted' }, sentence(remedy))]),
    ...(tensors.length === 0 ? [] : [el('p', { class: 'muted' }, tensorsInWords(tensors))]),
  )
}

/** Begins with a capital letter, and names options as the form does. */
function sentence(text: string): string {
  const named = text.replace(/--[a-z-]+/g, (option) => (OPTIONS[option] ? `“${OPTIONS[option]}”` : option))
  return named.charAt(0).toUpperCase() + named.slice(1)
}

function tensorsInWords(tensors: readonly string[]): string {
  const named = tensors.slice(0, NAMED).join(', ')
  return tensors.length <= NAMED ? named : `${named} and ${tensors.length - NAMED} more`
}
