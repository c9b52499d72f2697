//! The integration tests, linked once. What needs files or processes runs natively only; the rest
//! runs in the browser too.

#![forbid(unsafe_code)]

mod chat_golden;
mod checkpoints;
mod model_golden;
mod model_refusals;
mod quant_golden;

#[cfg(not(target_arch = "wasm32"))]
mod bad_models;
#[cfg(not(target_arch = "wasm32"))]
mod block_diffusion;
#[cfg(all(feature = "cli", not(target_arch = "wasm32")))]
mod cli;
#[cfg(not(target_arch = "wasm32"))]
mod common;
#[cfg(not(target_arch = "wasm32"))]
mod convert;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod convert_memory;
#[cfg(not(target_arch = "wasm32"))]
mod detokenizer;
#[cfg(all(feature = "cli", not(target_arch = "wasm32")))]
mod eval;
#[cfg(all(feature = "cli", not(target_arch = "wasm32")))]
mod fetch;
#[cfg(not(target_arch = "wasm32"))]
mod generate;
#[cfg(not(target_arch = "wasm32"))]
mod gguf_stream;
#[cfg(not(target_arch = "wasm32"))]
mod inspect;
#[cfg(not(target_arch = "wasm32"))]
mod odd_files;
#[cfg(not(target_arch = "wasm32"))]
mod outcome;
#[cfg(all(feature = "serve", target_os = "linux"))]
mod serve;
#[cfg(all(feature = "cli", not(target_arch = "wasm32")))]
mod sessions;
#[cfg(all(feature = "cli", not(target_arch = "wasm32")))]
mod smollm2;
#[cfg(not(target_arch = "wasm32"))]
mod tiny;
#[cfg(not(target_arch = "wasm32"))]
mod tokenizer;

/// The `test` attribute of the platform.
mod testing {
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) use std::prelude::v1::test;
    #[cfg(target_arch = "wasm32")]
    pub(crate) use wasm_bindgen_test::wasm_bindgen_test as test;
}
