/** How far a load has come: bytes, rate, time left, and a way out. */

import { byId, setText } from './dom'
import { bytes, duration } from './format'
import type { LoadProgress } from 'webtern'

/** The rate is an average over this long, so that it neither jumps nor remembers a slow start for ever. */
const WINDOW_MS = 3000

export class LoadingView {
  readonly #panel = byId('loading', HTMLElement)
  readonly #bar = byId('progress', HTMLProgressElement)
  readonly #title = byId('loading-title', HTMLElement)
  readonly #bytes = byId('progress-bytes', HTMLElement)
  readonly #rate = byId('progress-rate', HTMLElement)
  readonly #cancel = byId('cancel-load', HTMLButtonElement)
  #samples: { readonly at: number; readonly loaded: number }[] = []

  constructor(cancel: () => void) {
    this.#cancel.addEventListener('click', cancel)
  }

  start(label: string): void {
    this.#samples = []
    this.#bar.removeAttribute('value')
    setText(this.#title, `Loading ${label}`)
    setText(this.#bytes, 'Starting…')
    setText(this.#rate, '')
    this.#panel.hidden = false
    this.#cancel.focus()
  }

  progress({ phase, loaded, total }: LoadProgress, now: number): void {
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
    setText(
      this.#rate,
      done
        ? 'Getting ready…'
        : `${phase === 'download' ? 'Downloading' : 'Reading'} at ${bytes(perMs * 1000)}/s${left}`,
    )
  }

  end(): void {
    this.#panel.hidden = true
  }
}
