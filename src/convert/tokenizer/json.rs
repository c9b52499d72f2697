//! `tokenizer.json`: what it holds, and what of that GGUF takes over.

#![forbid(unsafe_code)]

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::structure::{Pipeline, Scheme};
use super::vocabulary::Slots;
use super::{BYTE, NORMAL, Parts, UNKNOWN, parse, scores};
use crate::Result;
use crate::findings::Finding;
use crate::gguf::Metadata;
use crate::tokenizer::{NORMALIZER, byte_of_name};

/// The name of the file, for messages.
const FILE: &str = "tokenizer.json";

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

/// Reads `tokenizer.json`.
pub(super) fn read(text: &str, config: &Value, findings: &mut Vec<Finding>) -> Result<Parts> {
    let json: TokenizerJson = parse(FILE, text)?;
    let pipeline = Pipeline::recognize(&json)?;
    let model = &pipeline.model;
    let sentencepiece = matches!(pipeline.scheme, Scheme::Sentencepiece { .. });
    let largest = model.vocab.values().copied().chain(json.added_tokens.iter().map(|token| token.id)).max();
    let Some(largest) = largest else {
        bail!(Malformed, "tokenizer.json: the vocabulary is empty");
    };
    let mut slots = Slots::new(FILE, largest, config)?;
    for (token, &id) in &model.vocab {
        let kind = match token {
            token if sentencepiece && byte_of_name(token).is_some() => BYTE,
            token if sentencepiece && model.unk_token.as_ref() == Some(token) => UNKNOWN,
            _ => NORMAL,
        };
        slots.set(id, token, kind)?;
    }
    for token in &json.added_tokens {
        slots.add(token, sentencepiece, findings)?;
    }
    let vocabulary = slots.finish();

    let mut metadata = Metadata::default();
    match pipeline.scheme {
        Scheme::ByteLevel(pre) => {
            metadata.insert("tokenizer.ggml.model", "gpt2");
            metadata.insert("tokenizer.ggml.pre", pre.name());
            if json.normalizer.as_ref().is_some_and(|normalizer| normalizer["type"] == "NFC") {
                metadata.insert(NORMALIZER, "nfc");
            }
            let lines = model.merges.iter().map(|merge| {
                let (left, right) = merge.parts()?;
                Ok(format!("{left} {right}"))
            });
            metadata.insert("tokenizer.ggml.merges", lines.collect::<Result<Vec<String>>>()?);
        }
        Scheme::Sentencepiece { add_space_prefix } => {
            metadata.insert("tokenizer.ggml.model", "llama");
            metadata.insert("tokenizer.ggml.pre", "default");
            metadata.insert("tokenizer.ggml.scores", scores::from_merges(&vocabulary, &model.merges)?);
            metadata.insert("tokenizer.ggml.add_space_prefix", add_space_prefix);
        }
    }
    let unknown = model.unk_token.as_ref().and_then(|token| vocabulary.ids.get(token).copied());
    Ok(Parts {
        file: FILE,
        vocabulary,
        metadata,
        sentencepiece,
        template: pipeline.template,
        unknown,
        bos: None,
        eos: None,
        pad: None,
    })
}
