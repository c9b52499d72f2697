/** One lane of a race: an answer that grows, and its clock. */

import { byId, setText } from './dom'
import { follow } from './follow'
import { duration } from './format'
import { Recording } from './recording'
import { LIVE, noted, Replay, type Clock, type TimedEvent } from './replay'
import { attachTip, type TokenNote } from './tip'
import { AnswerView } from './view-transcript'
import type { ChatMessage, DecodeMode, GenerateEvent, GenerateResult, Model } from 'webtern'

const SUB_BLOCK = 8

/** A finished run and what the clock said. */
export interface Finish {
  readonly ms: number
  readonly result: GenerateResult
}

export class LaneView {
  readonly #list: HTMLOListElement
  readonly #notes = new WeakMap<Element, TokenNote>()
  /** The latest run: who wrote, when it began, and what came when. */
  #latest: { readonly name: string; readonly startedAt: number; readonly events: TimedEvent[] } | null = null

  constructor(readonly mode: DecodeMode) {
    this.#list = byId(`lane-${mode}`, HTMLOListElement)
    attachTip(this.#list, (element) => this.#notes.get(element))
  }

  clear(): void {
    this.#list.replaceChildren()
    for (const name of ['clock', 'tokens', 'passes'] as const) this.#say(name, '–')
  }

  /** Answers a prompt. A run that is aborted ends like any other, with finish reason `abort`. */
  async run(model: Model, text: string, maxTokens: number, signal: AbortSignal): Promise<Finish> {
    const { mode } = this
    const messages: ChatMessage[] = [{ role: 'user', content: text }]
    const prompt = model.info.chatTemplate ? { messages } : { prompt: text }
    const latest = { name: model.info.name, startedAt: performance.now(), events: [] }
    this.#latest = latest
    const events = noted(model.generate({ ...prompt, mode, maxTokens, signal }), latest.events)
    return this.#show(latest.name, latest.startedAt, events, LIVE)
  }

  /** Shows the latest run again, slower. */
  async replay(factor: number, signal: AbortSignal): Promise<void> {
    if (!this.#latest) return
    const { name, startedAt, events } = this.#latest
    const replay = new Replay(events, startedAt, factor, signal)
    await this.#show(name, startedAt, replay.events(), replay)
  }

  async #show(name: string, startedAt: number, events: AsyncIterable<GenerateEvent>, clock: Clock): Promise<Finish> {
    this.clear()
    const recording = new Recording(startedAt, SUB_BLOCK)
    const answer = new AnswerView(name, '', this.#notes)
    this.#list.append(answer.element)
    const draw = (): void => {
      answer.draw(recording)
      this.#figures(recording, clock.now())
    }
    try {
      await follow(events, recording, draw, clock)
    } finally {
      answer.close()
    }
    const { result } = recording
    if (!result) throw new Error(`the run in mode ${this.mode} ended without a result`)
    answer.finish(recording, result)
    return { ms: recording.lastTokenAt - recording.startedAt, result }
  }

  #figures(recording: Recording, now: number): void {
    const until = recording.result ? Math.max(recording.lastTokenAt, recording.startedAt) : now
    this.#say('clock', duration(until - recording.startedAt))
    this.#say('tokens', String(recording.decided))
    this.#say('passes', String(recording.passes))
  }

  #say(name: 'clock' | 'tokens' | 'passes', text: string): void {
    setText(byId(`lane-${this.mode}-${name}`, HTMLElement), text)
  }
}
