/** Why a worker did not start. Browsers do not say, so its script is requested once more. */

import { messageOf } from './errors.js'

/** Violations of the page's Content-Security-Policy while a worker starts. */
export interface Violations {
  readonly seen: readonly SecurityPolicyViolationEvent[]
  readonly stop: () => void
}

/** A worker that failed, without a message, before it sent anything. */
export interface StartFailure {
  readonly url: string
  /** Whether it was started by a `blob:` script that imports `url`. */
  readonly stub: boolean
  readonly violations: Violations
}

/** Notes violations until `stop` is called. */
export function watchViolations(): Violations {
  const seen: SecurityPolicyViolationEvent[] = []
  if (typeof SecurityPolicyViolationEvent === 'undefined') return { seen, stop: () => undefined }
  const note = (event: Event): void => {
    if (event instanceof SecurityPolicyViolationEvent) seen.push(event)
  }
  globalThis.addEventListener('securitypolicyviolation', note)
  return { seen, stop: () => globalThis.removeEventListener('securitypolicyviolation', note) }
}

/** What was wrong and what helps, to follow "could not be started: ". */
export async function whyNotStarted({ url, stub, violations }: StartFailure): Promise<string> {
  violations.stop()
  const blocked = violations.seen.find(({ blockedURI }) => (stub ? blockedURI.startsWith('blob') : blockedURI === url))
  if (blocked) return forbidden(blocked.effectiveDirective, stub)
  let response: Response
  try {
    response = await fetch(url)
  } catch (error) {
    const cors = stub ? ', and whether its server sends Access-Control-Allow-Origin' : ''
    return `the request for it failed (${messageOf(error)}): check the address and the connection${cors}`
  }
  const { headers } = response
  await response.body?.cancel()
  if (!response.ok) return `the server answered ${response.status}: ${placement(url)}`
  const type = headers.get('content-type') ?? 'nothing'
  if (!/javascript|ecmascript/.test(type)) return `the server sent ${type} instead of JavaScript: ${placement(url)}`
  if (!stub && globalThis.crossOriginIsolated && !/require-corp|credentialless/.test(policyOf(headers)))
    return (
      'the page is cross-origin isolated, so its worker scripts need the header ' +
      'Cross-Origin-Embedder-Policy: require-corp too'
    )
  return "the browser gave no reason: see its console; a Content-Security-Policy must allow it (worker-src 'self')"
}

function policyOf(headers: Headers): string {
  return headers.get('cross-origin-embedder-policy') ?? ''
}

function forbidden(directive: string, stub: boolean): string {
  const blocked = `the page's Content-Security-Policy forbids it (${directive}): `
  return stub
    ? `${blocked}a script of another origin starts from a blob: URL, so allow worker-src blob:, or serve it from the page's origin`
    : `${blocked}allow worker-src 'self'`
}

/** Where the script should be, for the bundler that left it behind. */
function placement(url: string): string {
  if (url.includes('/.vite/'))
    return "add optimizeDeps: { exclude: ['webtern'] } to vite.config, so that Vite serves the package as it is"
  return (
    'bundlers that ignore new URL(..., import.meta.url), such as esbuild and Rollup, need worker.js, pool-worker.js, ' +
    'wasm/ and tiny.gguf from node_modules/webtern/dist copied beside their output; or give the address as workerUrl'
  )
}
