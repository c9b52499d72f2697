/**
 * What a run has reported so far. It is kept apart from the page: events are written down as they come, the views read
 * the recording once per animation frame, so no number of events makes the page slow.
 */

import type { BlockToken, GenerateEvent, GenerateResult } from 'webtern'

/** One block as last reported. */
export interface BlockRecord {
  readonly index: number
  /** Position of its first token in the whole sequence. */
  readonly start: number
  /** How many of its first positions belong to the prompt. */
  readonly given: number
  tokens: readonly BlockToken[]
  /** How much of the run's text had been streamed when the block began. */
  readonly textStart: number
  /** The latest pass that accepted a token. */
  passes: number
}

export class Recording {
  text = ''
  readonly blocks: BlockRecord[] = []
  promptDone = 0
  promptTotal = 0
  result: GenerateResult | null = null
  /** Milliseconds, by `performance.now()`; `null` until it happened. */
  firstTokenAt: number | null = null
  lastTokenAt = 0
  #textEvents = 0

  /** `subBlockSize` is only for showing; `startedAt` is when the prompt was sent. */
  constructor(
    readonly startedAt: number,
    readonly subBlockSize: number,
  ) {}

  add(event: GenerateEvent, now: number): void {
    switch (event.type) {
      case 'prefill':
        this.promptDone = event.done
        this.promptTotal = event.total
        break
      case 'text':
        this.text += event.text
        this.#textEvents += 1
        this.#tokenSeen(now)
        break
      case 'block': {
        let block = this.blocks[event.index]
        if (!block) {
          const given = Math.min(Math.max(this.promptTotal - event.start, 0), event.tokens.length)
          block = { index: event.index, start: event.start, given, tokens: [], textStart: this.text.length, passes: 0 }
          this.blocks[event.index] = block
        }
        block.tokens = event.tokens
        for (const token of event.tokens) if (!token.masked) block.passes = Math.max(block.passes, token.pass)
        if (block.passes > 0) this.#tokenSeen(now)
        break
      }
      case 'done':
        this.result = event.result
        break
    }
  }

  /** New tokens decided so far: the blocks' unmasked positions, or for `ar` one for each piece of text. */
  get decided(): number {
    if (this.result) return this.result.stats.newTokens
    if (this.blocks.length === 0) return this.#textEvents
    let decided = 0
    for (const block of this.blocks) {
      for (let i = block.given; i < block.tokens.length; i++) if (!block.tokens[i]?.masked) decided += 1
    }
    return decided
  }

  /** Denoising passes so far; `ar` makes one for each token. */
  get passes(): number {
    if (this.result) return this.result.stats.passes
    if (this.blocks.length === 0) return this.#textEvents
    return this.blocks.reduce((sum, block) => sum + block.passes, 0)
  }

  #tokenSeen(now: number): void {
    this.firstTokenAt ??= now
    this.lastTokenAt = now
  }
}

/** How far a label may lie from where it is expected: room for bytes that were held back from the token before. */
const SEARCH = 12

/**
 * Cuts `text` into one piece for each label, so that the pieces joined are exactly `text`. Labels are only a guide: a
 * token may be half a character, or be left out of the text (a stop token, anything after it); its piece is then empty.
 */
export function alignPieces(text: string, labels: readonly string[]): string[] {
  const pieces = labels.map(() => '')
  const add = (i: number, part: string) => {
    pieces[i] = (pieces[i] ?? '') + part
  }
  let at = 0
  let last = 0
  labels.forEach((label, i) => {
    if (label === '' || at >= text.length) return
    const found = text.slice(at, at + label.length + SEARCH).indexOf(label)
    if (found < 0) return
    add(last, text.slice(at, at + found))
    add(i, label)
    at += found + label.length
    last = i
  })
  if (pieces.length > 0) add(last, text.slice(at))
  return pieces
}

/** A token as it can be shown in a small cell: white space made visible, nothing made `∅`. */
export function visible(text: string): string {
  if (text === '') return '∅'
  return text
    .replace(/\n/g, '⏎')
    .replace(/\t/g, '⇥')
    .replace(/^ +$/, (spaces) => '␣'.repeat(spaces.length))
}
