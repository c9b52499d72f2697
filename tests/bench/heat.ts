/**
 * A heat: several measurements at the same time, of which one takes a step while the others wait. So what disturbs one of them disturbs
 * the others too, whose steps are its neighbours in time.
 */

/** Somebody's measurement. Each step gives some of the sample. */
export interface Lane<T, Sample> {
  readonly turn: T
  readonly steps: AsyncGenerator<Partial<Sample>, void, undefined>
}

/** Takes all measurements to their ends, a step of each in turn, and returns what they found. */
export async function heat<T, Sample>(
  lanes: readonly Lane<T, Sample>[],
): Promise<(T & { readonly sample: Partial<Sample> })[]> {
  const found = new Map<Lane<T, Sample>, Partial<Sample>>(lanes.map((lane) => [lane, {}]))
  const running = new Set(lanes)
  try {
    while (running.size > 0) {
      for (const lane of running) {
        const step = await lane.steps.next()
        if (step.done) running.delete(lane)
        else found.set(lane, { ...found.get(lane), ...step.value })
      }
    }
  } finally {
    // When one throws, the others have browsers to close.
    for (const { steps } of running) await steps.return()
  }
  return [...found].map(([{ turn }, sample]) => ({ ...turn, sample }))
}
