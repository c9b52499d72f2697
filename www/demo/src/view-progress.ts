/** Progress of a load or a conversion: bytes, rate, time left, and a button to cancel. */

import { fromTemplate, part, setText } from './dom'
import { bytes, duration } from './format'
import type { ConvertProgress, LoadProgress, ReadProgress } from 'webtern'

/** The rate is the average over this time: steady, but without a slow start. */
const WINDOW_MS = 3000

const VERBS = {
  download: 'Downloading',
  load: 'Reading',
  convert: 'Writing',
  inspect: 'Reading',
  verify: 'Comparing',
} as const

export class ProgressView {
  readonly #panel: HTMLElement
  readonly #bar: HTMLProgressElement
  readonly #title: HTMLElement
  readonly #bytes: HTMLElement
  readonly #rate: HTMLElement
  readonly #cancel: HTMLButtonElement
  #samples: { readonly at: number; readonly loaded: number }[] = []

  /** Fills the panel `id`. */
  constructor(id: string, cancel: () => void) {
    this.#panel = fromTemplate(id, 'progress-template')
    this.#bar = part(this.#panel, 'bar', HTMLProgressElement)
    this.#title = part(this.#panel, 'title', HTMLElement)
    this.#bytes = part(this.#panel, 'bytes', HTMLElement)
    this.#rate = part(this.#panel, 'rate', HTMLElement)
    this.#cancel = part(this.#panel, 'cancel', HTMLButtonElement)
    this.#cancel.addEventListener('click', cancel)
  }

  /** Shows the panel under a title. */
  start(title: string): void {
    this.#samples = []
    this.#bar.removeAttribute('value')
    setText(this.#title, title)
    for (const labelled of [this.#panel, this.#bar]) labelled.setAttribute('aria-label', title)
    setText(this.#bytes, 'Starting…')
    setText(this.#rate, '')
    this.#panel.hidden = false
    this.#cancel.focus()
  }

  progress({ phase, loaded, total }: LoadProgress | ConvertProgress | ReadProgress, now: number): void {
    const known = total !== null && total > 0
    if (known) {
      this.#bar.max = total
      this.#bar.value = loaded
    } else {
      this.#bar.removeAttribute('value')
    }
    setText(
      this.#bytes,
      known ? `${bytes(loaded)} of ${bytes(total)} · ${Math.floor((loaded / total) * 100)} %` : bytes(loaded),
    )

    this.#samples.push({ at: now, loaded })
    while (this.#samples.length > 2 && now - (this.#samples[0]?.at ?? now) > WINDOW_MS) this.#samples.shift()
    const first = this.#samples[0]
    const elapsed = first ? now - first.at : 0
    if (!first || elapsed < 200) return
    const perMs = (loaded - first.loaded) / elapsed
    const left = known && perMs > 0 ? ` · ${duration((total - loaded) / perMs)} left` : ''
    const done = known && loaded >= total
    setText(this.#rate, done ? 'Loading…' : `${VERBS[phase]} at ${bytes(perMs * 1000)}/s${left}`)
  }

  end(): void {
    this.#panel.hidden = true
  }
}
