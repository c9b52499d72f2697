/**
 * The race: one prompt, answered at the same time in mode `ar` and in mode `adaptive`. Each lane has a copy of the model in
 * a worker of its own; both are unloaded when the view is left.
 */

import { loadModel, type Model } from 'webtern'
import { byId, el, setText } from './dom'
import { duration, significant } from './format'
import { codeOf, ErrorView } from './view-error'
import { LaneView, type Finish } from './view-lane'
import type { Choice } from './view-picker'

const MAX_TOKENS = 128

/** What the race asks of the page around it. */
export interface Surroundings {
  /** Says something short to screen readers. */
  readonly announce: (text: string) => void
  /** The diffusion model to race, if one is loaded. */
  readonly choice: () => Choice | null
}

export class Race {
  readonly #lanes = [new LaneView('ar'), new LaneView('adaptive')] as const
  readonly #prompt = byId('race-prompt', HTMLInputElement)
  readonly #verdict = byId('race-verdict', HTMLElement)
  readonly #errors = new ErrorView('race-error', {}, () => this.focus())
  #models: { readonly choice: Choice; readonly lanes: Promise<readonly Model[]> } | null = null
  #abort: AbortController | null = null

  constructor(private readonly surroundings: Surroundings) {
    byId('race-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault()
      void this.start()
    })
    byId('race-stop', HTMLButtonElement).addEventListener('click', () => this.stop())
  }

  /** Shows prompts that suit the model, and puts the keyboard where one is written. */
  focus(): void {
    const choice = this.surroundings.choice()
    setText(this.#verdict, choice ? '' : 'Load a diffusion model under “Run” first: others have one way to write only.')
    byId('race-start', HTMLButtonElement).disabled = !choice
    const chips = (choice?.examples ?? []).map((text) => {
      const chip = el('button', { type: 'button', class: 'example', 'data-testid': 'race-example' }, text)
      chip.addEventListener('click', () => {
        this.#prompt.value = text
        void this.start()
      })
      return chip
    })
    byId('race-examples', HTMLElement).replaceChildren(...chips)
    this.#prompt.focus()
  }

  async start(): Promise<void> {
    const text = this.#prompt.value.trim()
    const choice = this.surroundings.choice()
    if (text === '' || !choice || this.#abort) return
    const abort = new AbortController()
    this.#abort = abort
    this.#errors.hide()
    this.#busy(true)
    setText(this.#verdict, '')
    try {
      const models = await this.#load(choice)
      const runs = this.#lanes.map((lane, i) => {
        const model = models[i]
        if (!model) throw new Error('there is a model for each lane')
        return lane.run(model, text, MAX_TOKENS, abort.signal)
      })
      const [ar, adaptive] = await Promise.all(runs)
      if (ar && adaptive) this.#judge(ar, adaptive)
    } catch (error) {
      // One lane failed: the other ends too.
      abort.abort()
      await this.#unload()
      if (codeOf(error) !== 'aborted') this.#errors.show(error, () => void this.start())
    } finally {
      this.#abort = null
      this.#busy(false)
    }
  }

  stop(): void {
    this.#abort?.abort()
  }

  /** Ends the race and gives the memory back. */
  leave(): Promise<void> {
    this.stop()
    return this.#unload()
  }

  async #unload(): Promise<void> {
    const models = this.#models
    this.#models = null
    const lanes = await models?.lanes.catch(() => [])
    await Promise.all((lanes ?? []).map((model) => model.unload()))
  }

  /** A model for each lane, kept for the next race. */
  async #load(choice: Choice): Promise<readonly Model[]> {
    if (this.#models?.choice !== choice) {
      await this.#unload()
      setText(this.#verdict, `Loading ${choice.label} twice…`)
      this.#models = { choice, lanes: Promise.all(this.#lanes.map(() => loadModel(choice.source))) }
    }
    const models = await this.#models.lanes
    setText(this.#verdict, '')
    return models
  }

  #judge(ar: Finish, adaptive: Finish): void {
    if (ar.result.finishReason === 'abort' || adaptive.result.finishReason === 'abort') return
    const [first, second] = ar.ms <= adaptive.ms ? [ar, adaptive] : [adaptive, ar]
    const name = first === ar ? 'ar' : 'adaptive'
    const same = ar.result.text === adaptive.result.text ? 'Both gave the same answer' : 'The answers differ'
    const words =
      `${name} was first, after ${duration(first.ms)} against ${duration(second.ms)}: ` +
      `${significant(second.ms / Math.max(first.ms, 1))} times as fast. ${same}.`
    setText(this.#verdict, words)
    this.surroundings.announce(words)
  }

  #busy(busy: boolean): void {
    byId('race-start', HTMLButtonElement).hidden = busy
    byId('race-stop', HTMLButtonElement).hidden = !busy
    byId('race', HTMLElement).setAttribute('aria-busy', String(busy))
  }
}
