/**
 * How many processors a machine really gives. Two of a virtual one may be halves of one real one, or somebody else may use the other
 * halves, and that changes from second to second: then no program is twice as fast on both.
 */

import { Worker } from 'node:worker_threads'

/** Answers after some milliseconds of multiplications and additions that do not wait for each other, which take all of a processor. */
const LOOP = `
  const { parentPort } = require('node:worker_threads')
  parentPort.on('message', () => {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    for (let round = 0; round < 1e7; round++) {
      a = a * 0.9 + 0.1; b = b * 0.9 + 0.1; c = c * 0.9 + 0.1; d = d * 0.9 + 0.1; e = e * 0.9 + 0.1; f = f * 0.9 + 0.1
      g = g * 0.9 + 0.1; h = h * 0.9 + 0.1; i = i * 0.9 + 0.1; j = j * 0.9 + 0.1; k = k * 0.9 + 0.1; l = l * 0.9 + 0.1
    }
    parentPort.postMessage(a + b + c + d + e + f + g + h + i + j + k + l)
  })
`

/** How long it took, in milliseconds. */
export interface Probe {
  /** One thread alone, each in turn. */
  readonly alone: readonly number[]
  /** All of them. */
  readonly together: number
}

export interface Processors {
  probe(): Promise<Probe>
  stop(): Promise<void>
}

/** So many threads that find it out. */
export function processors(threads: number): Processors {
  const workers = Array.from({ length: threads }, () => new Worker(LOOP, { eval: true }))
  return {
    async probe() {
      const alone: number[] = []
      for (const worker of workers) alone.push(await timed(() => run(worker)))
      return { alone, together: await timed(() => Promise.all(workers.map(run))) }
    },
    async stop() {
      await Promise.all(workers.map((worker) => worker.terminate()))
    },
  }
}

/** How many processors there were at each of the `probes`: one is as fast as the fastest thread that was alone in any of them. */
export function counts(probes: readonly Probe[]): number[] {
  const whole = Math.min(...probes.flatMap(({ alone }) => alone))
  return probes.map(({ alone, together }) => (alone.length * whole) / together)
}

function run(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject)
    worker.once('message', (answer) => {
      worker.off('error', reject)
      resolve(answer)
    })
    worker.postMessage(null)
  })
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now()
  await work()
  return performance.now() - begin
}
