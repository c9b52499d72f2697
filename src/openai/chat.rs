//! `/v1/chat/completions`.

#![forbid(unsafe_code)]

use super::answer::{Asked, Choice, Head, usage};
use super::error::{ApiError, ApiResult};
use super::fields::Fields;
use super::frame::Frame;
use super::reasoning::Split;
use super::{Service, logprobs, messages, sampling};
use crate::decode::TokenLogprob;
use crate::engine::Prompt;
use serde_json::{Value, json};

/// Alternatives of a token at most, as OpenAI has it.
pub(super) const MAX_TOP_LOGPROBS: u64 = 20;

/// Parameters that ask for something that webtern cannot do.
const UNSUPPORTED: [(&str, &str); 6] = [
    ("tools", ": webtern does not call tools yet"),
    ("functions", ": webtern does not call functions"),
    ("function_call", ": webtern does not call functions"),
    ("audio", ": webtern answers with text"),
    ("web_search_options", ": webtern does not search the web"),
    ("prediction", ": webtern has no use for predicted output"),
];

pub(super) fn read(fields: &mut Fields, service: &Service, seed: u64) -> ApiResult<Asked> {
    sampling::model(fields, service)?;
    let messages = messages::read(fields, "messages")?;
    let args = sampling::template_args(fields)?;
    let mut options = sampling::options(fields, service, seed)?;
    options.max_tokens = sampling::max_tokens(fields, &["max_completion_tokens", "max_tokens"])?;
    let wanted = fields.flag("logprobs")?;
    let top = fields.count("top_logprobs", (0, MAX_TOP_LOGPROBS))?;
    if top.is_some_and(|top| top > 0) && !wanted {
        return Err(ApiError::bad_param("top_logprobs", "`top_logprobs` needs `logprobs` to be true"));
    }
    options.logprobs = wanted.then_some(top.unwrap_or(0));
    let choices = sampling::choices(fields)?;
    let streaming = sampling::streaming(fields)?;
    sampling::text_format(fields, "response_format")?;
    let only_text = |value: &Value| value.as_array().is_some_and(|kinds| kinds.iter().all(|kind| kind == "text"));
    fields.take("modalities", "[\"text\"]: webtern answers with text", |value| only_text(value).then_some(()))?;
    fields.refuse(&UNSUPPORTED)?;
    fields.take("tool_choice", "\"none\" or \"auto\": there are no tools", |value| {
        matches!(value.as_str(), Some("none" | "auto")).then_some(())
    })?;
    fields.flag("parallel_tool_calls")?;
    Ok(Asked { prompts: vec![Prompt::Messages(messages, args)], choices, options, streaming })
}

/// The chunk that says who speaks.
pub(super) fn opening(head: &Head, index: usize) -> Frame {
    chunk(head, index, json!({ "role": "assistant", "content": "" }), Value::Null, Value::Null)
}

/// The chunks of new text.
pub(super) fn delta(head: &Head, index: usize, split: Split, tokens: &[TokenLogprob]) -> Vec<Frame> {
    let mut frames = Vec::new();
    if !split.reasoning.is_empty() {
        frames.push(chunk(head, index, json!({ "reasoning_content": split.reasoning }), Value::Null, Value::Null));
    }
    if !split.content.is_empty() || !tokens.is_empty() {
        let logprobs = if tokens.is_empty() { Value::Null } else { logprobs::chat(tokens) };
        frames.push(chunk(head, index, json!({ "content": split.content }), logprobs, Value::Null));
    }
    frames
}

/// The chunk that says why a choice ended.
pub(super) fn ending(head: &Head, index: usize, choice: &Choice) -> Frame {
    chunk(head, index, json!({}), Value::Null, choice.finish_reason())
}

fn chunk(head: &Head, index: usize, delta: Value, logprobs: Value, finish_reason: Value) -> Frame {
    let choice = json!({ "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason });
    head.chunk("chat.completion.chunk", vec![choice])
}

/// The whole answer.
pub(super) fn body(head: &Head, choices: &[Choice]) -> Value {
    let choice = |(index, choice): (usize, &Choice)| {
        let mut message = json!({ "role": "assistant", "content": choice.text, "refusal": null });
        if !choice.reasoning.is_empty() {
            message["reasoning_content"] = choice.reasoning.clone().into();
        }
        let logprobs = if head.logprobs { logprobs::chat(&choice.logprobs) } else { Value::Null };
        json!({ "index": index, "message": message, "logprobs": logprobs, "finish_reason": choice.finish_reason() })
    };
    let choices_json: Vec<Value> = choices.iter().enumerate().map(choice).collect();
    head.body("chat.completion", choices_json, usage(head, choices), choices)
}
