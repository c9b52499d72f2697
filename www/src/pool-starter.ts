/**
 * The page's side of a thread pool: starts workers when the engine asks, and ends them with it.
 *
 * Not the engine's worker, because a nested `new Worker` has to wait for the page in Firefox, where
 * it sometimes never returns while a download is open, and because bundlers look for it in page
 * scripts.
 */

import { messageOf } from './errors.js'
import type { PoolConnection, PoolLink, PoolRequest } from './pool-messages.js'
import { PROTOCOL_VERSION } from './protocol.js'
import type { Ready } from './protocol.js'
import type { Started } from './spawn.js'

/** What the page needs of a pool worker. */
export interface PoolWorkerPort {
  postMessage(message: PoolConnection, transfer: MessagePort[]): void
  terminate(): void
  onmessage: ((event: MessageEvent<Ready>) => void) | null
  onerror: ((event: ErrorEvent) => void) | null
}

export class PoolStarter {
  /** The engine's end, to be transferred. */
  readonly enginePort: MessagePort
  readonly #spawn: () => Started<PoolWorkerPort>
  readonly #engine: MessagePort
  readonly #workers: PoolWorkerPort[] = []

  constructor(spawn: () => Started<PoolWorkerPort>) {
    const { port1, port2 } = new MessageChannel()
    this.#spawn = spawn
    this.#engine = port1
    this.enginePort = port2
    port1.onmessage = ({ data: { count } }: MessageEvent<PoolRequest>) => {
      for (let i = 0; i < count; i++) this.#start()
    }
  }

  /** Ends all workers, and starts no more. */
  terminate(): void {
    this.#engine.onmessage = null
    this.#engine.close()
    for (const worker of this.#workers) worker.terminate()
  }

  #start(): void {
    try {
      const { port: worker, url, whyNotStarted } = this.#spawn()
      this.#workers.push(worker)
      worker.onmessage = ({ data: { version } }) => {
        worker.onerror = null
        if (version === PROTOCOL_VERSION) this.#connect(worker)
        else this.#link({ reason: `${url} is of another release` })
      }
      worker.onerror = (event) => {
        event.preventDefault()
        worker.terminate()
        if (event.message) this.#link({ reason: event.message })
        else void whyNotStarted().then((reason) => this.#link({ reason: `${url}: ${reason}` }))
      }
    } catch (error) {
      this.#link({ reason: messageOf(error) })
    }
  }

  #connect(worker: PoolWorkerPort): void {
    const { port1, port2 } = new MessageChannel()
    worker.postMessage({ port: port1 }, [port1])
    this.#link({ port: port2 })
  }

  #link(link: PoolLink): void {
    this.#engine.postMessage(link, 'port' in link ? [link.port] : [])
  }
}
