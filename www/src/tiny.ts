/** The model that comes with this package: the file `tiny.gguf`, beside its scripts. */

/** What names it, where others have an address. */
export const TINY = 'tiny'

/** Its address, from the worker's point of view: beside the worker's script, or in the folder that `wasmBaseUrl` names. */
export function tinyUrl(wasmBaseUrl: string | undefined): URL {
  // Bundlers look for exactly this expression, and put the file where the URL then leads.
  return wasmBaseUrl === undefined ? new URL('./tiny.gguf', import.meta.url) : new URL('tiny.gguf', wasmBaseUrl)
}
