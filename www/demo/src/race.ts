/**
 * The race: one prompt, answered at the same time in mode `ar` and in mode `adaptive`. Each lane has a copy of the model in
 * a worker of its own; both are unloaded when the view is left.
 */

import { loadModel, type Model } from 'webtern'
import { byId, el, setText } from './dom'
import { Suggestions } from './suggestions'
import { TINY, type Choice } from './choice'
import { duration, significant } from './format'
import { codeOf, ErrorView } from './view-error'
import { LaneView, type Finish } from './view-lane'
import { SuggestionsView } from './view-suggestions'

const MAX_TOKENS = 128

/** A race that takes less can hardly be watched, and is shown again so that it takes {@link WATCHED_MS}. */
const SHORT_MS = 2000
const WATCHED_MS = 5000

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
  readonly #again = byId('race-again', HTMLButtonElement)
  /** How many times slower the last race is shown again. */
  #factor = 1
  readonly #errors = new ErrorView('race-error', {}, () => this.focus())
  readonly #suggestions = Suggestions.raced()
  #models: { readonly choice: Choice; readonly lanes: Promise<readonly Model[]> } | null = null
  #abort: AbortController | null = null

  constructor(private readonly surroundings: Surroundings) {
    new SuggestionsView(byId('race-suggestions', HTMLElement), this.#suggestions, ([prompt]) => this.race(prompt ?? ''))
    byId('race-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault()
      void this.start()
    })
    byId('race-stop', HTMLButtonElement).addEventListener('click', () => this.stop())
    this.#again.addEventListener('click', () => void this.replay())
  }

  /** Shows prompts that suit the model, and puts the keyboard where one is written. */
  focus(): void {
    const choice = this.surroundings.choice()
    setText(
      this.#verdict,
      choice ? '' : 'Load a diffusion model under “Run” first: other models have only one decode mode.',
    )
    byId('race-start', HTMLButtonElement).disabled = !choice
    const chips = (choice?.examples ?? []).map((text) => {
      const chip = el('button', { type: 'button', class: 'example', 'data-testid': 'race-example' }, text)
      chip.addEventListener('click', () => this.race(text))
      return chip
    })
    byId('race-suggestions', HTMLElement).hidden = choice !== TINY
    byId('race-examples', HTMLElement).replaceChildren(...chips)
    this.#prompt.focus({ preventScroll: true })
  }

  /** Races with this prompt. */
  race(prompt: string): void {
    if (this.#abort) return
    this.#prompt.value = prompt
    void this.start()
  }

  /** Races with a suggestion. */
  demonstrate(): void {
    const [suggestion] = this.#suggestions.present('')
    this.race(suggestion?.turns[0] ?? '')
  }

  async start(): Promise<void> {
    const text = this.#prompt.value.trim()
    const choice = this.surroundings.choice()
    if (text === '' || !choice || this.#abort) return
    const abort = new AbortController()
    this.#abort = abort
    this.#errors.hide()
    this.#busy(true)
    this.#again.hidden = true
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

  /** Shows the last race again, slowly enough to be watched. */
  async replay(): Promise<void> {
    if (this.#abort) return
    const abort = new AbortController()
    this.#abort = abort
    this.#busy(true)
    this.#again.hidden = true
    await Promise.all(this.#lanes.map((lane) => lane.replay(this.#factor, abort.signal)))
    this.#again.hidden = false
    this.#abort = null
    this.#busy(false)
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
    const same = ar.result.text === adaptive.result.text ? 'Both answers are the same' : 'The answers differ'
    const words =
      `${name} was first, after ${duration(first.ms)} against ${duration(second.ms)}: ` +
      `${significant(second.ms / Math.max(first.ms, 1))} times as fast. ${same}.`
    setText(this.#verdict, words)
    this.surroundings.announce(words)
    this.#factor = Math.ceil(WATCHED_MS / Math.max(second.ms, 1))
    this.#again.hidden = second.ms > SHORT_MS
    setText(this.#again, `Replay ${String(this.#factor)} times slower`)
  }

  #busy(busy: boolean): void {
    byId('race-start', HTMLButtonElement).hidden = busy
    byId('race-stop', HTMLButtonElement).hidden = !busy
    byId('race', HTMLElement).setAttribute('aria-busy', String(busy))
  }
}
