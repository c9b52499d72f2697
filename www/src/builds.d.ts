/**
 * The WebAssembly builds of this package. `scripts/build.mjs` writes this module from
 * `wasm-pack.toml`.
 */

import type { Builds } from './wasm.js'

export declare const builds: Builds
