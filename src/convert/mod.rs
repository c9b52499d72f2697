//! Checkpoints to GGUF.
//!
//! A checkpoint is a folder: `config.json`, a tokenizer, weights, and what else describes it
//! ([`Files`](crate::files::Files)). Conversion has two steps. [`Plan::new`] reads configuration
//! and headers, finds where every tensor lies (`checkpoint`) and what it is (`names`, `inventory`),
//! whether layers are BitLinear and what the file will be (`plan`, `metadata`); whatever can be
//! refused is refused here. [`Plan::write`] then reads, changes and writes one tensor after the
//! other (`weights`, `write`). [`verify()`] compares the result with the checkpoint.
//!
//! Three things go wrong silently elsewhere and are decided here for every matrix: whether its
//! weights are masters to be ternarized or are ternary already (`weights`), whether SubLN norms
//! belong to it (`names`), and whether its rows have to be reordered, which only architecture
//! `llama` with its adjacent rotation pairs wants (`weights::RowOrder`).

#![forbid(unsafe_code)]

mod checkpoint;
mod config;
mod diffusion;
mod family;
mod inventory;
mod json;
mod metadata;
mod names;
mod options;
mod plan;
mod report;
mod rope;
mod tokenizer;
mod verify;
mod weights;
mod write;

#[cfg(any(test, fuzzing))]
pub(crate) use checkpoint::unpickle;
pub use options::{ConvertOptions, Scales, SubLn, output_type};
pub use plan::Plan;
pub use report::{Dropped, Report, TensorReport};
pub use tokenizer::{TokenizerFiles, tokenizer_metadata};
pub use verify::{Product, TokenizerCheck, Verification, verify};
pub use weights::Origin;
