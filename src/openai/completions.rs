//! `/v1/completions`, the older protocol: text in, text out.

#![forbid(unsafe_code)]

use super::answer::{Asked, Choice, Head, usage};
use super::error::{ApiError, ApiResult};
use super::fields::{Fields, wrong};
use super::frame::Frame;
use super::{Service, format, logprobs, sampling};
use crate::decode::TokenLogprob;
use crate::engine::Prompt;
use serde_json::{Value, json};

/// Alternatives of a token at most, as OpenAI has it.
const MAX_LOGPROBS: u64 = 5;
/// Answers to all prompts of a request at most.
const MAX_ANSWERS: usize = 1024;

const UNSUPPORTED: [(&str, &str); 2] =
    [("suffix", ": webtern continues text, it does not fill gaps"), ("echo", ": the answer never repeats the prompt")];

pub(super) fn read(fields: &mut Fields, service: &Service, seed: u64) -> ApiResult<Asked> {
    sampling::model(fields, service)?;
    let prompts = prompts(fields)?;
    let mut options = sampling::options(fields, service, seed)?;
    options.max_tokens = sampling::max_tokens(fields, &["max_tokens"])?;
    options.logprobs = fields.count("logprobs", (0, MAX_LOGPROBS))?;
    let choices = sampling::choices(fields)?;
    if prompts.len() * choices > MAX_ANSWERS {
        let message = format!("{} prompts with `n` {choices}: at most {MAX_ANSWERS} answers in all", prompts.len());
        return Err(ApiError::bad_param("prompt", message));
    }
    let best_of = fields.count("best_of", (1, u64::MAX))?;
    if best_of.is_some_and(|best_of| best_of != choices) {
        return Err(ApiError::unsupported("best_of", ": every answer is returned, ask for `n` of them"));
    }
    options.response_format = format::read(fields, "response_format")?;
    let streaming = sampling::streaming(fields)?;
    fields.refuse(&UNSUPPORTED)?;
    Ok(Asked { prompts, choices, options, streaming, tools: None })
}

/// A string, token ids, or a list of either.
fn prompts(fields: &mut Fields) -> ApiResult<Vec<Prompt>> {
    const EXPECTED: &str = "a string, a list of token ids, or a list of strings";
    let Some(value) = fields.value("prompt") else { return Err(fields.missing("prompt")) };
    let ids = |value: &Value| -> Option<Vec<u32>> {
        value.as_array()?.iter().map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok())).collect()
    };
    let one = |value: &Value| match value {
        Value::String(text) => Some(Prompt::Text(text.clone())),
        Value::Array(items) if !items.is_empty() => ids(value).map(Prompt::Tokens),
        _ => None,
    };
    let prompts = match &value {
        Value::Array(items) if items.iter().any(|item| item.is_string() || item.is_array()) => {
            items.iter().map(one).collect()
        }
        single => one(single).map(|prompt| vec![prompt]),
    };
    prompts.ok_or_else(|| wrong("prompt", EXPECTED, &value))
}

/// The chunk of new text; `offset` characters came before.
pub(super) fn delta(head: &Head, index: usize, text: &str, tokens: &[TokenLogprob], offset: usize) -> Vec<Frame> {
    if text.is_empty() && tokens.is_empty() {
        return Vec::new();
    }
    let logprobs = if tokens.is_empty() { Value::Null } else { logprobs::completions(tokens, offset) };
    vec![chunk(head, index, text, logprobs, Value::Null)]
}

/// The chunk that says why a choice ended.
pub(super) fn ending(head: &Head, index: usize, choice: &Choice) -> Frame {
    chunk(head, index, "", Value::Null, choice.finish_reason())
}

fn chunk(head: &Head, index: usize, text: &str, logprobs: Value, finish_reason: Value) -> Frame {
    let choice = json!({ "index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason });
    head.chunk("text_completion", vec![choice])
}

/// The whole answer.
pub(super) fn body(head: &Head, choices: &[Choice]) -> Value {
    let choice = |(index, choice): (usize, &Choice)| {
        let logprobs = if head.logprobs { logprobs::completions(&choice.logprobs, 0) } else { Value::Null };
        json!({ "index": index, "text": choice.text, "logprobs": logprobs, "finish_reason": choice.finish_reason() })
    };
    let choices_json: Vec<Value> = choices.iter().enumerate().map(choice).collect();
    head.body("text_completion", choices_json, usage(head, choices), choices)
}
