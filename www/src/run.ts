/** A generation as the page sees it: a log of events that any number of readers follow, and a result at its end. */

import { Deferred } from './deferred.js'
import type { WebternError } from './errors.js'
import type { GenerateEvent, GenerateResult, Run } from './types.js'

export class EventLog implements Run {
  readonly #events: GenerateEvent[] = []
  readonly #result = new Deferred<GenerateResult>()
  #news = new Deferred<void>()
  #ended = false

  /** Adds events. `done` is the last. */
  push(...events: GenerateEvent[]): void {
    this.#events.push(...events)
    const last = events.at(-1)
    if (last?.type === 'done') {
      this.#ended = true
      this.#result.resolve(last.result)
    }
    this.#news.resolve()
    this.#news = new Deferred()
  }

  /** Ends the log without `done`. */
  fail(error: WebternError): void {
    this.#ended = true
    this.#result.reject(error)
    this.#news.resolve()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<GenerateEvent, void, undefined> {
    for (let seen = 0; ; seen++) {
      while (seen === this.#events.length && !this.#ended) await this.#news.promise
      const event = this.#events[seen]
      if (!event) break
      yield event
    }
    await this.#result.promise
  }

  async text(): Promise<string> {
    return (await this.#result.promise).text
  }

  result(): Promise<GenerateResult> {
    return this.#result.promise
  }
}
