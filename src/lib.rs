//! webtern runs ternary (BitNet 1.58-bit) and quantized language models inside a web page, on the CPU.
//!
//! Data flows one way: bytes -> [`gguf`] -> [`tensor`] (repacked as they arrive) -> [`model`] (one forward pass over rows)
//! -> [`decode`] (which rows, which tokens) -> events. Nothing below imports anything above.

#[macro_use]
pub mod error;
pub mod bench;
pub mod chat;
pub mod convert;
pub mod decode;
pub mod engine;
pub mod eval;
pub mod findings;
pub mod gguf;
pub mod inspect;
pub mod kernels;
pub mod model;
pub mod ops;
pub mod parallel;
pub mod platform;
pub mod quant;
pub mod tensor;
pub mod tokenizer;
#[cfg(target_arch = "wasm32")]
pub mod wasm_api;

pub use error::{Error, ErrorCode, Result};

/// The `test` attribute of the platform: unit tests run natively and in the browser.
#[cfg(test)]
mod testing {
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) use std::prelude::v1::test;
    #[cfg(target_arch = "wasm32")]
    pub(crate) use wasm_bindgen_test::wasm_bindgen_test as test;
}
