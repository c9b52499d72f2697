/** A run again, slower: for runs that are over before they can be watched. */

import type { GenerateEvent } from 'webtern'

/** What the time is, by the clock of a run. */
export interface Clock {
  now(): number
  /** When the latest event came. */
  arrival(): number
}

export const LIVE: Clock = { now: () => performance.now(), arrival: () => performance.now() }

/** An event, and when it came by `performance.now()`. */
export interface TimedEvent {
  readonly at: number
  readonly event: GenerateEvent
}

/** Passes events on and notes when they came. */
export async function* noted(
  events: AsyncIterable<GenerateEvent>,
  notes: TimedEvent[],
): AsyncGenerator<GenerateEvent, void> {
  for await (const event of events) {
    notes.push({ at: performance.now(), event })
    yield event
  }
}

/** Events of a run that began at `startedAt`, once more, `factor` times slower, from now on. */
export class Replay implements Clock {
  readonly #from = performance.now()
  #arrival = 0

  constructor(
    private readonly notes: readonly TimedEvent[],
    private readonly startedAt: number,
    private readonly factor: number,
    private readonly signal: AbortSignal,
  ) {}

  now(): number {
    return this.startedAt + (performance.now() - this.#from) / this.factor
  }

  arrival(): number {
    return this.#arrival
  }

  /** When the signal fires, what is left comes at once. */
  async *events(): AsyncGenerator<GenerateEvent, void> {
    for (const { at, event } of this.notes) {
      await this.#until(at)
      this.#arrival = at
      yield event
    }
  }

  #until(at: number): Promise<void> {
    const wait = (at - this.now()) * this.factor
    if (wait <= 0 || this.signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, wait)
      const end = (): void => {
        clearTimeout(timer)
        resolve()
      }
      this.signal.addEventListener('abort', end, { once: true })
    })
  }
}
