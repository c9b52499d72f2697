/**
 * The page's end of the conversation: pairs answers with requests, and makes sure that every
 * request ends.
 *
 * If the worker never starts, crashes, or is closed, all pending requests reject with the reason,
 * and so does every later one.
 */

import { Deferred } from './deferred.js'
import { messageOf, unpackError, WebternError } from './errors.js'
import { onRelease } from './liveness.js'
import { PROTOCOL_VERSION } from './protocol.js'
import type { Abort, EventMessage, FromWorker, Protocol, Request, RequestName, ResultMessage } from './protocol.js'
import type { Started } from './spawn.js'

/** What a channel needs of a `Worker`. */
export interface WorkerPort {
  postMessage<N extends RequestName>(message: Request<N> | Abort, transfer?: Transferable[]): void
  terminate(): void
  onmessage: ((event: MessageEvent<FromWorker>) => void) | null
  onerror: ((event: ErrorEvent) => void) | null
  onmessageerror: ((event: MessageEvent) => void) | null
}

/** Optional parts of a request. */
export interface RequestOptions<N extends RequestName> {
  readonly onEvent?: ((event: Protocol[N]['event']) => void) | undefined
  /** Sends `abort` when it fires. The request still ends by the worker's answer. */
  readonly signal?: AbortSignal | undefined
  /** Objects in the parameters that move to the worker. */
  readonly transfer?: Transferable[]
}

interface Pending {
  readonly onEvent: (message: EventMessage) => void
  readonly onResult: (message: ResultMessage) => void
  readonly reject: (error: WebternError) => void
}

export class Channel {
  readonly #port: WorkerPort
  readonly #pending = new Map<number, Pending>()
  readonly #start = new Deferred<void>()
  /** Fires when the channel closes. */
  readonly #end = new AbortController()
  #started = false
  #nextId = 1
  #closed: WebternError | undefined
  #onClose: () => void = () => undefined

  constructor({ port, url, whyNotStarted }: Started<WorkerPort>) {
    this.#port = port
    port.onmessage = (event) => this.#receive(event.data, url)
    port.onmessageerror = () => this.close(new WebternError('crashed', 'a message from the worker could not be read'))
    port.onerror = (event) => {
      event.preventDefault()
      if (this.#started || event.message) this.close(crashed(event.message))
      else void whyNotStarted().then((reason) => this.close(notStarted(url, reason)))
    }
  }

  /** Settles when the worker runs. */
  get ready(): Promise<void> {
    return this.#start.promise
  }

  /** Has `close` call `cleanup`, or calls it now if the channel is closed. */
  onClose(cleanup: () => void): void {
    this.#onClose = cleanup
    if (this.#closed) cleanup()
  }

  /** Sends a request. Rejects with a {@link WebternError}. */
  request<N extends RequestName>(
    name: N,
    params: Protocol[N]['params'],
    { onEvent, signal, transfer }: RequestOptions<N> = {},
  ): Promise<Protocol[N]['result']> {
    const id = this.#nextId++
    const request: Request<N> = { type: 'request', id, name, params }
    const abort = (): void => {
      if (!this.#closed) this.#port.postMessage({ type: 'abort', id })
    }
    const answer = new Promise<Protocol[N]['result']>((resolve, reject) => {
      if (this.#closed) throw this.#closed
      // Post first: it throws if something cannot be cloned, and then nothing is pending.
      try {
        this.#port.postMessage(request, transfer ?? [])
      } catch (error) {
        throw new WebternError(
          'bad-option',
          `what ${name} was given cannot be sent to the worker: ${messageOf(error)}`,
          {
            cause: error,
          },
        )
      }
      this.#pending.set(id, {
        onEvent: (message) => {
          if (isEventOf(name, message)) onEvent?.(message.event)
        },
        onResult: (message) => {
          if (isResultOf(name, message)) resolve(message.result)
          else reject(new WebternError('crashed', `the worker answered ${name} with a result of ${message.name}`))
        },
        reject,
      })
      if (signal?.aborted) abort()
      else signal?.addEventListener('abort', abort)
    })
    return answer.finally(() => signal?.removeEventListener('abort', abort))
  }

  /** Ends the worker; pending and later requests reject with `reason`. The first reason stays. */
  close(reason: WebternError): void {
    if (this.#closed) return
    this.#closed = reason
    this.#end.abort()
    this.#port.onmessage = null
    this.#port.onerror = null
    this.#port.onmessageerror = null
    this.#port.terminate()
    this.#onClose()
    this.#start.reject(reason)
    for (const { reject } of this.#pending.values()) reject(reason)
    this.#pending.clear()
  }

  #receive(message: FromWorker, url: string): void {
    switch (message.type) {
      case 'ready':
        if (message.version !== PROTOCOL_VERSION) return this.close(otherVersion(url, message.version))
        this.#started = true
        if (message.lock !== undefined) onRelease(message.lock, this.#end.signal, () => this.close(ended()))
        return this.#start.resolve()
      case 'event':
        return this.#pending.get(message.id)?.onEvent(message)
      case 'result':
        return this.#take(message.id)?.onResult(message)
      case 'error':
        return this.#take(message.id)?.reject(unpackError(message.error))
      case 'crash':
        return this.close(unpackError(message.error))
    }
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    return pending
  }
}

function isEventOf<N extends RequestName>(name: N, message: EventMessage): message is EventMessage & EventMessage<N> {
  return message.name === name
}

function isResultOf<N extends RequestName>(
  name: N,
  message: ResultMessage,
): message is ResultMessage & ResultMessage<N> {
  return message.name === name
}

function crashed(message: string): WebternError {
  return new WebternError('crashed', `the worker failed: ${message || 'no reason given'}; load the model again`)
}

function ended(): WebternError {
  return new WebternError('crashed', 'the browser ended the worker; load the model again')
}

function notStarted(url: string, reason: string): WebternError {
  return new WebternError('network', `the worker script ${url} could not be started: ${reason}`)
}

function otherVersion(url: string, version: number): WebternError {
  return new WebternError(
    'crashed',
    `the worker script ${url} has protocol version ${version} and this script ${PROTOCOL_VERSION}: ` +
      'serve both from the same release of webtern',
  )
}
