/** The worker's side of sessions, which live in the engine. */

import { BlobFiles, BlobSink } from './blobs.js'
import { WebternError } from './errors.js'
import type { ModelHost } from './model-host.js'
import type { Protocol } from './protocol.js'
import { readSession, writeSession } from './session-files.js'
import { toJson } from './wasm.js'

type Params<N extends keyof Protocol> = Protocol[N]['params']
type Result<N extends keyof Protocol> = Promise<Protocol[N]['result']>

export class SessionHost {
  readonly #host: ModelHost

  constructor(host: ModelHost) {
    this.#host = host
  }

  begin({ id }: Params<'newSession'>): Result<'newSession'> {
    return this.#host.inTurn(async () => {
      this.#host.loaded().engine.newSession(id)
      return undefined
    })
  }

  clone({ id, copy }: Params<'cloneSession'>): Result<'cloneSession'> {
    return this.#host.inTurn(async () => {
      this.#host.loaded().engine.cloneSession(id, copy)
      return undefined
    })
  }

  destroy({ id }: Params<'destroySession'>): Result<'destroySession'> {
    return this.#host.inTurn(async () => {
      this.#host.loaded().engine.destroySession(id)
      return undefined
    })
  }

  generate(
    { id, request }: Params<'generateInSession'>,
    report: (events: Protocol['generateInSession']['event']) => void,
    signal: AbortSignal,
  ): Result<'generateInSession'> {
    return this.#host.inTurn(async () => {
      const { engine } = this.#host.loaded()
      engine.sessionStart(id, toJson(request), false)
      const run = {
        step: (budget: number) => engine.sessionStep(id, budget).events,
        cancel: () => engine.sessionCancel(id),
      }
      const finished = await this.#host.finish(run, report, signal)
      return { ...finished, contextUsage: engine.sessionTokens(id) }
    })
  }

  append({ id, request }: Params<'appendToSession'>, signal: AbortSignal): Result<'appendToSession'> {
    return this.#host.inTurn(async () => {
      const { engine } = this.#host.loaded()
      engine.sessionStart(id, toJson(request), true)
      for (let more = true; more;) {
        await this.#host.drainMessages()
        if (signal.aborted) {
          engine.sessionCancel(id)
          throw new WebternError('aborted', 'append was aborted: the session is as it was before')
        }
        more = engine.sessionStep(id, 0).more
      }
      return { contextUsage: engine.sessionTokens(id) }
    })
  }

  save({ id, name }: Params<'saveSession'>): Result<'saveSession'> {
    return this.#host.inTurn(async () => {
      const sink = new BlobSink()
      this.#host.loaded().engine.saveSession(id, sink)
      if (name === undefined) return sink.blob()
      await writeSession(name, sink.blob())
      return undefined
    })
  }

  restore({ id, from }: Params<'restoreSession'>): Result<'restoreSession'> {
    return this.#host.inTurn(async () => {
      const { engine } = this.#host.loaded()
      const blob = typeof from === 'string' ? await readSession(from) : from
      engine.restoreSession(id, new BlobFiles([{ name: 'session', blob }]), 'session')
      return { contextUsage: engine.sessionTokens(id) }
    })
  }
}
