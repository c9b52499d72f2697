/**
 * What a machine really gives: how many processors, and how much of its memory's speed. Two processors of a virtual machine may be halves of
 * one real one, or somebody else may use the other halves, and that changes from second to second: then no program is twice as fast on
 * both. Nor is one that waits for memory, where one thread alone takes most of what there is.
 */

import { Worker } from 'node:worker_threads'
import { median } from './statistics.js'

/** Bytes that a thread reads: more than caches hold. */
const READ_BYTES = 64 * 2 ** 20

/**
 * Answers after some milliseconds of multiplications and additions that do not wait for each other, which take all of a processor; or, when
 * it is told to read, after it has looked for a byte that is nowhere.
 */
const LOOPS = `
  const { parentPort } = require('node:worker_threads')
  const bytes = Buffer.alloc(${READ_BYTES}, 1)
  function compute() {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    for (let round = 0; round < 1e7; round++) {
      a = a * 0.9 + 0.1; b = b * 0.9 + 0.1; c = c * 0.9 + 0.1; d = d * 0.9 + 0.1; e = e * 0.9 + 0.1; f = f * 0.9 + 0.1
      g = g * 0.9 + 0.1; h = h * 0.9 + 0.1; i = i * 0.9 + 0.1; j = j * 0.9 + 0.1; k = k * 0.9 + 0.1; l = l * 0.9 + 0.1
    }
    return a + b + c + d + e + f + g + h + i + j + k + l
  }
  parentPort.on('message', (work) => parentPort.postMessage(work === 'read' ? bytes.indexOf(0) : compute()))
`

type Work = 'compute' | 'read'

/** How long a loop took, in milliseconds. */
export interface Times {
  /** One thread alone, each in turn. */
  readonly alone: readonly number[]
  /** All of them. */
  readonly together: number
}

/** What was found out at one time. */
export type Probe = Readonly<Record<Work, Times>>

export interface Machine {
  probe(): Promise<Probe>
  stop(): Promise<void>
}

/** So many threads that find it out. */
export function machine(threads: number): Machine {
  const workers = Array.from({ length: threads }, () => new Worker(LOOPS, { eval: true }))
  const times = async (work: Work): Promise<Times> => {
    const alone: number[] = []
    for (const worker of workers) alone.push(await timed(() => run(worker, work)))
    return { alone, together: await timed(() => Promise.all(workers.map((worker) => run(worker, work)))) }
  }
  return {
    probe: async () => ({ compute: await times('compute'), read: await times('read') }),
    async stop() {
      await Promise.all(workers.map((worker) => worker.terminate()))
    },
  }
}

/** How many processors there were at each of the `probes`: one is as fast as the fastest thread that was alone in any of them. */
export function processors(probes: readonly Probe[]): number[] {
  const whole = Math.min(...probes.flatMap(({ compute }) => compute.alone))
  return probes.map(({ compute: { alone, together } }) => (alone.length * whole) / together)
}

/** What is read from memory, in GB/s. */
export interface Reading {
  /** By the faster ones of threads that are alone. */
  readonly one: number
  /** By all of them together. */
  readonly all: number
}

/** How fast memory was at a probe. */
export function reading({ read: { alone, together } }: Probe): Reading {
  const speed = (bytes: number, ms: number): number => bytes / ms / 1e6
  return { one: speed(READ_BYTES, Math.min(...alone)), all: speed(alone.length * READ_BYTES, together) }
}

/** The medians of some. */
export function medianReading(readings: readonly Reading[]): Reading {
  return { one: median(readings.map(({ one }) => one)), all: median(readings.map(({ all }) => all)) }
}

function run(worker: Worker, work: Work): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject)
    worker.once('message', (answer) => {
      worker.off('error', reject)
      resolve(answer)
    })
    worker.postMessage(work)
  })
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now()
  await work()
  return performance.now() - begin
}
