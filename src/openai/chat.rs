//! `/v1/chat/completions`.

#![forbid(unsafe_code)]

use super::answer::{Asked, Choice, Head, usage};
use super::error::{ApiError, ApiResult};
use super::fields::Fields;
use super::frame::Frame;
use super::reasoning::Split;
use super::tools::{Found, Tools};
use super::{Service, format, logprobs, messages, sampling};
use crate::decode::TokenLogprob;
use crate::engine::Prompt;
use serde_json::{Value, json};

/// Alternatives of a token at most, as OpenAI has it.
pub(super) const MAX_TOP_LOGPROBS: u64 = 20;

/// Parameters that ask for something that webtern cannot do.
const UNSUPPORTED: [(&str, &str); 5] = [
    ("functions", ": webtern does not call functions"),
    ("function_call", ": webtern does not call functions"),
    ("audio", ": webtern answers with text"),
    ("web_search_options", ": webtern does not search the web"),
    ("prediction", ": webtern has no use for predicted output"),
];

pub(super) fn read(fields: &mut Fields, service: &Service, seed: u64) -> ApiResult<Asked> {
    sampling::model(fields, service)?;
    let tools = Tools::read(fields, service.tools)?;
    let (messages, given) = tools.conversation(messages::read(fields, "messages")?);
    let mut args = sampling::template_args(fields)?;
    args.extend(given.map(|given| ("tools".to_owned(), given)));
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
    options.response_format = format::read(fields, "response_format")?;
    if options.response_format.is_some() && tools.may_call() {
        let message =
            "`response_format` leaves no room for calls: set `tool_choice` to \"none\", or leave one of the two out";
        return Err(ApiError::bad_param("response_format", message));
    }
    options.response_format = options.response_format.or_else(|| tools.forced());
    let only_text = |value: &Value| value.as_array().is_some_and(|kinds| kinds.iter().all(|kind| kind == "text"));
    fields.take("modalities", "[\"text\"]: webtern answers with text", |value| only_text(value).then_some(()))?;
    fields.refuse(&UNSUPPORTED)?;
    let tools = tools.may_call().then_some(tools);
    Ok(Asked { prompts: vec![Prompt::Messages(messages, args)], choices, options, streaming, tools })
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

/// The chunks of calls: first what is called, then with what.
pub(super) fn calls(head: &Head, index: usize, first: usize, calls: &[Found]) -> Vec<Frame> {
    let frames = calls.iter().enumerate().flat_map(|(offset, call)| {
        let number = first + offset;
        let mut begun = call_object(head, index, number, &call.name, "");
        begun["index"] = number.into();
        let arguments = json!({ "index": number, "function": { "arguments": call.arguments } });
        [begun, arguments]
    });
    frames.map(|call| chunk(head, index, json!({ "tool_calls": [call] }), Value::Null, Value::Null)).collect()
}

fn call_object(head: &Head, index: usize, number: usize, name: &str, arguments: &str) -> Value {
    json!({ "id": head.call_id(index, number), "type": "function", "function": { "name": name, "arguments": arguments } })
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
        if !choice.calls.is_empty() {
            let call = |(number, call): (usize, &Found)| call_object(head, index, number, &call.name, &call.arguments);
            message["tool_calls"] = choice.calls.iter().enumerate().map(call).collect();
            if choice.text.is_empty() {
                message["content"] = Value::Null;
            }
        }
        if !choice.reasoning.is_empty() {
            message["reasoning_content"] = choice.reasoning.clone().into();
        }
        let logprobs = if head.logprobs { logprobs::chat(&choice.logprobs) } else { Value::Null };
        json!({ "index": index, "message": message, "logprobs": logprobs, "finish_reason": choice.finish_reason() })
    };
    let choices_json: Vec<Value> = choices.iter().enumerate().map(choice).collect();
    head.body("chat.completion", choices_json, usage(head, choices), choices)
}
