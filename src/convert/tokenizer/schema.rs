//! The parts of `tokenizer.json` that GGUF has a place for, as serde types.

#![forbid(unsafe_code)]

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::Result;

#[derive(Deserialize)]
pub(super) struct TokenizerJson {
    pub(super) normalizer: Option<Value>,
    pub(super) pre_tokenizer: Option<Value>,
    pub(super) post_processor: Option<Value>,
    #[serde(default)]
    pub(super) added_tokens: Vec<AddedToken>,
    pub(super) model: Value,
}

/// A token beside the model's own.
#[derive(Debug, Default, Deserialize)]
pub(super) struct AddedToken {
    #[serde(default)]
    pub(super) id: u32,
    pub(super) content: String,
    #[serde(default)]
    pub(super) special: bool,
    #[serde(default)]
    pub(super) lstrip: bool,
    #[serde(default)]
    pub(super) rstrip: bool,
    #[serde(default)]
    pub(super) single_word: bool,
}

/// The `model` of a `tokenizer.json` whose type is `BPE`.
#[derive(Deserialize)]
pub(super) struct BpeJson {
    pub(super) vocab: HashMap<String, u32>,
    pub(super) merges: Vec<Merge>,
    pub(super) dropout: Option<f32>,
    pub(super) unk_token: Option<String>,
    pub(super) continuing_subword_prefix: Option<String>,
    pub(super) end_of_word_suffix: Option<String>,
    #[serde(default)]
    pub(super) byte_fallback: bool,
    #[serde(default)]
    pub(super) ignore_merges: bool,
}

/// A merge in either of the forms in use.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Merge {
    Line(String),
    Pair(String, String),
}

impl Merge {
    pub(super) fn parts(&self) -> Result<(&str, &str)> {
        let parts = match self {
            Self::Line(line) => line.split_once(' '),
            Self::Pair(left, right) => Some((left.as_str(), right.as_str())),
        };
        match parts {
            Some((left, right))
                if !left.is_empty() && !right.is_empty() && !left.contains(' ') && !right.contains(' ') =>
            {
                Ok((left, right))
            }
            _ => {
                let text = parts.map_or_else(String::new, |(left, right)| format!(" {left:?} {right:?}"));
                bail!(Malformed, "tokenizer.json: model.merges: an entry{text} is not two tokens without blanks")
            }
        }
    }
}
