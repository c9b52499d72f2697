//! Log probabilities of tokens, as chat completions and completions write them.

#![forbid(unsafe_code)]

use crate::decode::{TokenLogprob, TopLogprob};
use serde_json::{Map, Value, json};

/// `choices[].logprobs` of chat completions.
pub(super) fn chat(tokens: &[TokenLogprob]) -> Value {
    json!({ "content": entries(tokens), "refusal": null })
}

/// A list of tokens with their alternatives.
pub(super) fn entries(tokens: &[TokenLogprob]) -> Vec<Value> {
    let token = |TokenLogprob { logprob, bytes, top, .. }: &TokenLogprob| {
        let top: Vec<Value> = top.iter().map(|TopLogprob { logprob, bytes, .. }| entry(*logprob, bytes)).collect();
        let mut entry = entry(*logprob, bytes);
        entry["top_logprobs"] = top.into();
        entry
    };
    tokens.iter().map(token).collect()
}

fn entry(logprob: f64, bytes: &[u8]) -> Value {
    json!({ "token": String::from_utf8_lossy(bytes), "logprob": logprob, "bytes": bytes })
}

/// `choices[].logprobs` of completions; the first of `tokens` begins at character `offset` of the
/// text.
pub(super) fn completions(tokens: &[TokenLogprob], mut offset: usize) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut offsets = Vec::with_capacity(tokens.len());
    for token in tokens {
        offsets.push(offset);
        offset += text(&token.bytes).chars().count();
    }
    let top = |token: &TokenLogprob| -> Map<String, Value> {
        token.top.iter().map(|top| (text(&top.bytes), top.logprob.into())).collect()
    };
    json!({
        "tokens": tokens.iter().map(|token| text(&token.bytes)).collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(|token| token.logprob).collect::<Vec<_>>(),
        "top_logprobs": tokens.iter().map(top).collect::<Vec<_>>(),
        "text_offset": offsets,
    })
}
