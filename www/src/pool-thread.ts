/**
 * A pool worker's side: waits for an engine, then computes for it until the page ends this worker.
 */

import { messageOf } from './errors.js'
import type { PoolConnection, PoolReply, PoolTask, PoolWork } from './pool-messages.js'
import { PROTOCOL_VERSION } from './protocol.js'
import type { Ready } from './protocol.js'
import type { Build, WasmModule } from './wasm.js'

/**
 * How often a worker asks for memory that it cannot read. Firefox loses it now and then, while ports are
 * on their way to their workers.
 */
const MAX_REQUESTS = 10

/** What a pool worker needs of its global scope. */
export interface PoolScope {
  postMessage(message: Ready): void
  close(): void
  onmessage: ((event: MessageEvent<PoolConnection>) => void) | null
}

/** Says `ready` to the page and computes for the engine whose port comes. */
export function joinPool(scope: PoolScope, builds: readonly Build<WasmModule>[]): void {
  scope.onmessage = ({ data: { port } }) => {
    const reply = (message: PoolReply): void => port.postMessage(message)
    const failed = (reason: string): void => {
      reply({ type: 'failed', reason })
      scope.close()
    }
    let requests = 0
    const ask = (): void => {
      if (requests++ < MAX_REQUESTS) reply({ type: 'waiting' })
      else failed('the memory of the engine cannot be shared with it')
    }
    port.onmessageerror = ask
    port.onmessage = ({ data: task }: MessageEvent<PoolTask>) => {
      if (task.type === 'end') scope.close()
      else work(builds, task, () => reply({ type: 'started' })).catch((error: unknown) => failed(messageOf(error)))
    }
    ask()
  }
  scope.postMessage({ type: 'ready', version: PROTOCOL_VERSION })
}

/** Calls `started`, then computes for as long as this worker lives. Rejects if it cannot start. */
async function work(
  builds: readonly Build<WasmModule>[],
  { build: name, module, memory }: PoolWork,
  started: () => void,
): Promise<void> {
  const wasm = await builds.find((build) => build.name === name)?.instantiate(module, memory)
  if (!wasm?.runWorker) throw new Error(`this script has no build ${name}`)
  started()
  try {
    wasm.runWorker()
  } catch {
    // The engine waits for this worker's task: let it fail, with the message that the memory holds.
    wasm.workerFailed?.()
  }
}
