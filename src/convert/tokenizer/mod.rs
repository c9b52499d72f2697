//! A checkpoint's tokenizer as GGUF metadata.
//!
//! `tokenizer.json` ([`json`]) describes a pipeline of parts; GGUF has a fixed set of tokenizers
//! with names. So the parts are compared with those that each name stands for ([`structure`]), and
//! a pipeline that equals none is refused rather than approximated. `tokenizer.model`
//! ([`sentencepiece`]) is one of those kinds by itself. Beside either, other files say which tokens
//! have a role.
//!
//! What GGUF cannot say is written down under a key of webtern's own (NFC normalization, Qwen2's,
//! which only shows on decomposed text), or reported (added tokens that take the blanks around
//! them), or let through because everybody who runs such files does so: a sentencepiece space that
//! is put in front of some texts only, and chat templates other than the default one.

#![forbid(unsafe_code)]

mod json;
mod protobuf;
mod roles;
mod schema;
mod scores;
mod sentencepiece;
mod structure;
mod vocabulary;

use serde::Deserialize;
use serde_json::Value;

use crate::Result;
use crate::findings::Finding;
use crate::gguf::Metadata;
use roles::Roles;
use vocabulary::Vocabulary;

// Values of `tokenizer.ggml.token_type`.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// The contents of a checkpoint's files that concern its tokenizer.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenizerFiles<'a> {
    /// `tokenizer.json`.
    pub tokenizer: Option<&'a str>,
    /// `tokenizer.model`, which counts where there is no `tokenizer.json`.
    pub model: Option<&'a [u8]>,
    /// `added_tokens.json`, which adds to `tokenizer.model`.
    pub added_tokens: Option<&'a str>,
    /// `tokenizer_config.json`: which token is BOS and so on, the chat template.
    pub tokenizer_config: Option<&'a str>,
    /// `config.json`: how many rows the embedding has, and ids that `tokenizer_config.json` does
    /// not give.
    pub config: Option<&'a str>,
    /// `chat_template.jinja`, which goes before the template in `tokenizer_config.json`.
    pub chat_template: Option<&'a str>,
}

/// What the two kinds of files say.
struct Parts {
    /// Which file it was, for messages.
    file: &'static str,
    vocabulary: Vocabulary,
    /// All that does not depend on roles, except for the tokens.
    metadata: Metadata,
    sentencepiece: bool,
    template: Template,
    /// Ids that count when nothing else says which they are.
    unknown: Option<u32>,
    bos: Option<u32>,
    eos: Option<u32>,
    pad: Option<u32>,
}

/// Which tokens go around a text.
#[derive(Debug, Default)]
struct Template {
    /// Whether the file says so at all.
    given: bool,
    /// The token that it puts in front.
    first: Option<String>,
    /// The token that it puts behind.
    last: Option<String>,
}

/// The `tokenizer.*` metadata that a checkpoint's files amount to.
///
/// When `config.json` and `tokenizer_config.json` disagree about the token that ends a text, both
/// end answers: the second becomes `eos_token_id` and the first `eot_token_id`; a third becomes
/// `eom_token_id`. Ids without a token become unused tokens `[PAD17]`. `findings` gets what GGUF
/// cannot say and roles of tokens that do not exist.
///
/// # Errors
/// `io` without a tokenizer; `unsupported-architecture` for a tokenizer that GGUF has no name for,
/// naming the part; `malformed` and `truncated` when a file is not of the expected form or
/// contradicts another; `limits` for outsized ids.
pub fn tokenizer_metadata(files: &TokenizerFiles, findings: &mut Vec<Finding>) -> Result<Metadata> {
    let optional = |name, text: Option<&str>| text.map_or(Ok(Value::Null), |text| parse(name, text));
    let tokenizer_config = optional("tokenizer_config.json", files.tokenizer_config)?;
    let config = optional("config.json", files.config)?;
    let parts = match (files.tokenizer, files.model) {
        (Some(json), _) => json::read(json, &config, findings)?,
        (None, Some(model)) => sentencepiece::read(model, files.added_tokens, &tokenizer_config, &config, findings)?,
        (None, None) => bail!(Io, "the checkpoint has no tokenizer: neither tokenizer.json nor tokenizer.model"),
    };
    let roles = Roles::new(&parts, &tokenizer_config, &config, findings)?;
    let Parts { vocabulary, mut metadata, .. } = parts;
    metadata.insert("tokenizer.ggml.tokens", vocabulary.tokens);
    metadata.insert("tokenizer.ggml.token_type", vocabulary.types);
    for (key, id) in [
        ("tokenizer.ggml.bos_token_id", roles.bos),
        ("tokenizer.ggml.eos_token_id", roles.eos),
        ("tokenizer.ggml.eot_token_id", roles.eot),
        ("tokenizer.ggml.eom_token_id", roles.eom),
        ("tokenizer.ggml.unknown_token_id", roles.unk),
        ("tokenizer.ggml.padding_token_id", roles.pad),
        ("tokenizer.ggml.mask_token_id", roles.mask),
    ] {
        if let Some(id) = id {
            metadata.insert(key, id);
        }
    }
    metadata.insert("tokenizer.ggml.add_bos_token", roles.add_bos);
    metadata.insert("tokenizer.ggml.add_eos_token", roles.add_eos);
    if let Some(template) = files.chat_template.or_else(|| default_template(&tokenizer_config)) {
        metadata.insert("tokenizer.chat_template", template);
    }
    Ok(metadata)
}

fn parse<'a, T: Deserialize<'a>>(name: &str, text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| err!(Malformed, "{name}: {error}"))
}

/// A single template, or the one called `default` of several.
fn default_template(tokenizer_config: &Value) -> Option<&str> {
    match &tokenizer_config["chat_template"] {
        Value::Array(named) => named.iter().find(|entry| entry["name"] == "default")?["template"].as_str(),
        template => template.as_str(),
    }
}

#[cfg(test)]
mod tests;
