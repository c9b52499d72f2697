/** What the page says of the embedded model before anything is written: what it is, and how far it is. */

import { byId, setText } from './dom'
import { bytes, duration } from './format'
import type { LoadProgress } from 'webtern'

/** A faster load is not worth a word about how far it is. */
const PATIENCE_MS = 300

export class TinyView {
  readonly #status = byId('tiny-status', HTMLElement)
  #startedAt = 0
  #waiting = false

  start(): void {
    this.#startedAt = performance.now()
    this.#waiting = false
    this.#say('loading', 'Loading…')
  }

  progress({ loaded, total }: LoadProgress, now: number): void {
    if (this.#waiting || now - this.#startedAt < PATIENCE_MS) return
    this.#say('loading', total === null ? `Loaded ${bytes(loaded)}` : `Loaded ${bytes(loaded)} of ${bytes(total)}`)
  }

  /** It took `ms` milliseconds. */
  ready(ms: number): void {
    this.#say('ready', `Ready in ${duration(ms)}`)
  }

  /** A question came before the model was there. */
  waiting(question: string): void {
    this.#waiting = true
    this.#say('loading', `Answers “${question}” when the model is ready`)
  }

  #say(state: 'loading' | 'ready', text: string): void {
    this.#status.dataset['state'] = state
    setText(this.#status, text)
  }
}
