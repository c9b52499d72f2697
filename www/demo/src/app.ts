/** The controller: loads, runs, stops and unloads, and tells the views. The only writer of the state. */

import { loadModel, type ChatMessage, type Model, type Run } from 'webtern'
import { TINY, type Choice } from './choice'
import { byId, setText } from './dom'
import { follow } from './follow'
import { Recording } from './recording'
import { Store, type Tab } from './state'
import { lastStory, remembered } from './tiny'
import { BlockView } from './view-block'
import { codeOf, ErrorView } from './view-error'
import { FactsView } from './view-facts'
import { ProgressView } from './view-progress'
import { PickerView } from './view-picker'
import { SettingsView } from './view-settings'
import { StatsView } from './view-stats'
import { TinyView } from './view-tiny'
import { TranscriptView, type AnswerView } from './view-transcript'

/** The spoken answer is taken away again after this long, so that a reader meets it only once. */
const ANNOUNCED_MS = 5000

export class App {
  readonly store = new Store()
  readonly picker = new PickerView((choice) => void this.load(choice))
  readonly settings = new SettingsView()
  readonly #errors = new ErrorView('error', {}, () => this.focus())
  readonly #loading = new ProgressView('loading', () => this.#loadAbort?.abort())
  readonly #tiny = new TinyView()
  readonly #stats = new StatsView()
  readonly #facts = new FactsView()
  readonly #block = new BlockView()
  readonly #transcript = new TranscriptView()
  #messages: ChatMessage[] = []
  #loadAbort: AbortController | null = null
  #runAbort: AbortController | null = null
  /** The run under way, for `unload` to wait for: whether it came to an end by itself. */
  #running: Promise<boolean> = Promise.resolve(true)
  /** What to say to a model that is being loaded. */
  #waiting: { readonly choice: Choice; readonly turns: readonly string[] } | null = null
  /** Whether a token has been shown since the page was opened. */
  #written = false

  /**
   * Loads a model in place of the present one, which is unloaded first: two rarely fit. A load under way is given up.
   * `since` is when somebody began to wait for it.
   */
  async load(choice: Choice, since = performance.now()): Promise<void> {
    this.#loadAbort?.abort()
    const abort = new AbortController()
    this.#loadAbort = abort
    const progress = choice === TINY ? this.#tiny : this.#loading
    this.#loading.end()
    this.#errors.hide()
    if (this.store.state.model) await this.unload()
    this.store.set({ phase: 'loading', choice, picking: false })
    progress.start(`Loading ${choice.label}`)
    this.announce(`Loading ${choice.label}`)
    try {
      const model = await loadModel(choice.source, {
        signal: abort.signal,
        onProgress: (report) => progress.progress(report, performance.now()),
      })
      if (this.#loadAbort !== abort) {
        await model.unload()
        return
      }
      this.#loadAbort = null
      this.#tiny.ready(performance.now() - since)
      this.#adopt(model, choice)
    } catch (error) {
      // Another load has taken over.
      if (this.#loadAbort !== abort) return
      this.#loadAbort = null
      this.store.set({ phase: 'empty', choice: null })
      if (codeOf(error) === 'aborted') {
        this.announce('Loading cancelled')
        this.picker.focus()
      } else {
        this.#errors.show(error, () => void this.load(choice))
      }
    }
    this.#loading.end()
  }

  /** Gives the model's memory back and shows the picker. */
  async unload(): Promise<void> {
    const { model } = this.store.state
    if (!model) return
    this.stop()
    await this.#running
    await model.unload()
    this.clear()
    this.#stats.memory(null)
    this.store.set({ phase: 'empty', model: null, choice: null, picking: false })
    this.announce('Model unloaded')
  }

  /** Sends a prompt, if there is one and the model is free. */
  send(text: string): boolean {
    const { model, phase } = this.store.state
    if (!model || phase !== 'ready' || text.trim() === '' || !this.settings.validate()) return false
    this.#running = this.#run(model, text)
    return true
  }

  /** Sends one message after the other, each when the one before is answered; to a model that is being loaded, later. */
  async say(turns: readonly string[]): Promise<void> {
    const { phase, choice } = this.store.state
    if (phase === 'loading' && choice) {
      this.#waiting = { choice, turns }
      this.#tiny.waiting(turns[0] ?? '')
      return
    }
    for (const turn of turns) if (!this.send(turn) || !(await this.#running)) return
  }

  /** The story that the embedded model told last; empty without one. */
  get story(): string {
    return this.store.state.choice === TINY ? (lastStory(this.#messages)[1]?.content ?? '') : ''
  }

  stop(): void {
    this.#runAbort?.abort()
  }

  /** A new page: forgets the conversation. */
  clear(): void {
    if (this.store.state.phase === 'running') return
    this.#messages = []
    this.#transcript.clear()
    this.#stats.reset()
    this.#resetBlock()
    this.store.set({})
  }

  tab(tab: Tab): void {
    if (tab === this.store.state.tab || this.store.state.phase === 'running') return
    this.clear()
    this.store.set({ tab })
  }

  /** Puts the keyboard where the next thing is done. */
  focus(): void {
    const { model, picking } = this.store.state
    if (model && !picking) byId('prompt', HTMLTextAreaElement).focus({ preventScroll: true })
    else if (picking || this.store.state.phase === 'empty') this.picker.focus()
  }

  get pageIsEmpty(): boolean {
    return this.#transcript.empty
  }

  /** Says something short to screen readers. */
  announce(text: string): void {
    setText(byId('status', HTMLElement), text)
  }

  #adopt(model: Model, choice: Choice): void {
    const { info } = model
    this.settings.model(info)
    this.#showFacts(model)
    this.store.set({ phase: 'ready', model, picking: false, tab: info.chatTemplate ? 'chat' : 'completion' })
    this.clear()
    this.announce(`${info.name} is ready`)
    performance.mark('webtern:ready')
    this.focus()
    const waiting = this.#waiting
    this.#waiting = null
    if (waiting?.choice === choice) void this.say(waiting.turns)
  }

  async #run(model: Model, text: string): Promise<boolean> {
    const { tab } = this.store.state
    const chat = tab === 'chat'
    const abort = new AbortController()
    this.#runAbort = abort
    this.#errors.hide()
    const recording = new Recording(performance.now(), this.settings.subBlockSize)
    if (chat) this.#transcript.said(text)
    const answer = this.#transcript.answer(model.info.name, chat ? '' : text)
    this.#stats.reset()
    this.#resetBlock()
    this.store.set({ phase: 'running' })
    this.announce('Writing')
    const said: ChatMessage = { role: 'user', content: text }
    const before = this.store.state.choice === TINY ? remembered(this.#messages, text) : this.#messages
    const system: ChatMessage[] = this.settings.system === '' ? [] : [{ role: 'system', content: this.settings.system }]
    try {
      const prompt = chat ? { messages: [...system, ...before, said] } : { prompt: text }
      await this.#show(
        model.generate({ ...prompt, ...this.settings.options(), signal: abort.signal }),
        recording,
        answer,
      )
      if (chat) this.#messages = [...this.#messages, said, { role: 'assistant', content: recording.text }]
      this.#speak(recording.text)
      return recording.result?.finishReason !== 'abort'
    } catch (error) {
      answer.close()
      const code = codeOf(error)
      const { choice } = this.store.state
      if (code !== 'aborted')
        this.#errors.show(error, code === 'crashed' && choice ? () => void this.load(choice) : null)
      if (code === 'crashed') void this.unload()
      return false
    } finally {
      this.#runAbort = null
      this.#stats.memory(model.info)
      this.#showFacts(model)
      if (this.store.state.model === model) this.store.set({ phase: 'ready' })
    }
  }

  async #show(run: Run, recording: Recording, answer: AnswerView): Promise<void> {
    this.#block.follow(recording)
    await follow(run, recording, () => {
      const inView = isInView(answer.element)
      answer.draw(recording)
      if (recording.firstTokenAt !== null && !this.#written) {
        this.#written = true
        performance.mark('webtern:first-token')
      }
      this.#block.draw()
      this.#stats.draw(recording)
      if (inView) answer.element.scrollIntoView({ block: 'end' })
    })
    if (recording.result) answer.finish(recording, recording.result)
  }

  #speak(answer: string): void {
    this.announce('Finished')
    const place = byId('announcer', HTMLElement)
    place.textContent = answer
    setTimeout(() => {
      if (place.textContent === answer) place.textContent = ''
    }, ANNOUNCED_MS)
  }

  #showFacts({ info }: Model): void {
    this.#facts.draw(info)
    this.#stats.memory(info)
  }

  #resetBlock(): void {
    const blockSize =
      this.settings.options().mode === 'ar' ? 0 : (this.store.state.model?.info.diffusion?.blockSize ?? 0)
    this.#block.reset(blockSize > 0 ? 'No output yet.' : 'Autoregressive decoding: no blocks to show.', blockSize)
  }
}

/** Whether the end of an answer is on screen, or just below it: then the page follows the writing. */
function isInView(element: Element): boolean {
  return element.getBoundingClientRect().bottom < window.innerHeight + 80
}
