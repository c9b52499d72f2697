/** Starting a WebAssembly instance, and what its failures mean. */

import { messageOf, WebternError } from './errors.js'
import { packageUrl } from './package-url.js'
import type { Build, WasmInstance } from './wasm.js'

/** What an instance works on, and what helps when that fails. */
const WORK = {
  model: {
    memory: 'out of memory for the model: use a smaller model, or a smaller contextLength',
    again: 'load the model again',
  },
  checkpoint: {
    memory: 'out of memory for a tensor: close other pages, or use the command line, which can use more memory',
    again: 'try again',
  },
}

/** Fetches and starts a build: from `wasmBaseUrl`, or from beside this package's scripts. */
export async function instantiate<T extends WasmInstance>(
  build: Build<T>,
  wasmBaseUrl: string | undefined,
  memory?: WebAssembly.Memory,
): Promise<{ readonly wasm: T; readonly module: WebAssembly.Module }> {
  const url = wasmBaseUrl === undefined ? packageUrl(build.url()) : new URL(build.path, wasmBaseUrl).href
  const module = await compile(url)
  try {
    return { wasm: await build.instantiate(module, memory), module }
  } catch (error) {
    // Starting allocates, and the allocator traps when memory cannot grow.
    if (error instanceof RangeError || isUnreachable(error))
      throw outOfMemory('out of memory for the engine: close other pages', error)
    throw new WebternError(
      'crashed',
      `${url} does not start: ${messageOf(error)}; serve the wasm files and the scripts of one release`,
      { cause: error },
    )
  }
}

/** What a failed call into the instance means, for an error that carries no code. */
export function describeCrash(
  error: unknown,
  wasm: Pick<WasmInstance, 'lastPanic'> | undefined,
  work: keyof typeof WORK = 'model',
): WebternError {
  const panic = lastPanic(wasm)
  // A panic leaves a message before it traps. The allocator traps without one when memory cannot
  // grow.
  const trapped = isUnreachable(error) && panic === undefined
  const refused = error instanceof RangeError && /memory|allocat|array (buffer )?length/i.test(error.message)
  if (trapped || refused || (panic !== undefined && /memory allocation|out of memory|capacity overflow/i.test(panic)))
    return outOfMemory(WORK[work].memory, error)
  if (error instanceof WebternError) return error
  return new WebternError('crashed', `the engine stopped: ${panic ?? messageOf(error)}; ${WORK[work].again}`, {
    cause: error,
  })
}

function isUnreachable(error: unknown): boolean {
  return error instanceof WebAssembly.RuntimeError && error.message.includes('unreachable')
}

async function compile(url: string): Promise<WebAssembly.Module> {
  const response = await fetch(url).catch((error: unknown) => {
    throw new WebternError('network', `${url} could not be reached (${messageOf(error)}): ${whereFrom}`, {
      cause: error,
    })
  })
  if (!response.ok) throw new WebternError('network', `${url} answered ${response.status}: ${whereFrom}`)
  try {
    if (response.headers.get('content-type') === 'application/wasm') return await WebAssembly.compileStreaming(response)
    return await WebAssembly.compile(await response.arrayBuffer())
  } catch (error) {
    throw new WebternError(
      'crashed',
      `${url} could not be compiled (${messageOf(error)}): it must be this release's file, and a Content-Security-Policy ` +
        "must allow 'wasm-unsafe-eval'",
      { cause: error },
    )
  }
}

const whereFrom = 'serve the wasm files beside the scripts, or give their folder as wasmBaseUrl'

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
