/**
 * A generation on the page's side: a log of events that any number of readers can follow, and a
 * result.
 */

import { Deferred } from './deferred.js'
import type { WebternError } from './errors.js'
import type { GenerateEvent, GenerateResult, Run } from './types.js'

export class EventLog implements Run {
  readonly #events: GenerateEvent[] = []
  readonly #result = new Deferred<GenerateResult>()
  #changed = new Deferred<void>()
  #ended = false

  /** Appends events. `done` is the last. */
  push(...events: GenerateEvent[]): void {
    this.#events.push(...events)
    const last = events.at(-1)
    if (last?.type === 'done') {
      this.#ended = true
      this.#result.resolve(last.result)
    }
    this.#changed.resolve()
    this.#changed = new Deferred()
  }

  /** Ends the log without `done`. */
  fail(error: WebternError): void {
    this.#ended = true
    this.#result.reject(error)
    this.#changed.resolve()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<GenerateEvent, void, undefined> {
    for (let next = 0; ; next++) {
      while (next === this.#events.length && !this.#ended) await this.#changed.promise
      const event = this.#events[next]
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
