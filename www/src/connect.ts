/** A worker for one purpose: started, given up when its purpose fails, ended when the caller's signal fires. */

import { Channel } from './channel.js'
import { toWebternError, WebternError } from './errors.js'
import { parseUrl } from './source.js'
import type { Spawned } from './spawn.js'
import type { TaskOptions } from './checkpoint-types.js'

/** Starts workers: of the script beside this one, or at `workerUrl`. */
export type Spawn = (workerUrl?: URL) => Spawned

/** Starts a worker and gives its channel to `use`. `purpose` is what is aborted, in words. */
export async function connect<T>(
  spawn: Spawn,
  purpose: string,
  { signal, workerUrl }: TaskOptions,
  use: (channel: Channel) => Promise<T>,
): Promise<T> {
  const aborted = (): WebternError => new WebternError('aborted', `${purpose} was aborted`, { cause: signal?.reason })
  if (signal?.aborted) throw aborted()
  const { port, name } = spawn(workerUrl === undefined ? undefined : parseUrl(workerUrl, baseUrl()))
  const channel = new Channel(port, name)
  const abort = (): void => channel.close(aborted())
  signal?.addEventListener('abort', abort)
  try {
    // What is sent before the worker listens is lost if its script waits for something.
    await channel.ready
    return await use(channel)
  } catch (error) {
    const reason = toWebternError(error, 'crashed')
    channel.close(reason)
    throw reason
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}

/** What relative URLs are relative to: the page, or a worker's script; on a server there is nothing. */
export function baseUrl(): string | undefined {
  if (typeof document !== 'undefined') return document.baseURI
  return typeof location === 'undefined' ? undefined : location.href
}

/** `wasmBaseUrl` in the form that is sent to the worker: absolute, and a folder. */
export function wasmBase({ wasmBaseUrl }: TaskOptions): string | undefined {
  if (wasmBaseUrl === undefined) return undefined
  const url = parseUrl(wasmBaseUrl, baseUrl())
  url.pathname = url.pathname.replace(/\/?$/, '/')
  return url.href
}
