/** The engine's side of its thread pool: memory to share, and workers that compute on it. */

import { messageOf } from './errors.js'
import type { PoolLink, PoolReply, PoolRequest, PoolTask, PoolWork } from './pool-messages.js'

/** What the engine needs of the port to the page. */
export interface PoolPort {
  postMessage(message: PoolRequest): void
  onmessage: ((event: MessageEvent<PoolLink>) => void) | null
}

/** How many pool workers compute, and why others do not. */
export interface PoolOutcome {
  readonly started: number
  readonly reasons: readonly string[]
}

/** Largest memories to try, in pages of 64 KiB: 4 GiB, or less where address space is scarce. */
const MAX_PAGES = [65536, 32768, 16384, 8192]
/** Room for the module's own data and stack. */
const INITIAL_PAGES = 128
/** The engine does without a worker that takes longer to start. */
const START_MS = 5000

/** Memory for several instances; `undefined` if the browser cannot reserve enough addresses. */
export function sharedMemory(): WebAssembly.Memory | undefined {
  for (const maximum of MAX_PAGES) {
    try {
      return new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum, shared: true })
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
    }
  }
  return undefined
}

/**
 * Asks the page for `count` workers and gives them `work`. Settles once each has started or failed.
 */
export function startPool(page: PoolPort, count: number, work: PoolWork): Promise<PoolOutcome> {
  const failures: string[] = []
  let started = 0
  let late = false
  return new Promise((resolve) => {
    const settle = (): void => {
      if (late || started + failures.length < count) return
      clearTimeout(timer)
      resolve({ started, reasons: [...new Set(failures)] })
    }
    const fail = (reason: string): void => {
      failures.push(reason)
      settle()
    }
    const timer = setTimeout(() => {
      const missing = count - started - failures.length
      for (let i = 0; i < missing; i++) fail(`it took more than ${START_MS / 1000} s`)
      late = true
    }, START_MS)
    page.onmessage = ({ data: link }) => {
      if (late) {
        if ('port' in link) end(link.port)
      } else if ('reason' in link) fail(link.reason)
      else {
        link.port.onmessage = ({ data: reply }: MessageEvent<PoolReply>) => {
          if (late) end(link.port)
          else if (reply.type === 'failed') fail(reply.reason)
          else if (reply.type === 'started') {
            started++
            settle()
          } else {
            try {
              post(link.port, work)
            } catch (error) {
              // WebKit refuses to share memory with some workers.
              end(link.port)
              fail(messageOf(error))
            }
          }
        }
      }
    }
    page.postMessage({ count })
    settle()
  })
}

function end(port: MessagePort): void {
  post(port, { type: 'end' })
  port.close()
}

function post(port: MessagePort, task: PoolTask): void {
  port.postMessage(task)
}
