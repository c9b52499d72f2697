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

/** Events closer than this came in one message. */
const TOGETHER_MS = 1

/** Events that came together happened since the message before: here they are spread evenly over that time. `done` has none. */
function spread(notes: readonly TimedEvent[], startedAt: number): TimedEvent[] {
  const messages: { at: number; events: GenerateEvent[] }[] = []
  for (const { at, event } of notes) {
    const latest = messages.at(-1)
    if (latest && event.type !== 'done' && at - latest.at < TOGETHER_MS) {
      latest.at = at
      latest.events.push(event)
    } else messages.push({ at, events: [event] })
  }
  return messages.flatMap(({ at, events }, i) => {
    const since = messages[i - 1]?.at ?? startedAt
    return events.map((event, j) => ({ at: since + ((at - since) * (j + 1)) / events.length, event }))
  })
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
    for (const { at, event } of spread(this.notes, this.startedAt)) {
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
