/**
 * Knowing that a worker has ended. Browsers end workers, for want of memory for one, and say nothing
 * to the page.
 *
 * A worker holds a lock for as long as it lives and tells the page its name. The page waits for the
 * same lock: it gets it when the worker is gone, however that came.
 */

/**
 * Takes a lock for the life of this worker; its name, or `undefined` where there are no locks (on
 * pages without HTTPS).
 */
export async function holdLock(): Promise<string | undefined> {
  if (typeof navigator === 'undefined' || !('locks' in navigator)) return undefined
  const name = `webtern ${crypto.randomUUID()}`
  return new Promise((resolve) => {
    const hold = (): Promise<never> => {
      resolve(name)
      return new Promise(() => undefined)
    }
    // Refused in frames without an origin.
    navigator.locks.request(name, hold).catch(() => resolve(undefined))
  })
}

/** Calls `ended` once the holder of `lock` is gone, unless `signal` fires before. */
export function onRelease(lock: string, signal: AbortSignal, ended: () => void): void {
  navigator.locks.request(lock, { signal }, ended).catch(() => undefined)
}
