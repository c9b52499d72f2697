/** The page's side of a session, which lives in the worker under a number. */

import type { Channel } from './channel.js'
import { toWebternError } from './errors.js'
import { checkAppend, checkSessionGenerate, checkSessionName } from './options.js'
import { EventLog } from './run.js'
import type { AppendOptions, Run, Session, SessionGenerateOptions } from './types.js'

/** What the sessions of a model share. */
export interface SessionOwner {
  readonly channel: Channel
  /** A number that no session of the model has had. */
  nextId(): number
  /** Takes note of the size of the WebAssembly memory. */
  memory(bytes: number): void
}

export class WorkerSession implements Session {
  readonly #owner: SessionOwner
  readonly #id: number
  #contextUsage: number

  /** A session that the worker has, or is about to have. */
  private constructor(owner: SessionOwner, id: number, contextUsage: number) {
    this.#owner = owner
    this.#id = id
    this.#contextUsage = contextUsage
  }

  static begin(owner: SessionOwner): WorkerSession {
    const id = owner.nextId()
    // A worker that is gone tells so in every later answer.
    owner.channel.request('newSession', { id }).catch(() => undefined)
    return new WorkerSession(owner, id, 0)
  }

  get contextUsage(): number {
    return this.#contextUsage
  }

  generate(options: SessionGenerateOptions = {}): Run {
    const params = { id: this.#id, request: checkSessionGenerate(options) }
    const log = new EventLog()
    const { signal } = options
    this.#owner.channel.request('generateInSession', params, { onEvent: (events) => log.push(...events), signal }).then(
      ({ result, memoryBytes, contextUsage }) => {
        this.#contextUsage = contextUsage
        this.#owner.memory(memoryBytes)
        log.push({ type: 'done', result })
      },
      (error: unknown) => log.fail(toWebternError(error, 'crashed')),
    )
    return log
  }

  async append(options: AppendOptions): Promise<void> {
    const params = { id: this.#id, request: checkAppend(options) }
    const { contextUsage } = await this.#owner.channel.request('appendToSession', params, { signal: options.signal })
    this.#contextUsage = contextUsage
  }

  async clone(): Promise<Session> {
    const copy = this.#owner.nextId()
    await this.#owner.channel.request('cloneSession', { id: this.#id, copy })
    return new WorkerSession(this.#owner, copy, this.#contextUsage)
  }

  save(): Promise<Blob>
  save(name: string): Promise<void>
  async save(name?: string): Promise<Blob | void> {
    if (name !== undefined) checkSessionName(name)
    return this.#owner.channel.request('saveSession', { id: this.#id, name })
  }

  async restore(from: Blob | string): Promise<void> {
    if (!(from instanceof Blob)) checkSessionName(from)
    const { contextUsage } = await this.#owner.channel.request('restoreSession', { id: this.#id, from })
    this.#contextUsage = contextUsage
  }

  async destroy(): Promise<void> {
    await this.#owner.channel.request('destroySession', { id: this.#id })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.destroy()
  }
}
