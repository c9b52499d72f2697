//! `tokenizer.json`: what it holds, and what of that GGUF takes over.

#![forbid(unsafe_code)]

use serde_json::Value;

use super::schema::TokenizerJson;
use super::structure::{Pipeline, Scheme};
use super::vocabulary::Slots;
use super::{BYTE, NORMAL, Parts, UNKNOWN, parse, scores};
use crate::Result;
use crate::findings::Finding;
use crate::gguf::Metadata;
use crate::tokenizer::{NORMALIZER, byte_of_name};

/// The name of the file, for messages.
const FILE: &str = "tokenizer.json";

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
