/** The artefacts that were built. `scripts/build.mjs` writes this module from `wasm-pack.toml`. */

import type { Artefacts } from './wasm.js'

export declare const artefacts: Artefacts
