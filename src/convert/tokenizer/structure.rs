//! Recognising which of GGUF's tokenizers a `tokenizer.json` pipeline is.

#![forbid(unsafe_code)]

use serde::Deserialize as _;
use serde_json::{Value, json};

use super::Template;
use super::schema::{BpeJson, TokenizerJson};
use crate::Result;
use crate::tokenizer::{LLAMA_BPE_PATTERN, PreTokenizer, QWEN2_PATTERN, byte_level};

/// The kind of a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// GGUF's `gpt2`.
    ByteLevel(PreTokenizer),
    /// GGUF's `llama`.
    Sentencepiece { add_space_prefix: bool },
}

/// A recognized pipeline.
pub(super) struct Pipeline {
    pub(super) model: BpeJson,
    pub(super) scheme: Scheme,
    /// What the post-processor says.
    pub(super) template: Template,
}

impl Pipeline {
    pub(super) fn recognize(json: &TokenizerJson) -> Result<Self> {
        // The type was added to the format late; before that, all models with merges were BPE.
        let kind = &json.model["type"];
        if *kind != "BPE" && !(kind.is_null() && json.model["merges"].is_array()) {
            bail!(UnsupportedArchitecture, "tokenizer.json: model.type {kind} is not supported, only \"BPE\" is");
        }
        let model =
            BpeJson::deserialize(&json.model).map_err(|error| err!(Malformed, "tokenizer.json: model: {error}"))?;
        for (part, set) in [
            ("dropout", model.dropout.is_some_and(|dropout| dropout != 0.0)),
            (
                "continuing_subword_prefix",
                model.continuing_subword_prefix.as_ref().is_some_and(|prefix| !prefix.is_empty()),
            ),
            ("end_of_word_suffix", model.end_of_word_suffix.as_ref().is_some_and(|suffix| !suffix.is_empty())),
        ] {
            if set {
                return unsupported(&format!("model.{part}"), &json.model[part]);
            }
        }
        let scheme = if model.byte_fallback { sentencepiece(json, &model)? } else { byte_level_scheme(json, &model)? };
        let mut pipeline = Self { model, scheme, template: Template::default() };
        pipeline.read_post_processor(json.post_processor.as_ref().unwrap_or(&Value::Null))?;
        Ok(pipeline)
    }

    fn read_post_processor(&mut self, json: &Value) -> Result<()> {
        match json["type"].as_str() {
            None | Some("ByteLevel") => Ok(()),
            Some("Sequence") => steps(json, "processors").iter().try_for_each(|step| self.read_post_processor(step)),
            Some("TemplateProcessing") => {
                self.template.given = true;
                let items = steps(json, "single");
                let special = |item: &Value| item["SpecialToken"]["id"].as_str().map(str::to_owned);
                let Some(text) = items.iter().position(|item| item["Sequence"].is_object()) else {
                    return unsupported("post_processor", json);
                };
                let (before, after) = (&items[..text], &items[text + 1..]);
                if before.len() > 1 || after.len() > 1 {
                    return unsupported("post_processor", &json["single"]);
                }
                self.template.first = before.first().and_then(special);
                self.template.last = after.first().and_then(special);
                Ok(())
            }
            Some(_) => unsupported("post_processor", json),
        }
    }
}

fn byte_level_scheme(json: &TokenizerJson, model: &BpeJson) -> Result<Scheme> {
    let normalizer = json.normalizer.as_ref().unwrap_or(&Value::Null);
    if !normalizer.is_null() && normalizer["type"] != "NFC" {
        return unsupported("normalizer", normalizer);
    }
    let pre = pre_tokenizer(json.pre_tokenizer.as_ref().unwrap_or(&Value::Null))?;
    if model.ignore_merges != pre.ignores_merges() {
        bail!(
            UnsupportedArchitecture,
            "tokenizer.json: model.ignore_merges is {}, but in GGUF the pre-tokenizer {} implies {}",
            model.ignore_merges,
            pre.name(),
            pre.ignores_merges()
        );
    }
    if let Some(unknown) = &model.unk_token {
        let bytes = model.vocab.keys().filter(|token| token.chars().count() == 1);
        if bytes.filter_map(|token| byte_level(token.chars().next()?)).count() < 256 {
            bail!(
                UnsupportedArchitecture,
                "tokenizer.json: model.unk_token {unknown:?} stands for the bytes that the vocabulary lacks; byte-level vocabularies in GGUF have no such token"
            );
        }
    }
    Ok(Scheme::ByteLevel(pre))
}

fn pre_tokenizer(json: &Value) -> Result<PreTokenizer> {
    let single = std::slice::from_ref(json);
    let steps = if json["type"] == "Sequence" { steps(json, "pretokenizers") } else { single };
    let bytes = |step: &Value, use_regex: bool| {
        step["type"] == "ByteLevel"
            && step["add_prefix_space"] == false
            && step["use_regex"].as_bool().unwrap_or(true) == use_regex
    };
    let split = |step: &Value, pattern: &str| {
        *step == json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false })
    };
    match steps {
        [last] if bytes(last, true) => Ok(PreTokenizer::Gpt2),
        [first, last] if *first == json!({ "type": "Digits", "individual_digits": true }) && bytes(last, true) => {
            Ok(PreTokenizer::Smollm)
        }
        [first, last] if split(first, LLAMA_BPE_PATTERN) && bytes(last, false) => Ok(PreTokenizer::LlamaBpe),
        [first, last] if split(first, QWEN2_PATTERN) && bytes(last, false) => Ok(PreTokenizer::Qwen2),
        _ => unsupported("pre_tokenizer", json),
    }
}

/// Blanks become `▁`, in the normalizer or in a pre-tokenizer that does not cut the text, and one
/// may be put in front.
fn sentencepiece(json: &TokenizerJson, model: &BpeJson) -> Result<Scheme> {
    if model.ignore_merges {
        return unsupported("model.ignore_merges", &Value::Bool(true));
    }
    let normalizer = json.normalizer.as_ref().unwrap_or(&Value::Null);
    let pre_tokenizer = json.pre_tokenizer.as_ref().unwrap_or(&Value::Null);
    let replace = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
    let prepend = json!({ "type": "Prepend", "prepend": "▁" });
    let add_space_prefix = if normalizer.is_null() && pre_tokenizer["type"] == "Metaspace" {
        if pre_tokenizer["replacement"] != "▁" || pre_tokenizer["split"] != false {
            return unsupported("pre_tokenizer", pre_tokenizer);
        }
        pre_tokenizer["prepend_scheme"] != "never"
    } else if !pre_tokenizer.is_null() {
        return unsupported("pre_tokenizer", pre_tokenizer);
    } else if *normalizer == replace {
        false
    } else if steps(normalizer, "normalizers") == [prepend, replace] {
        true
    } else {
        return unsupported("normalizer", normalizer);
    };
    Ok(Scheme::Sentencepiece { add_space_prefix })
}

fn steps<'a>(json: &'a Value, key: &str) -> &'a [Value] {
    json[key].as_array().map_or(&[], Vec::as_slice)
}

fn unsupported<T>(part: &str, json: &Value) -> Result<T> {
    let mut text = json.to_string();
    if let Some((end, _)) = text.char_indices().nth(300) {
        text.truncate(end);
        text.push_str("...");
    }
    bail!(UnsupportedArchitecture, "tokenizer.json: {part} is none of those that GGUF has a name for: {text}")
}
