/** The model that comes with this package: the file `tiny.gguf`, beside its scripts. */

import { packageUrl } from './package-url.js'

/** Its name, given to `loadModel` in place of an address. */
export const TINY = 'tiny'

/** Its address: beside the worker's script, or in the folder that `wasmBaseUrl` names. */
export function tinyUrl(wasmBaseUrl: string | undefined): string {
  // Bundlers look for exactly this expression, and put the file where the URL then leads.
  return wasmBaseUrl === undefined
    ? packageUrl(new URL('./tiny.gguf', import.meta.url))
    : new URL('tiny.gguf', wasmBaseUrl).href
}
