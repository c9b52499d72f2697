/** One small floating label for tokens, shared by the running text and the block grid; shown on hover and on focus. */

import { byId, el } from './dom'
import { percent } from './format'
import { visible } from './recording'
import type { BlockToken } from 'webtern'

/** What is known about one position, for the label and for screen readers. */
export interface TokenNote {
  readonly token: BlockToken
  readonly position: number
  readonly given: boolean
}

/** The note in one line of words. */
export function describe(note: TokenNote): string {
  if (note.given) return `“${visible(note.token.text)}”, from the prompt`
  if (note.token.masked) return `masked, position ${note.position}`
  return `“${visible(note.token.text)}”, ${facts(note)}`
}

function facts({ token, position }: TokenNote): string {
  const when = token.pass > 0 ? `pass ${token.pass}` : 'known before the first pass'
  return `confidence ${percent(token.confidence)}, ${when}, token ${token.id}, position ${position}`
}

/** Watches `container`; `noteOf` says what an element inside it stands for, if anything. */
export function attachTip(container: HTMLElement, noteOf: (element: Element) => TokenNote | undefined): void {
  const tip = byId('tip', HTMLElement)
  const hide = () => {
    tip.hidden = true
  }
  const show = (target: EventTarget | null) => {
    const note = target instanceof Element ? noteOf(target) : undefined
    if (!note || !(target instanceof Element)) {
      hide()
      return
    }
    if (note.given || note.token.masked) tip.replaceChildren(describe(note))
    else tip.replaceChildren(el('b', {}, visible(note.token.text).replace(/^ /, '␣')), facts(note))
    tip.hidden = false
    const at = target.getBoundingClientRect()
    const size = tip.getBoundingClientRect()
    const left = Math.min(Math.max(at.left + at.width / 2 - size.width / 2, 8), window.innerWidth - size.width - 8)
    const above = at.top - size.height - 6
    tip.style.transform = `translate(${left}px, ${above < 64 ? at.bottom + 6 : above}px)`
  }
  container.addEventListener('pointerover', (event) => show(event.target))
  container.addEventListener('focusin', (event) => show(event.target))
  container.addEventListener('pointerleave', hide)
  container.addEventListener('focusout', hide)
  window.addEventListener('scroll', hide, { passive: true, capture: true })
}
