/** One lane of a race: an answer that grows, and its clock. */

import { byId, setText } from './dom'
import { follow } from './follow'
import { duration } from './format'
import { Recording } from './recording'
import { attachTip, type TokenNote } from './tip'
import { AnswerView } from './view-transcript'
import type { ChatMessage, DecodeMode, GenerateResult, Model } from 'webtern'

const SUB_BLOCK = 8

/** A finished run and what the clock said. */
export interface Finish {
  readonly ms: number
  readonly result: GenerateResult
}

export class LaneView {
  readonly #list: HTMLOListElement
  readonly #notes = new WeakMap<Element, TokenNote>()

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
    this.clear()
    const { mode } = this
    const recording = new Recording(performance.now(), SUB_BLOCK)
    const answer = new AnswerView(model.info.name, '', this.#notes)
    this.#list.append(answer.element)
    const messages: ChatMessage[] = [{ role: 'user', content: text }]
    const prompt = model.info.chatTemplate ? { messages } : { prompt: text }
    try {
      await follow(model.generate({ ...prompt, mode, maxTokens, signal }), recording, () => {
        answer.draw(recording)
        this.#figures(recording)
      })
    } finally {
      answer.close()
    }
    const { result } = recording
    if (!result) throw new Error(`the run in mode ${mode} ended without a result`)
    answer.finish(recording, result)
    return { ms: recording.lastTokenAt - recording.startedAt, result }
  }

  #figures(recording: Recording): void {
    const until = recording.result ? Math.max(recording.lastTokenAt, recording.startedAt) : performance.now()
    this.#say('clock', duration(until - recording.startedAt))
    this.#say('tokens', String(recording.decided))
    this.#say('passes', String(recording.passes))
  }

  #say(name: 'clock' | 'tokens' | 'passes', text: string): void {
    setText(byId(`lane-${this.mode}-${name}`, HTMLElement), text)
  }
}
