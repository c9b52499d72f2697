//! Timing the kernels in a browser.

#![forbid(unsafe_code)]

use super::{Result, object, throw};
use crate::bench::kernels;
use wasm_bindgen::prelude::*;

/// Returns the list of [`kernels`], each the median of `runs` runs.
#[wasm_bindgen(js_name = benchKernels)]
pub fn bench_kernels(runs: usize) -> Result<JsValue> {
    object(&kernels(runs).map_err(throw)?)
}
