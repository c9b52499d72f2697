/**
 * A worker for one purpose: started, ended if its purpose fails, or when the caller's signal fires.
 */

import { Channel } from './channel.js'
import type { TaskOptions } from './checkpoint-types.js'
import { toWebternError, WebternError } from './errors.js'
import { badOption } from './options.js'
import type { Spawn } from './spawn.js'

/** Starts a worker and passes its channel to `use`. Messages call what is aborted `purpose`. */
export async function connect<T>(
  spawn: Spawn,
  purpose: string,
  { signal, workerUrl }: TaskOptions,
  use: (channel: Channel) => Promise<T>,
): Promise<T> {
  const aborted = (): WebternError => new WebternError('aborted', `${purpose} was aborted`, { cause: signal?.reason })
  if (signal?.aborted) throw aborted()
  const channel = new Channel(spawn.engine(scriptUrl(workerUrl)))
  const abort = (): void => channel.close(aborted())
  signal?.addEventListener('abort', abort)
  try {
    // Messages sent before the worker listens are lost if its script has to wait.
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

/** Base of relative URLs: the page's, or that of a worker's script; a server has none. */
export function baseUrl(): string | undefined {
  if (typeof document !== 'undefined') return document.baseURI
  return typeof location === 'undefined' ? undefined : location.href
}

/** `workerUrl` as an absolute URL. */
export function scriptUrl(workerUrl: TaskOptions['workerUrl']): URL | undefined {
  return workerUrl === undefined ? undefined : absolute('workerUrl', workerUrl)
}

/** `wasmBaseUrl` as it is sent to the worker: absolute, and a folder. */
export function wasmBase({ wasmBaseUrl }: TaskOptions): string | undefined {
  if (wasmBaseUrl === undefined) return undefined
  const url = absolute('wasmBaseUrl', wasmBaseUrl)
  url.pathname = url.pathname.replace(/\/?$/, '/')
  return url.href
}

function absolute(option: string, value: string | URL): URL {
  try {
    return new URL(value, baseUrl())
  } catch {
    throw badOption(`${option}: ${JSON.stringify(String(value))} is not a URL`)
  }
}
