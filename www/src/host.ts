/**
 * The worker's end of the conversation: one handler for each request, in a table that the protocol
 * types.
 */

import { Converter } from './converter-worker.js'
import { codeOf, packError, toWebternError } from './errors.js'
import { describeCrash } from './instance.js'
import { holdLock } from './liveness.js'
import { ModelHost } from './model-host.js'
import { PROTOCOL_VERSION } from './protocol.js'
import type { EventMessage, FromWorker, Protocol, Request, RequestName, ResultMessage, ToWorker } from './protocol.js'
import { SessionHost } from './session-host.js'
import type { Builds } from './wasm.js'

/** What the host needs of its worker's global scope. */
export interface HostPort {
  postMessage<N extends RequestName>(message: FromWorker<N>): void
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null
}

/** What a handler can do besides returning a result. */
interface Call<N extends RequestName> {
  readonly report: (event: Protocol[N]['event']) => void
  /** Fires when the page sends `abort`. */
  readonly signal: AbortSignal
}

/**
 * Handlers of all requests. What they throw with a code is the answer to the request; any other
 * error means that the instance can no longer be used.
 */
type Handlers = {
  readonly [N in RequestName]: (
    params: Protocol[N]['params'],
    call: Call<N>,
  ) => Protocol[N]['result'] | Promise<Protocol[N]['result']>
}

/** Answers the requests that come through `port`, with the best of `builds`. */
export function serve(port: HostPort, builds: Builds): void {
  const model = new ModelHost(builds.engine)
  const sessions = new SessionHost(model)
  const converter = new Converter(builds.converter)
  const host = new Host(port, {
    handlers: {
      load: (params, { report }) => model.load(params, report),
      generate: (params, { report, signal }) => model.generate(params, report, signal),
      newSession: (params) => sessions.begin(params),
      cloneSession: (params) => sessions.clone(params),
      destroySession: (params) => sessions.destroy(params),
      generateInSession: (params, { report, signal }) => sessions.generate(params, report, signal),
      appendToSession: (params, { signal }) => sessions.append(params, signal),
      saveSession: (params) => sessions.save(params),
      restoreSession: (params) => sessions.restore(params),
      tokenize: (params) => model.tokenize(params),
      detokenize: (params) => model.detokenize(params),
      respond: (params, { report, signal }) => model.respond(params, report, signal),
      applyChatTemplate: (params) => model.applyChatTemplate(params),
      inspectCheckpoint: (params) => converter.inspectCheckpoint(params),
      convertCheckpoint: (params, { report }) => converter.convertCheckpoint(params, report),
      inspectModel: (params, { report }) => converter.inspectModel(params, report),
      verifyModel: (params, { report }) => converter.verifyModel(params, report),
    },
    describe: (error) =>
      converter.wasm ? describeCrash(error, converter.wasm, 'checkpoint') : describeCrash(error, model.wasm, 'model'),
  })
  port.onmessage = ({ data }) => host.receive(data)
  void holdLock().then((lock) => port.postMessage({ type: 'ready', version: PROTOCOL_VERSION, lock }))
}

interface HostParts {
  readonly handlers: Handlers
  /** What an error without a code means. */
  readonly describe: (error: unknown) => ReturnType<typeof describeCrash>
}

class Host {
  readonly #port: HostPort
  readonly #parts: HostParts
  readonly #running = new Map<number, AbortController>()
  #crashed = false

  constructor(port: HostPort, parts: HostParts) {
    this.#port = port
    this.#parts = parts
  }

  receive(message: ToWorker): void {
    if (message.type === 'abort') this.#running.get(message.id)?.abort()
    else void this.#answer(message)
  }

  async #answer<N extends RequestName>({ id, name, params }: Request<N>): Promise<void> {
    const controller = new AbortController()
    this.#running.set(id, controller)
    try {
      const report = (event: Protocol[N]['event']): void => {
        const message: EventMessage<N> = { type: 'event', id, name, event }
        this.#send(message)
      }
      const result = await this.#parts.handlers[name](params, { report, signal: controller.signal })
      const message: ResultMessage<N> = { type: 'result', id, name, result }
      this.#send(message)
    } catch (error) {
      this.#fail(id, error)
    } finally {
      this.#running.delete(id)
    }
  }

  #fail(id: number, error: unknown): void {
    const code = codeOf(error)
    if (code !== undefined && code !== 'crashed') {
      return this.#send({ type: 'error', id, error: packError(toWebternError(error, 'crashed')) })
    }
    try {
      this.#send({ type: 'crash', error: packError(this.#parts.describe(error)) })
    } catch (refused) {
      // What the page is told of an error that nobody catches needs no message.
      reportError(refused)
    }
    this.#crashed = true
  }

  #send<N extends RequestName>(message: FromWorker<N>): void {
    if (!this.#crashed) this.#port.postMessage(message)
  }
}
