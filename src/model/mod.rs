//! Transformers: shape from metadata, weights from tensors, one forward pass over rows.

#![forbid(unsafe_code)]

mod architecture;
mod cache;
mod config;
mod load;
mod pass;
mod transformer;
mod weights;
mod worker_tuner;

pub use crate::ops::Argmax;
pub use architecture::Architecture;
pub use cache::KvCache;
pub use config::Config;
pub use load::{LoadOptions, LoadedModel, Loader};
pub use pass::{Attention, LanguageModel, Pass};
pub use transformer::Transformer;
pub use weights::check_headers;
