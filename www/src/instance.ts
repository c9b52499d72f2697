/** The start of a WebAssembly instance, and its death. */

import { messageOf, WebternError } from './errors.js'
import type { Artefact, WasmInstance } from './wasm.js'

/** What an instance works on, and what helps when it dies of it. */
const WORK = {
  model: {
    memory: 'memory for the model could not be had: use a smaller model, or a smaller contextLength',
    again: 'load the model again',
  },
  checkpoint: {
    memory: 'memory for a tensor could not be had: close other pages, or use the command line, which has more room',
    again: 'try again',
  },
}

/** Fetches and starts an artefact: from `wasmBaseUrl`, or from beside this package's scripts. */
export async function instantiate<T extends WasmInstance>(
  artefact: Artefact<T>,
  wasmBaseUrl: string | undefined,
  memory?: WebAssembly.Memory,
): Promise<{ readonly wasm: T; readonly module: WebAssembly.Module }> {
  const url = wasmBaseUrl === undefined ? artefact.url : new URL(artefact.path, wasmBaseUrl)
  const module = await compile(url)
  try {
    return { wasm: await artefact.instantiate(module, memory), module }
  } catch (error) {
    if (error instanceof RangeError)
      throw outOfMemory('memory for the engine could not be had: close other pages', error)
    throw new WebternError(
      'crashed',
      `${url.href} does not start: ${messageOf(error)}; serve the wasm files and the scripts of one release`,
      { cause: error },
    )
  }
}

/** What the failure of a call into the instance means, for an error that carries no code. */
export function describeCrash(
  error: unknown,
  wasm: Pick<WasmInstance, 'lastPanic'> | undefined,
  work: keyof typeof WORK = 'model',
): WebternError {
  const panic = lastPanic(wasm)
  // A panic leaves a message before it traps. The allocator, when it gets no memory, traps without one.
  const trapped =
    error instanceof WebAssembly.RuntimeError && panic === undefined && error.message.includes('unreachable')
  const refused = error instanceof RangeError && /memory|allocat|array (buffer )?length/i.test(error.message)
  if (trapped || refused || (panic !== undefined && /memory allocation|out of memory|capacity overflow/i.test(panic)))
    return outOfMemory(WORK[work].memory, error)
  if (error instanceof WebternError) return error
  return new WebternError('crashed', `the engine stopped: ${panic ?? messageOf(error)}; ${WORK[work].again}`, {
    cause: error,
  })
}

async function compile(url: URL): Promise<WebAssembly.Module> {
  const response = await fetch(url).catch((error: unknown) => {
    throw new WebternError('network', `${url.href} could not be reached (${messageOf(error)}): ${whereFrom}`, {
      cause: error,
    })
  })
  if (!response.ok) throw new WebternError('network', `${url.href} answered ${String(response.status)}: ${whereFrom}`)
  try {
    if (response.headers.get('content-type') === 'application/wasm') return await WebAssembly.compileStreaming(response)
    return await WebAssembly.compile(await response.arrayBuffer())
  } catch (error) {
    throw new WebternError(
      'crashed',
      `${url.href} could not be compiled (${messageOf(error)}): it must be this release's file, and a Content-Security-Policy ` +
        "must allow 'wasm-unsafe-eval'",
      { cause: error },
    )
  }
}

const whereFrom = 'the wasm files must be served beside the scripts, or the option wasmBaseUrl must say where'

function outOfMemory(message: string, cause: unknown): WebternError {
  return new WebternError('out-of-memory', message, { cause })
}

function lastPanic(wasm: Pick<WasmInstance, 'lastPanic'> | undefined): string | undefined {
  try {
    return wasm?.lastPanic()
  } catch {
    return undefined
  }
}
