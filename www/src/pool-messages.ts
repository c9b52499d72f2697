/**
 * Messages of the thread pool. Its workers run instances of the engine's module on the engine's
 * memory.
 *
 * The engine asks the page for workers, over a port of their own; the page starts them and gives
 * each end of a `MessageChannel` to the engine and to the worker. The worker then asks the engine for
 * its module and memory, so that the page never holds them.
 */

/** Engine to page: start this many workers. One {@link PoolLink} comes back for each. */
export interface PoolRequest {
  readonly count: number
}

/** Page to engine: a port to a worker whose script runs, or the reason why it does not. */
export type PoolLink = { readonly port: MessagePort } | { readonly reason: string }

/** Page to pool worker, once it is `ready`: the port to its engine. */
export interface PoolConnection {
  readonly port: MessagePort
}

/**
 * Engine to pool worker: compute for me, or end, when the engine no longer waits for this worker.
 */
export type PoolTask = PoolWork | { readonly type: 'end' }

/** What a pool worker computes with. */
export interface PoolWork {
  readonly type: 'work'
  /** Name of the build that `module` was compiled from. */
  readonly build: string
  readonly module: WebAssembly.Module
  readonly memory: WebAssembly.Memory
}

/** Pool worker to engine: it waits for work, begins to compute, or cannot, for this reason. */
export type PoolReply =
  { readonly type: 'waiting' } | { readonly type: 'started' } | { readonly type: 'failed'; readonly reason: string }
