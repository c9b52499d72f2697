/**
 * Starts the workers of this package: where a bundler put their scripts, or where the caller says
 * they are.
 */

import type { WorkerPort } from './channel.js'
import { messageOf, WebternError } from './errors.js'
import type { PoolWorkerPort } from './pool-starter.js'
import { watchViolations, whyNotStarted } from './start-failure.js'

/** A worker whose script has been asked for. */
export interface Started<Port> {
  readonly port: Port
  /** Address of the script. */
  readonly url: string
  /** Why the worker failed, without a message, before it sent anything. */
  readonly whyNotStarted: () => Promise<string>
}

/**
 * Starts the two kinds of worker. `workerUrl` replaces the address of `worker.js`; the others lie
 * beside it.
 */
export interface Spawn {
  engine(workerUrl?: URL): Started<WorkerPort>
  pool(workerUrl?: URL): Started<PoolWorkerPort>
}

/** A worker script. Bundlers may turn module workers into classic ones. */
interface Script {
  readonly url: string
  readonly type: WorkerType
}

// Bundlers look for exactly these expressions, and put the script where the URL then leads.
const engineScript = /* @__PURE__ */ once(() => new Worker(new URL('./worker.js', import.meta.url), { type: 'module' }))
const poolScript = /* @__PURE__ */ once(
  () => new Worker(new URL('./pool-worker.js', import.meta.url), { type: 'module' }),
)

/** Starts this package's own workers. Throws a {@link WebternError} where that cannot succeed. */
export const spawn: Spawn = {
  engine: (workerUrl) => start(workerUrl ? moduleAt(workerUrl) : engineScript(), 'webtern'),
  pool: (workerUrl) => start(workerUrl ? moduleAt(new URL('pool-worker.js', workerUrl)) : poolScript(), 'webtern pool'),
}

function start(script: Script, name: string): Started<Worker> {
  const { url, type } = script
  const violations = watchViolations()
  const started = (port: Worker, stub: boolean): Started<Worker> => {
    port.addEventListener('message', violations.stop, { once: true })
    return { port, url, whyNotStarted: () => whyNotStarted({ url, stub, violations }) }
  }
  try {
    try {
      return started(new Worker(trusted(url), { type, name }), false)
    } catch (error) {
      if (!(error instanceof DOMException && error.name === 'SecurityError')) throw error
      return started(startStub(script, name), true)
    }
  } catch (error) {
    violations.stop()
    const message = `the worker ${url} was not allowed to start: ${messageOf(error)}`
    throw new WebternError('crashed', message, { cause: error })
  }
}

/** A worker's script must have the page's own origin; one that only imports another need not. */
function startStub({ url, type }: Script, name: string): Worker {
  const address = JSON.stringify(url)
  const code = type === 'module' ? `import ${address}` : `importScripts(${address})`
  const stub = URL.createObjectURL(new Blob([code], { type: 'text/javascript' }))
  const worker = new Worker(trusted(stub), { type, name })
  // The browser has read the stub once the worker speaks.
  worker.addEventListener('message', () => URL.revokeObjectURL(stub), { once: true })
  return worker
}

/** A global scope with workers, which has Trusted Types too in some browsers. */
interface WorkerScope {
  readonly Worker: unknown
  readonly trustedTypes?: TrustedTypes
}

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): ScriptUrls
}

interface ScriptUrls {
  createScriptURL(url: string): string
}

/** A page may not make two policies of one name. */
let policy: ScriptUrls | undefined

/**
 * The address of a script for `new Worker`, which takes no mere text where the page enforces Trusted
 * Types (and then lists `trusted-types webtern`). The addresses are this package's own, or the
 * caller's.
 */
function trusted(url: string): string {
  const { trustedTypes }: WorkerScope = globalThis
  try {
    policy ??= trustedTypes?.createPolicy('webtern', { createScriptURL: (address) => address })
  } catch {
    // Not listed. A default policy may let the text pass; without one, starting the worker says so.
  }
  return policy?.createScriptURL(url) ?? url
}

function moduleAt(url: URL): Script {
  return { url: url.href, type: 'module' }
}

/** Finds out, once, where a bundler put the script that `create` starts. */
function once(create: () => Worker): () => Script {
  let script: Script | undefined
  return () => (script ??= locate(create))
}

/**
 * The script that `create` starts, without starting it: its `new Worker` meets a stand-in that
 * records the arguments. No other expression names the script, since bundlers would add a second
 * copy.
 */
function locate(create: () => Worker): Script {
  if (typeof Worker === 'undefined') throw new WebternError('unsupported-platform', noWorkers())
  const original = globalThis.Worker
  let script: Script | undefined
  globalThis.Worker = new Proxy(original, {
    construct(_target, [url, options]: [string | URL, WorkerOptions | undefined]) {
      script = { url: withoutPrebundling(String(url)), type: options?.type ?? 'classic' }
      return {}
    },
  })
  try {
    create()
  } catch (error) {
    const message = `the worker script cannot be located: ${messageOf(error)}; the option workerUrl gives its address`
    throw new WebternError('crashed', message, { cause: error })
  } finally {
    globalThis.Worker = original
  }
  if (!script) throw new WebternError('crashed', 'the bundler replaced the worker: give its address as workerUrl')
  return script
}

/**
 * Vite's development server bundles packages into a folder of its own, and leaves worker scripts
 * behind.
 */
function withoutPrebundling(url: string): string {
  return url.replace(/\/node_modules\/\.vite\/deps\w*\/((pool-)?worker\.js)(\?.*)?$/, '/node_modules/webtern/dist/$1')
}

function noWorkers(): string {
  const start = 'this environment has no workers: '
  return 'ServiceWorkerGlobalScope' in globalThis
    ? `${start}load models in a page, not in a service worker; an extension can use an offscreen document`
    : `${start}webtern can be imported on a server, but models load in a browser only`
}
