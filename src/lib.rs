//! webtern runs ternary (BitNet b1.58) and quantized language models on the CPU, in a web page or
//! natively, autoregressively and by block diffusion.
//!
//! # From a file to text
//!
//! [`engine::EngineLoader`] takes the bytes of a GGUF file in pieces of any size, as a download
//! delivers them, and packs each tensor when it is complete. The [`engine::Engine`] it becomes
//! generates in steps of one forward pass each. Between two steps the caller can show text, answer
//! messages, or cancel:
//!
//! ```
//! use webtern::decode::{Event, Mode, Options};
//! use webtern::engine::{EngineLoader, EngineOptions, Prompt, Request};
//!
//! let mut loader = EngineLoader::new(EngineOptions::default());
//! let file = std::fs::read("models/tiny/tiny.gguf").expect("run in the repository");
//! loader.begin_file("tiny.gguf", Some(file.len() as u64))?;
//! for piece in file.chunks(1 << 20) {
//!     loader.push(piece)?;
//! }
//! let mut engine = loader.finish()?;
//!
//! let prompt = Prompt::Text("Hello".into());
//! let options = Options { mode: Mode::Ar, max_tokens: Some(4), ..Options::default() };
//! engine.start(&Request::new(prompt, options))?;
//! let (mut events, mut text) = (Vec::new(), String::new());
//! while engine.step(&mut events)? {}
//! for event in &events {
//!     match event {
//!         Event::Text { text: more, .. } => text.push_str(more),
//!         Event::Done { result } => assert_eq!(result.text, text),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), webtern::Error>(())
//! ```
//!
//! Errors are one type, [`Error`]: a stable [`ErrorCode`] and a message that says what is wrong,
//! where, and what to do.
//!
//! # From a checkpoint to a file
//!
//! [`convert::Plan`] reads `config.json`, tokenizer and tensor headers of a Hugging Face checkpoint
//! and decides what every tensor becomes; [`convert::Plan::write`] then writes the GGUF file tensor
//! by tensor. [`convert::verify()`] compares a file with its checkpoint, [`inspect::model`] says
//! what a file holds and what is wrong with it. All read through [`files::Files`]: a folder,
//! memory, or `Blob`s of a page.
//!
//! # How data flows
//!
//! One way, and no module imports from a later stage (`tensor`, `kernels` and `ops` are private):
//!
//! | stage | modules |
//! |---|---|
//! | bytes | [`gguf`]: a push parser without I/O |
//! | weights | [`quant`]: block formats; `tensor`: matrices in the layout of their kernels |
//! | arithmetic | `kernels` per instruction set, `ops` on top, [`parallel`] for threads |
//! | forward pass | [`model`]: rows in, logits out, behind the trait [`model::LanguageModel`] |
//! | text | [`tokenizer`], [`chat`] |
//! | tokens | [`decode`]: which rows to run, which tokens to take; `constraint`: what an answer must be |
//! | facade | [`engine`]; beside it [`convert`], [`inspect`], [`findings`], [`files`] and [`fetch`] |

#[macro_use]
pub mod error;
#[cfg(feature = "bench")]
pub mod bench;
pub mod chat;
#[cfg(feature = "grammar")]
pub mod constraint;
pub mod convert;
pub mod decode;
pub mod engine;
pub mod fetch;
pub mod files;
pub mod findings;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod gguf;
pub mod inspect;
mod kernels;
pub mod model;
pub mod openai;
mod ops;
pub mod parallel;
pub mod platform;
pub mod quant;
mod tensor;
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
