/** Starts a worker whose address is known, wherever it is. */

/** A worker's script must come from the page's own origin; one that only imports another need not. */
export function spawnUrl(url: URL): Worker {
  if (url.origin === location.origin || !url.protocol.startsWith('http')) {
    return new Worker(url, { type: 'module', name: 'webtern' })
  }
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
