/**
 * Helpers: workers that run another instance of the engine's module, on the engine's memory. They compute what the engine
 * hands out, all their lives, and hear no messages after the first.
 */

import { messageOf } from './errors.js'
import type { Artefact, WasmModule } from './wasm.js'

/** The only message to a helper. */
export interface Help {
  readonly type: 'help'
  /** Name of the artefact that `module` was compiled from. */
  readonly artefact: string
  readonly module: WebAssembly.Module
  readonly memory: WebAssembly.Memory
}

/** What a helper says: that it begins, or why it does not. */
export type HelperMessage = { readonly type: 'helping' } | { readonly type: 'failed'; readonly reason: string }

/** What the engine's side needs of a helper's `Worker`. */
export interface HelperPort {
  postMessage(message: Help): void
  terminate(): void
  onmessage: ((event: MessageEvent<{ readonly type: string } | HelperMessage>) => void) | null
  onerror: ((event: ErrorEvent) => void) | null
}

/** The most memory that a model can have in 32 bits, in pages of 64 KiB; a device may not have so many addresses to spare. */
const MAX_PAGES = [65536, 32768, 16384, 8192]
/** More than the module's own data and stack. */
const INITIAL_PAGES = 128
/** A helper that takes longer to begin is done without. */
const START_MS = 5000

/** Memory for several instances; `undefined` when it cannot be had. */
export function sharedMemory(): WebAssembly.Memory | undefined {
  for (const maximum of MAX_PAGES) {
    try {
      return new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum, shared: true })
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
    }
  }
  return undefined
}

/** Starts helpers with `spawn`. Returns how many began, and why others did not. */
export async function startHelpers(
  spawn: () => HelperPort,
  count: number,
  help: Help,
): Promise<{ readonly started: number; readonly reasons: readonly string[] }> {
  const outcomes = await Promise.all(Array.from({ length: count }, () => startHelper(spawn, help)))
  const reasons = outcomes.filter((reason) => reason !== undefined)
  return { started: count - reasons.length, reasons: [...new Set(reasons)] }
}

/** `undefined` once the helper has begun, else the reason why it will not. */
function startHelper(spawn: () => HelperPort, help: Help): Promise<string | undefined> {
  return new Promise((resolve) => {
    let port: HelperPort
    try {
      port = spawn()
    } catch (error) {
      resolve(messageOf(error))
      return
    }
    const giveUp = (reason: string): void => {
      clearTimeout(timer)
      port.terminate()
      resolve(reason)
    }
    const timer = setTimeout(() => giveUp(`it took more than ${String(START_MS / 1000)} s`), START_MS)
    port.onerror = (event) => giveUp(event.message || 'its script could not be started')
    port.onmessage = ({ data }) => {
      if (data.type === 'helping') {
        clearTimeout(timer)
        resolve(undefined)
      } else if ('reason' in data) giveUp(data.reason)
    }
    port.postMessage(help)
  })
}

/** The helper's side: begins to help, after telling through `report` that it does. Does not return then. */
export async function beHelper(
  artefacts: readonly Artefact<WasmModule>[],
  { artefact: name, module, memory }: Help,
  report: (message: HelperMessage) => void,
): Promise<void> {
  let wasm: WasmModule | undefined
  try {
    wasm = await artefacts.find((artefact) => artefact.name === name)?.instantiate(module, memory)
    if (!wasm?.help) throw new Error(`this script does not know the artefact ${name}`)
  } catch (error) {
    report({ type: 'failed', reason: messageOf(error) })
    return
  }
  report({ type: 'helping' })
  try {
    wasm.help()
  } catch {
    // The engine waits for this helper; it fails instead, with the message that the memory holds.
    wasm.helpFailed?.()
  }
}
