//! Which tokens end an answer: llama.cpp's rule.
//!
//! Files name one or two such tokens by key and often the wrong ones, so tokens also count by their
//! names, whatever their type: converters have typed `<|im_end|>` as user-defined and as normal. A
//! token that ends an answer by its name is a control token from then on. Two names are text in
//! some vocabularies: `</s>` where it is a normal token of Qwen's, Gemma 4's or PLaMo's, and
//! `<|end|>` in the vocabularies of gpt-oss and Solar, which separate messages with it.

#![forbid(unsafe_code)]

use std::collections::HashMap;

use super::types::{Model, SpecialIds, TokenType, Warning, id_of};
use super::words::PreTokenizer;
use crate::Result;
use crate::gguf::Metadata;

/// Tokens of these names end an answer.
pub(super) const END_NAMES: [&str; 22] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

/// A vocabulary with one of these tokens has `</s>` as text.
const PLAIN_END_OF_TEXT: [&str; 2] = ["<|tool_response>", "<|plamo:eos|>"];

/// The token that ends a turn has one of these names, if no key names it; the first that exists.
const EOT_NAMES: [&str; 11] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
];

/// The token that ends a message to a tool has one of these names, if no key names it.
const EOM_NAMES: [&str; 1] = ["<|eom_id|>"];

/// Tokens that fill up or separate files end answers too. They have a key, or else the first of
/// these names that exists.
const FILE_TOKENS: [(&str, &[&str]); 3] = [
    ("tokenizer.ggml.fim_pad_token_id", &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"]),
    ("tokenizer.ggml.fim_rep_token_id", &["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"]),
    ("tokenizer.ggml.fim_sep_token_id", &["<|file_sep|>"]),
];

/// Written by ollama's converter, in addition to the single id.
const EOS_LIST: &str = "tokenizer.ggml.eos_token_ids";

/// Completes `special` with the tokens that end turns and messages, makes control tokens of those
/// that end answers by name, and gives all that end answers, in ascending order.
pub(super) fn end_tokens(
    metadata: &Metadata,
    model: Model,
    tokens: &[String],
    types: &mut [TokenType],
    special: &mut SpecialIds,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<u32>> {
    let known = |name: &str| {
        END_NAMES.contains(&name)
            || PLAIN_END_OF_TEXT.contains(&name)
            || FILE_TOKENS.iter().any(|(_, names)| names.contains(&name))
    };
    // Of equal tokens the last counts, as in encoding.
    let named: HashMap<&str, u32> = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| known(token))
        .map(|(id, token)| (token.as_str(), id as u32))
        .collect();
    let first_of = |names: &[&str]| names.iter().find_map(|name| named.get(name).copied());
    let mut by_name: Vec<u32> = END_NAMES.iter().filter_map(|name| named.get(name).copied()).collect();

    let has = |name: &str| named.contains_key(name);
    if (has("<|call|>") || has("<|calls|>"))
        && (has("<|return|>") || has("<|flush|>"))
        && let Some(&id) = named.get("<|end|>")
    {
        by_name.retain(|&other| other != id);
        types[id as usize] = TokenType::UserDefined;
    }
    if (model == Model::Bpe(PreTokenizer::Qwen2) || PLAIN_END_OF_TEXT.into_iter().any(has))
        && let Some(&id) = named.get("</s>")
        && types[id as usize] == TokenType::Normal
    {
        by_name.retain(|&other| other != id);
    }

    let mut key = |key| id_of(metadata, key, tokens.len(), warnings);
    let eot = key("tokenizer.ggml.eot_token_id")?;
    let ends_by_name = |name: &&str| named.get(name).copied().filter(|id| by_name.contains(id));
    special.eot = eot.or_else(|| EOT_NAMES.iter().find_map(ends_by_name));
    special.eom = key("tokenizer.ggml.eom_token_id")?.or_else(|| first_of(&EOM_NAMES));
    let mut ends = Vec::new();
    for (name, names) in FILE_TOKENS {
        let by_key = key(name)?;
        by_name.extend(first_of(names).filter(|_| by_key.is_none()));
        ends.extend(by_key);
    }
    for &id in &by_name {
        types[id as usize] = TokenType::Control;
    }
    ends.extend(by_name);
    ends.extend(special.eos.into_iter().chain(special.eot).chain(special.eom));
    for id in metadata.i64s(EOS_LIST)?.unwrap_or_default() {
        match u32::try_from(id).ok().filter(|&id| (id as usize) < tokens.len()) {
            Some(id) => ends.push(id),
            None => warnings.push(Warning::outside(EOS_LIST, id, tokens.len())),
        }
    }
    ends.sort_unstable();
    ends.dedup();
    Ok(ends)
}
