//! Timing the kernels in a browser.

#![forbid(unsafe_code)]

use super::{Result, json, throw};
use crate::bench::kernels;
use wasm_bindgen::prelude::*;

/// JSON: the list of [`kernels`], each the median of `runs` runs.
#[wasm_bindgen(js_name = benchKernels)]
pub fn bench_kernels(runs: usize) -> Result<String> {
    json(&kernels(runs).map_err(throw)?)
}
