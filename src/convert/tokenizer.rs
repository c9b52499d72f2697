//! A Hugging Face tokenizer as GGUF metadata.
//!
//! `tokenizer.json` describes a pipeline of parts; GGUF has a fixed set of tokenizers with names. So the parts are compared
//! with those that each name stands for ([`structure`]), and a pipeline that equals none is refused rather than approximated.
//! Three things are let through although GGUF cannot say them, because everybody who runs such files does so: NFC
//! normalisation (Qwen2's), which only shows on decomposed text; a sentencepiece prefix space at the start of the text only;
//! and chat templates other than the default one, which are left out.

#![forbid(unsafe_code)]

mod scores;
mod structure;

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::Result;
use crate::gguf::Metadata;
use structure::{Pipeline, Scheme};

/// Ids of this size are refused: no vocabulary in use has as many tokens, and every id up to the largest takes memory.
const MAX_ID: u32 = 1 << 20;

// Values of `tokenizer.ggml.token_type`.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// The texts of a checkpoint's files that concern its tokenizer.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenizerFiles<'a> {
    /// `tokenizer.json`.
    pub tokenizer: &'a str,
    /// `tokenizer_config.json`: which token is BOS and so on, the chat template.
    pub tokenizer_config: Option<&'a str>,
    /// `config.json`: how many rows the embedding has, and ids that `tokenizer_config.json` does not give.
    pub config: Option<&'a str>,
    /// `chat_template.jinja`, which goes before the template in `tokenizer_config.json`.
    pub chat_template: Option<&'a str>,
}

#[derive(Deserialize)]
struct TokenizerJson {
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    model: Value,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    single_word: bool,
}

/// The `model` of a `tokenizer.json` whose type is `BPE`.
#[derive(Deserialize)]
struct BpeJson {
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
    dropout: Option<f32>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

/// A merge in either of the forms in use.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Line(String),
    Pair(String, String),
}

impl Merge {
    fn parts(&self) -> Result<(&str, &str)> {
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

/// The `tokenizer.*` metadata that a checkpoint's files amount to.
///
/// When `config.json` and `tokenizer_config.json` disagree about the token that ends a text, both end answers: the second
/// becomes `eos_token_id` and the first `eot_token_id`. Ids without a token become unused tokens `[PAD17]`.
///
/// # Errors
/// `unsupported-architecture` for a pipeline that GGUF has no name for, naming the part; `malformed` when a file is not JSON of
/// the expected form or contradicts another; `limits` for outsized ids.
pub fn tokenizer_metadata(files: &TokenizerFiles) -> Result<Metadata> {
    let json: TokenizerJson = parse("tokenizer.json", files.tokenizer)?;
    let optional = |name, text: Option<&str>| text.map_or(Ok(Value::Null), |text| parse(name, text));
    let tokenizer_config = optional("tokenizer_config.json", files.tokenizer_config)?;
    let config = optional("config.json", files.config)?;

    let pipeline = Pipeline::recognise(&json)?;
    let vocabulary = Vocabulary::new(&json, &pipeline, &config)?;
    let roles = Roles::new(&vocabulary, &pipeline, &tokenizer_config, &config)?;

    let mut metadata = Metadata::default();
    match pipeline.scheme {
        Scheme::ByteLevel(pre) => {
            metadata.insert("tokenizer.ggml.model", "gpt2");
            metadata.insert("tokenizer.ggml.pre", pre.name());
        }
        Scheme::Sentencepiece { .. } => {
            metadata.insert("tokenizer.ggml.model", "llama");
            metadata.insert("tokenizer.ggml.pre", "default");
        }
    }
    match pipeline.scheme {
        Scheme::ByteLevel(_) => {
            let lines = pipeline.model.merges.iter().map(|merge| {
                let (left, right) = merge.parts()?;
                Ok(format!("{left} {right}"))
            });
            metadata.insert("tokenizer.ggml.merges", lines.collect::<Result<Vec<String>>>()?);
        }
        Scheme::Sentencepiece { add_space_prefix } => {
            metadata.insert("tokenizer.ggml.scores", scores::from_merges(&vocabulary, &pipeline.model.merges)?);
            metadata.insert("tokenizer.ggml.add_space_prefix", add_space_prefix);
        }
    }
    metadata.insert("tokenizer.ggml.tokens", vocabulary.tokens);
    metadata.insert("tokenizer.ggml.token_type", vocabulary.types);
    for (key, id) in [
        ("tokenizer.ggml.bos_token_id", roles.bos),
        ("tokenizer.ggml.eos_token_id", roles.eos),
        ("tokenizer.ggml.eot_token_id", roles.eot),
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

/// The tokens in the order of their ids.
struct Vocabulary {
    tokens: Vec<String>,
    types: Vec<i32>,
    ids: HashMap<String, u32>,
}

impl Vocabulary {
    fn new(json: &TokenizerJson, pipeline: &Pipeline, config: &Value) -> Result<Self> {
        let model = &pipeline.model;
        let sentencepiece = matches!(pipeline.scheme, Scheme::Sentencepiece { .. });
        let largest = model.vocab.values().copied().chain(json.added_tokens.iter().map(|token| token.id)).max();
        let Some(largest) = largest else {
            bail!(Malformed, "tokenizer.json: the vocabulary is empty");
        };
        let rows = config["vocab_size"].as_u64().unwrap_or(u64::from(largest) + 1);
        if largest >= MAX_ID {
            bail!(Limits, "tokenizer.json has a token {largest}; ids below {MAX_ID} are supported");
        }
        if rows > u64::from(MAX_ID) {
            bail!(Limits, "config.json: vocab_size is {rows}; at most {MAX_ID} is supported");
        }
        if u64::from(largest) >= rows {
            bail!(Malformed, "tokenizer.json has a token {largest}, but vocab_size in config.json is {rows}");
        }

        let mut slots: Vec<Option<(String, i32)>> = vec![None; rows as usize];
        for (token, &id) in &model.vocab {
            let kind = match token {
                token if sentencepiece && is_byte(token) => BYTE,
                token if sentencepiece && model.unk_token.as_ref() == Some(token) => UNKNOWN,
                _ => NORMAL,
            };
            if let Some((other, _)) = slots[id as usize].replace((token.clone(), kind)) {
                bail!(Malformed, "tokenizer.json: {other:?} and {token:?} have the same id, {id}");
            }
        }
        for added in &json.added_tokens {
            let AddedToken { id, content, .. } = added;
            if added.lstrip || added.rstrip || added.single_word {
                bail!(
                    UnsupportedArchitecture,
                    "tokenizer.json: the added token {content:?} is recognised with the blanks around it (lstrip, rstrip) or as a whole word only (single_word), which GGUF cannot express"
                );
            }
            let slot = &mut slots[*id as usize];
            match slot {
                Some((other, _)) if other != content => {
                    bail!(Malformed, "tokenizer.json: {other:?} and {content:?} have the same id, {id}");
                }
                Some((_, UNKNOWN)) => {}
                _ if added.special => *slot = Some((content.clone(), CONTROL)),
                _ if sentencepiece => *slot = Some((content.replace('▁', " "), USER_DEFINED)),
                _ => *slot = Some((content.clone(), USER_DEFINED)),
            }
        }
        let filled =
            slots.into_iter().enumerate().map(|(id, slot)| slot.unwrap_or_else(|| (format!("[PAD{id}]"), UNUSED)));
        let (tokens, types): (Vec<String>, Vec<i32>) = filled.unzip();
        let added = json.added_tokens.iter().map(|token| (token.content.clone(), token.id));
        let ids = model.vocab.iter().map(|(token, &id)| (token.clone(), id)).chain(added).collect();
        Ok(Self { tokens, types, ids })
    }

    fn len(&self) -> usize {
        self.tokens.len()
    }
}

fn is_byte(token: &str) -> bool {
    crate::tokenizer::byte_of_name(token).is_some()
}

/// Which tokens have a role, and whether BOS and EOS are added to texts.
struct Roles {
    bos: Option<u32>,
    eos: Option<u32>,
    eot: Option<u32>,
    unk: Option<u32>,
    pad: Option<u32>,
    mask: Option<u32>,
    add_bos: bool,
    add_eos: bool,
}

impl Roles {
    fn new(vocabulary: &Vocabulary, pipeline: &Pipeline, tokenizer_config: &Value, config: &Value) -> Result<Self> {
        let by_token = |role: &str| -> Result<Option<u32>> {
            let token = match &tokenizer_config[role] {
                Value::Object(token) => token.get("content").and_then(Value::as_str),
                token => token.as_str(),
            };
            let Some(token) = token else { return Ok(None) };
            match vocabulary.ids.get(token) {
                Some(&id) => Ok(Some(id)),
                None => bail!(Malformed, "tokenizer_config.json: {role} {token:?} is not in tokenizer.json"),
            }
        };
        // One id, or a list of them.
        let in_config = |key: &str| -> Result<Vec<u32>> {
            let ids = match &config[key] {
                Value::Array(ids) => ids.as_slice(),
                Value::Null => &[],
                id => std::slice::from_ref(id),
            };
            let checked = ids.iter().map(|id| match id.as_u64() {
                Some(id) if id < vocabulary.len() as u64 => Ok(id as u32),
                _ => {
                    bail!(Malformed, "config.json: {key} {id} is no id of a vocabulary of {} tokens", vocabulary.len())
                }
            });
            checked.collect()
        };
        let or_config = |role: &str, key: &str| -> Result<Option<u32>> {
            Ok(match by_token(role)? {
                Some(id) => Some(id),
                None => in_config(key)?.first().copied(),
            })
        };
        let bos = or_config("bos_token", "bos_token_id")?;
        let eos = or_config("eos_token", "eos_token_id")?;
        let unknown_of_model = pipeline.model.unk_token.as_ref().and_then(|token| vocabulary.ids.get(token).copied());

        let added = |flag: &str, role: Option<u32>, template: &Option<String>, default: bool| -> Result<bool> {
            let add = match (tokenizer_config[flag].as_bool(), template, &pipeline.has_template) {
                (Some(add), ..) => add,
                (None, Some(token), _) if role.is_some() && vocabulary.ids.get(token) == role.as_ref() => true,
                (None, Some(token), _) => bail!(
                    UnsupportedArchitecture,
                    "tokenizer.json: post_processor adds {token:?}, which is neither BOS in front nor EOS behind; GGUF cannot express it"
                ),
                (None, None, true) => false,
                (None, None, false) => default,
            };
            Ok(add && role.is_some())
        };
        let sentencepiece = matches!(pipeline.scheme, Scheme::Sentencepiece { .. });
        Ok(Self {
            bos,
            eos,
            eot: in_config("eos_token_id")?.into_iter().find(|&id| Some(id) != eos),
            unk: by_token("unk_token")?.or(unknown_of_model),
            pad: or_config("pad_token", "pad_token_id")?,
            mask: by_token("mask_token")?,
            add_bos: added("add_bos_token", bos, &pipeline.first, sentencepiece)?,
            add_eos: added("add_eos_token", eos, &pipeline.last, false)?,
        })
    }
}

#[cfg(test)]
mod tests;
