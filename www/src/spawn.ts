/** Starts this package's worker script. */

import type { WorkerPort } from './channel.js'
import { messageOf, WebternError } from './errors.js'
import { spawnUrl } from './spawn-url.js'

/** A worker, and what to call it in messages. */
export interface Spawned {
  readonly port: WorkerPort
  readonly name: string
}

/** Starts a worker: of the script beside this one, or at `workerUrl`. */
export function spawnWorker(workerUrl?: URL): Spawned {
  if (typeof Worker === 'undefined') {
    throw new WebternError(
      'crashed',
      'there are no workers here: webtern can be imported on a server, but models load in a browser only',
    )
  }
  const own = new URL(/* @vite-ignore */ /* webpackIgnore: true */ './worker.js', import.meta.url)
  const url = workerUrl ?? own
  try {
    if (workerUrl !== undefined || url.origin !== location.origin) return { port: spawnUrl(url), name: url.href }
    // Bundlers look for exactly this expression, and put the worker's file where the URL then leads.
    const port = new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'webtern' })
    return { port, name: url.href }
  } catch (error) {
    throw new WebternError('crashed', `the worker ${url.href} was not allowed to start: ${messageOf(error)}`, {
      cause: error,
    })
  }
}
