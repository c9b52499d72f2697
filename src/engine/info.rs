//! What was loaded.

#![forbid(unsafe_code)]

use crate::decode::DiffusionSettings;
use serde::Serialize;

/// What was loaded.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    /// The file's `general.name`; empty when it has none.
    pub name: String,
    /// The GGUF architecture.
    pub architecture: &'static str,
    /// Number of weights.
    pub parameters: u64,
    /// The type most weights of linear layers have.
    pub quantization: &'static str,
    /// Positions that the cache has room for.
    pub context_length: usize,
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// `None` when the model has no mask token.
    pub diffusion: Option<DiffusionSettings>,
    /// Whether the file brings its own chat template.
    pub chat_template: bool,
    /// The kernels in use.
    pub kernel: &'static str,
    /// What a user should know that is not an error.
    pub notices: Vec<String>,
}
