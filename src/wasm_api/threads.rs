//! Helpers of the engine: other instances of the module, in workers of their own, on the same memory.

#![forbid(unsafe_code)]

use crate::parallel::pool;
use wasm_bindgen::prelude::*;

/// Makes this worker compute for the engine. Does not return; throws when a computation traps.
#[wasm_bindgen]
pub fn help() {
    pool().run_worker();
}

/// Tells the engine that [`help`] threw, so that it fails instead of waiting.
#[wasm_bindgen(js_name = helpFailed)]
pub fn help_failed() {
    pool().poison();
}
