/**
 * The page's end of the conversation: pairs answers with requests, and makes sure that every request ends.
 *
 * However the worker goes (it never starts, it crashes, it is closed), everything that is pending rejects with the
 * reason, and so does everything asked later.
 */

import { Deferred } from './deferred.js'
import { unpackError, WebternError } from './errors.js'
import { PROTOCOL_VERSION } from './protocol.js'
import type { Abort, EventMessage, FromWorker, Protocol, Request, RequestName, ResultMessage } from './protocol.js'

/** What a channel needs of a `Worker`. */
export interface WorkerPort {
  postMessage<N extends RequestName>(message: Request<N> | Abort): void
  terminate(): void
  onmessage: ((event: MessageEvent<FromWorker>) => void) | null
  onerror: ((event: ErrorEvent) => void) | null
  onmessageerror: ((event: MessageEvent) => void) | null
}

/** What a request may bring along. */
export interface RequestOptions<N extends RequestName> {
  readonly onEvent?: (event: Protocol[N]['event']) => void
  /** Sends `abort` when it fires. The request still ends by the worker's answer. */
  readonly signal?: AbortSignal | undefined
}

interface Pending<N extends RequestName> {
  readonly resolve: (result: Protocol[N]['result']) => void
  readonly reject: (error: WebternError) => void
  readonly onEvent: ((event: Protocol[N]['event']) => void) | undefined
}

type PendingTables = { readonly [N in RequestName]: Map<number, Pending<N>> }

export class Channel {
  readonly #port: WorkerPort
  readonly #pending: PendingTables = {
    load: new Map(),
    generate: new Map(),
    tokenize: new Map(),
    detokenize: new Map(),
    applyChatTemplate: new Map(),
    inspectCheckpoint: new Map(),
    convertCheckpoint: new Map(),
    inspectModel: new Map(),
    verifyModel: new Map(),
  }
  readonly #start = new Deferred<void>()
  #started = false
  #nextId = 1
  #closed: WebternError | undefined

  /** `name` is what messages call the worker: its address. */
  constructor(port: WorkerPort, name: string) {
    this.#port = port
    port.onmessage = (event) => this.#receive(event.data)
    port.onmessageerror = () => this.close(new WebternError('crashed', 'a message from the worker could not be read'))
    port.onerror = (event) => {
      event.preventDefault()
      this.close(this.#started || event.message ? crashed(event.message) : notStarted(name))
    }
  }

  /** Settles when the worker has said that it is there. */
  get ready(): Promise<void> {
    return this.#start.promise
  }

  /** Asks the worker. Rejects with a {@link WebternError}. */
  request<N extends RequestName>(
    name: N,
    params: Protocol[N]['params'],
    { onEvent, signal }: RequestOptions<N> = {},
  ): Promise<Protocol[N]['result']> {
    const id = this.#nextId++
    const request: Request<N> = { type: 'request', id, name, params }
    const abort = (): void => {
      if (!this.#closed) this.#port.postMessage({ type: 'abort', id })
    }
    const answer = new Promise<Protocol[N]['result']>((resolve, reject) => {
      if (this.#closed) throw this.#closed
      // First the post: it throws when something cannot be cloned, and then there is nothing to wait for.
      this.#port.postMessage(request)
      this.#pending[name].set(id, { resolve, reject, onEvent })
      if (signal?.aborted) abort()
      else signal?.addEventListener('abort', abort)
    })
    return answer.finally(() => signal?.removeEventListener('abort', abort))
  }

  /** Ends the worker; whatever is pending or comes later rejects with `reason`. The first reason stays. */
  close(reason: WebternError): void {
    if (this.#closed) return
    this.#closed = reason
    this.#port.onmessage = null
    this.#port.onerror = null
    this.#port.onmessageerror = null
    this.#port.terminate()
    this.#start.reject(reason)
    for (const table of Object.values(this.#pending)) {
      for (const { reject } of table.values()) reject(reason)
      table.clear()
    }
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case 'ready':
        if (message.version !== PROTOCOL_VERSION) return this.close(otherVersion(message.version))
        this.#started = true
        return this.#start.resolve()
      case 'event':
        return this.#report(message)
      case 'result':
        return this.#resolve(message)
      case 'error':
        return this.#take(message.name, message.id)?.reject(unpackError(message.error))
      case 'crash':
        return this.close(unpackError(message.error))
      case 'helping':
      case 'failed':
        // Said to the engine by its helpers.
        return
    }
  }

  #report<N extends RequestName>(message: EventMessage<N>): void {
    this.#pending[message.name].get(message.id)?.onEvent?.(message.event)
  }

  #resolve<N extends RequestName>(message: ResultMessage<N>): void {
    this.#take(message.name, message.id)?.resolve(message.result)
  }

  #take<N extends RequestName>(name: N, id: number): Pending<N> | undefined {
    const table: Map<number, Pending<N>> = this.#pending[name]
    const pending = table.get(id)
    table.delete(id)
    return pending
  }
}

function crashed(message: string): WebternError {
  return new WebternError('crashed', `the worker failed: ${message || 'no reason given'}; load the model again`)
}

function notStarted(name: string): WebternError {
  return new WebternError(
    'network',
    `the worker script ${name} could not be started: it must be served as JavaScript and allowed by the page's ` +
      'Content-Security-Policy (worker-src); the option workerUrl gives another address',
  )
}

function otherVersion(version: number): WebternError {
  return new WebternError(
    'crashed',
    `the worker script speaks protocol version ${String(version)} and this script ${String(PROTOCOL_VERSION)}: ` +
      'serve both from the same release of webtern',
  )
}
