/** Starts this package's worker script. */

import type { WorkerPort } from './channel.js'
import { messageOf, WebternError } from './errors.js'

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
    if (url.origin !== location.origin && url.protocol.startsWith('http'))
      return { port: spawnForeign(url), name: url.href }
    // Bundlers look for exactly this expression, and put the worker's file where the URL then leads.
    const port =
      workerUrl === undefined
        ? new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'webtern' })
        : new Worker(url, { type: 'module', name: 'webtern' })
    return { port, name: url.href }
  } catch (error) {
    throw new WebternError('crashed', `the worker ${url.href} was not allowed to start: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

/** A worker's script must come from the page's own origin; one that only imports another need not. */
function spawnForeign(url: URL): Worker {
  const stub = URL.createObjectURL(new Blob([`import ${JSON.stringify(url.href)}`], { type: 'text/javascript' }))
  const worker = new Worker(stub, { type: 'module', name: 'webtern' })
  // The stub has been read by the time the worker speaks; before that the address must stay.
  worker.addEventListener(
    'message',
    () => {
      URL.revokeObjectURL(stub)
    },
    { once: true },
  )
  return worker
}
