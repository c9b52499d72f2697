/**
 * The page that is written. An answer is two stretches of text: what is settled, appended to and never drawn again, and
 * the block at work, whose masks stand in the line as placeholders until a pass lifts them.
 */

import { byId, el, setText } from './dom'
import { significant } from './format'
import { alignPieces, type BlockRecord, type Recording } from './recording'
import { attachTip, type TokenNote } from './tip'
import type { BlockToken, GenerateResult } from 'webtern'

/** Widths of placeholders; uneven, as words are. */
const WIDTHS = [3, 5, 2, 6, 4, 7, 3, 5] as const

export class TranscriptView {
  readonly #list = byId('transcript', HTMLOListElement)
  readonly #notes = new WeakMap<Element, TokenNote>()

  constructor() {
    attachTip(this.#list, (element) => this.#notes.get(element))
    const shade = byId('shade', HTMLInputElement)
    shade.addEventListener('change', () => this.#list.toggleAttribute('data-shade', shade.checked))
  }

  get empty(): boolean {
    return this.#list.childElementCount === 0
  }

  clear(): void {
    this.#list.replaceChildren()
  }

  /** What the person said. */
  said(text: string): void {
    this.#list.append(
      el('li', { class: 'turn you' }, el('p', { class: 'who' }, 'You'), el('div', { class: 'said' }, text)),
    )
  }

  /** Begins an answer; `given` is the text that it continues, for completions. */
  answer(who: string, given: string): AnswerView {
    const answer = new AnswerView(who, given, this.#notes)
    this.#list.append(answer.element)
    return answer
  }
}

export class AnswerView {
  readonly element: HTMLLIElement
  readonly #settled = el('span', { 'data-testid': 'output' })
  readonly #live = el('span', { class: 'live', 'aria-hidden': 'true', 'data-testid': 'live-block' })
  readonly #foot = el('p', { class: 'foot', 'data-testid': 'answer-foot' })
  /** Plain text of a run without blocks; appended to in place. */
  readonly #plain = document.createTextNode('')
  #plainLength = 0
  /** How many blocks are settled. */
  #done = 0
  #spans: HTMLElement[] = []
  #liveBlock = -1

  constructor(
    who: string,
    given: string,
    private readonly notes: WeakMap<Element, TokenNote>,
  ) {
    const caret = el('span', { class: 'caret' })
    this.#live.append(caret)
    const said = el(
      'div',
      { class: 'said' },
      ...(given === '' ? [] : [el('span', { class: 'given' }, given)]),
      this.#settled,
      this.#live,
    )
    this.element = el(
      'li',
      { class: 'turn model', 'data-testid': 'answer', 'aria-busy': 'true' },
      el('p', { class: 'who' }, who),
      said,
      this.#foot,
    )
  }

  draw(recording: Recording): void {
    if (recording.promptDone < recording.promptTotal && recording.firstTokenAt === null) {
      setText(this.#foot, `Reading the prompt: ${recording.promptDone} of ${recording.promptTotal} tokens`)
    } else {
      setText(this.#foot, '')
    }
    if (recording.blocks.length === 0) {
      this.#append(recording.text)
      return
    }
    const last = recording.blocks.length - 1
    this.#settle(recording, last)
    const block = recording.blocks[last]
    if (block) this.#drawLive(block)
  }

  finish(recording: Recording, result: GenerateResult): void {
    if (recording.blocks.length === 0) this.#append(recording.text)
    else this.#settle(recording, recording.blocks.length)
    const { stats, finishReason, tokens } = result
    const parts = [`${tokens.length} tokens`, `${significant(stats.tokensPerSecond)} tokens/s`]
    if (stats.blocks > 0)
      parts.push(`${stats.passes} passes over ${stats.blocks} ${stats.blocks === 1 ? 'block' : 'blocks'}`)
    parts.push(stats.mode)
    this.#foot.replaceChildren(parts.join(' · '))
    if (finishReason !== 'stop')
      this.#foot.append(
        ' · ',
        el('span', { class: 'cut' }, finishReason === 'length' ? 'reached the token limit' : 'stopped'),
      )
    this.element.dataset['finish'] = finishReason
    this.close()
  }

  /** Ends the answer with what there is, for runs that failed. */
  close(): void {
    this.#live.remove()
    this.element.setAttribute('aria-busy', 'false')
  }

  get text(): string {
    return this.#settled.textContent
  }

  #append(text: string): void {
    if (!this.#plain.parentNode) this.#settled.append(this.#plain)
    this.#plain.appendData(text.slice(this.#plainLength))
    this.#plainLength = text.length
  }

  /** Turns all blocks before `end` into final text, cut exactly as the run's text says. */
  #settle(recording: Recording, end: number): void {
    for (; this.#done < end; this.#done += 1) {
      const block = recording.blocks[this.#done]
      if (!block) return
      const until = recording.blocks[this.#done + 1]?.textStart ?? recording.text.length
      const own = block.tokens.slice(block.given)
      const pieces = alignPieces(
        recording.text.slice(block.textStart, until),
        own.map((token) => (token.masked ? '' : token.text)),
      )
      pieces.forEach((piece, i) => {
        const token = own[i]
        if (piece !== '' && token) this.#settled.append(...this.#token(token, block.start + block.given + i, piece))
      })
    }
  }

  #drawLive(block: BlockRecord): void {
    const own = block.tokens.slice(block.given)
    if (this.#liveBlock !== block.index || this.#spans.length !== own.length) {
      this.#liveBlock = block.index
      this.#spans = own.map((_, i) => {
        const span = el('span', { class: 'token mask' })
        span.style.setProperty('--w', String(WIDTHS[i % WIDTHS.length] ?? 4))
        return span
      })
      this.#live.replaceChildren(...this.#spans)
    }
    own.forEach((token, i) => {
      const span = this.#spans[i]
      if (!span) return
      const note = this.notes.get(span)
      if (note && note.token.masked === token.masked && note.token.id === token.id) {
        span.lastElementChild?.classList.toggle('fresh', !token.masked && token.pass === block.passes)
        return
      }
      const position = block.start + block.given + i
      if (token.masked) {
        this.notes.set(span, { token, position, given: false })
        return
      }
      this.notes.set(span, { token, position, given: false })
      span.className = ''
      span.replaceChildren(...this.#token(token, position, token.text))
      span.lastElementChild?.classList.add('fresh')
    })
  }

  /** A token as shaded text. Leading white space stays outside: shaded, it would hang over the end of a line. */
  #token(token: BlockToken, position: number, text: string): readonly (string | HTMLElement)[] {
    const pass = Math.max(token.pass, 1)
    const word = text.trimStart()
    const span = el('span', { class: 'token', 'data-pass': pass }, word)
    span.style.setProperty('--pass', String(Math.min(pass, 8)))
    this.notes.set(span, { token, position, given: false })
    return [text.slice(0, text.length - word.length), span]
  }
}
