//! Pool workers: instances of the module in Web Workers, which share the memory of the engine's.

#![forbid(unsafe_code)]

use crate::parallel::pool;
use wasm_bindgen::prelude::*;

/// Makes this worker compute for the engine. Does not return; throws if a computation traps.
#[wasm_bindgen(js_name = runWorker)]
pub fn run_worker() {
    pool().run_worker();
}

/// Reports to the engine that [`run_worker`] threw, so that it fails instead of waiting.
#[wasm_bindgen(js_name = workerFailed)]
pub fn worker_failed() {
    pool().poison();
}
