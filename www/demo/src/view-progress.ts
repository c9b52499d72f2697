/** How far a load or a conversion has come: bytes, rate, time left, and a way out. */

import { byId, setText } from './dom'
import { bytes, duration } from './format'
import type { ConvertProgress, LoadProgress, ReadProgress } from 'webtern'

/** The rate is an average over this long, so that it neither jumps nor remembers a slow start for ever. */
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

  /** `panel` is the id of the panel, with which those of its parts begin. */
  constructor(panel: string, cancel: () => void) {
    this.#panel = byId(panel, HTMLElement)
    this.#bar = byId(`${panel}-progress`, HTMLProgressElement)
    this.#title = byId(`${panel}-title`, HTMLElement)
    this.#bytes = byId(`${panel}-bytes`, HTMLElement)
    this.#rate = byId(`${panel}-rate`, HTMLElement)
    this.#cancel = byId(`${panel}-cancel`, HTMLButtonElement)
    this.#cancel.addEventListener('click', cancel)
  }

  /** Shows the panel; `title` says what goes on. */
  start(title: string): void {
    this.#samples = []
    this.#bar.removeAttribute('value')
    setText(this.#title, title)
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
    setText(this.#rate, done ? 'Getting ready…' : `${VERBS[phase]} at ${bytes(perMs * 1000)}/s${left}`)
  }

  end(): void {
    this.#panel.hidden = true
  }
}
