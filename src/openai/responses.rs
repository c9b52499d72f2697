//! `/v1/responses`: one answer as a list of items, streamed as events with types and numbers.

#![forbid(unsafe_code)]

use super::answer::{Asked, Choice, Head, Usage};
use super::error::{ApiError, ApiResult};
use super::fields::{Fields, wrong};
use super::frame::Frame;
use super::reasoning::Split;
use super::{Moment, Service, format, messages, sampling};
use crate::chat::Message;
use crate::decode::FinishReason;
use crate::engine::Prompt;
use serde_json::{Value, json};

const UNSUPPORTED: [(&str, &str); 6] = [
    ("tools", ": webtern calls tools in /v1/chat/completions"),
    ("previous_response_id", ": webtern stores no responses; send the whole conversation as `input`"),
    ("conversation", ": webtern stores no conversations; send the whole conversation as `input`"),
    ("prompt", ": webtern stores no prompts; send it as `input`"),
    ("background", ": webtern answers while the client waits"),
    ("include", ": there is nothing to include"),
];

pub(super) fn read(fields: &mut Fields, service: &Service, moment: Moment) -> ApiResult<(Asked, Conversation)> {
    sampling::model(fields, service)?;
    let instructions = fields.string("instructions")?;
    let mut messages = input(fields)?;
    if let Some(instructions) = &instructions {
        messages.insert(0, Message::new("system", &**instructions));
    }
    let args = sampling::template_args(fields)?;
    let mut options = sampling::options(fields, service, moment.seed)?;
    options.max_tokens = sampling::max_tokens(fields, &["max_output_tokens"])?;
    let streaming = sampling::streaming(fields)?;
    if let Some(text) = fields.value("text") {
        let mut text = Fields::nested("text", text)?;
        options.response_format = format::read(&mut text, "format")?;
        text.finish(&["verbosity"])?;
    }
    fields.refuse(&UNSUPPORTED)?;
    fields.take("tool_choice", "\"none\" or \"auto\": there are no tools", |value| {
        matches!(value.as_str(), Some("none" | "auto")).then_some(())
    })?;
    fields.take("truncation", "\"disabled\": webtern does not shorten conversations", |value| {
        (value == "disabled").then_some(())
    })?;
    fields.flag("parallel_tool_calls")?;
    fields.value("reasoning");
    let conversation = Conversation {
        id: moment.id,
        created: moment.created,
        model: service.model.clone(),
        instructions,
        max_tokens: options.max_tokens,
        temperature: options.temperature,
        top_p: options.top_p,
        events: 0,
        items: Vec::new(),
    };
    let prompts = vec![Prompt::Messages(messages, args)];
    Ok((Asked { prompts, choices: 1, options, streaming, tools: None }, conversation))
}

/// `input`: text of the user, or a list of messages.
fn input(fields: &mut Fields) -> ApiResult<Vec<Message>> {
    match fields.value("input") {
        None => Err(fields.missing("input")),
        Some(Value::String(text)) => Ok(vec![Message::new("user", text)]),
        Some(Value::Array(items)) if !items.is_empty() => {
            let messages = items.into_iter().enumerate().map(|(index, item)| message(&format!("input[{index}]"), item));
            // Reasoning of earlier answers is not shown to the model again.
            Ok(messages.collect::<ApiResult<Vec<_>>>()?.into_iter().flatten().collect())
        }
        Some(other) => Err(wrong("input", "a string or a list of messages, with at least one", &other)),
    }
}

fn message(place: &str, value: Value) -> ApiResult<Option<Message>> {
    let mut fields = Fields::nested(place, value)?;
    match fields.string("type")?.as_deref() {
        None | Some("message") => {}
        Some("reasoning") => return Ok(None),
        Some(other) => {
            let message = format!("`{place}` is of type `{other}`; webtern reads items of type `message` only");
            return Err(ApiError { code: Some("unsupported_parameter"), ..ApiError::bad_param(place, message) });
        }
    }
    let role = messages::role(&mut fields)?;
    if role == "tool" {
        return Err(ApiError::unsupported(
            fields.path("role"),
            " as `tool`: webtern calls tools in /v1/chat/completions",
        ));
    }
    let content = fields.value("content").ok_or_else(|| fields.missing("content"))?;
    let content = messages::content(&fields.path("content"), content)?;
    fields.finish(&["id", "status", "phase"])?;
    Ok(Some(Message::new(role, content)))
}

/// The answer as the items and events of this protocol.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    id: u64,
    created: u64,
    model: String,
    instructions: Option<String>,
    max_tokens: Option<usize>,
    temperature: f64,
    top_p: f64,
    /// Events so far: each has its number.
    events: usize,
    /// Items that have begun; all but the last are complete.
    items: Vec<Item>,
}

/// A part of the output.
#[derive(Clone, Debug)]
struct Item {
    reasoning: bool,
    text: String,
}

impl Conversation {
    /// The events before the first token.
    pub(super) fn open(&mut self) -> Vec<Frame> {
        let response = self.response("in_progress", &[], Value::Null);
        vec![
            self.event("response.created", json!({ "response": response })),
            self.event("response.in_progress", json!({ "response": response })),
        ]
    }

    /// The events of new text.
    pub(super) fn delta(&mut self, split: &Split) -> Vec<Frame> {
        let mut frames = Vec::new();
        for (reasoning, text) in [(true, &split.reasoning), (false, &split.content)] {
            if text.is_empty() {
                continue;
            }
            if self.items.last().is_none_or(|item| item.reasoning != reasoning) {
                frames.extend(self.end_item("completed"));
                frames.extend(self.begin_item(reasoning));
            }
            if let Some(item) = self.items.last_mut() {
                item.text.push_str(text);
            }
            let (name, mut data) = match reasoning {
                true => ("response.reasoning_text.delta", json!({ "delta": text })),
                false => ("response.output_text.delta", json!({ "delta": text, "logprobs": [] })),
            };
            self.place(&mut data);
            frames.push(self.event(name, data));
        }
        frames
    }

    /// The events after the last token.
    pub(super) fn close(&mut self, head: &Head, choices: &[Choice]) -> Vec<Frame> {
        let mut frames = Vec::new();
        // An empty answer is a message, too.
        if self.items.last().is_none_or(|item| item.reasoning) {
            frames.extend(self.end_item("completed"));
            frames.extend(self.begin_item(false));
        }
        let status = status(choices);
        frames.extend(self.end_item(status));
        let response = self.body(head, choices);
        let name = if status == "completed" { "response.completed" } else { "response.incomplete" };
        frames.push(self.event(name, json!({ "response": response })));
        frames
    }

    /// The event of a response that fails.
    pub(super) fn fail(&mut self, error: &ApiError) -> Vec<Frame> {
        let mut response = self.response("failed", &[], Value::Null);
        response["error"] = json!({ "code": "server_error", "message": error.message });
        vec![self.event("response.failed", json!({ "response": response }))]
    }

    /// The whole response.
    pub(super) fn body(&self, head: &Head, choices: &[Choice]) -> Value {
        let status = status(choices);
        let mut output = Vec::new();
        for choice in choices {
            if !choice.reasoning.is_empty() {
                output.push(self.item(output.len(), true, &choice.reasoning, "completed"));
            }
            output.push(self.item(output.len(), false, &choice.text, status));
        }
        let Usage { prompt, cached, completion } = Usage::of(head, choices);
        let usage = json!({
            "input_tokens": prompt,
            "input_tokens_details": { "cached_tokens": cached },
            "output_tokens": completion,
            "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": prompt + completion,
        });
        self.response(status, &output, usage)
    }

    fn response(&self, status: &str, output: &[Value], usage: Value) -> Value {
        let cut = if status == "incomplete" { json!({ "reason": "max_output_tokens" }) } else { Value::Null };
        json!({
            "id": format!("resp_{:016x}", self.id),
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": cut,
            "instructions": self.instructions,
            "max_output_tokens": self.max_tokens,
            "metadata": {},
            "model": self.model,
            "output": output,
            "parallel_tool_calls": true,
            "previous_response_id": null,
            "reasoning": { "effort": null, "summary": null },
            "store": false,
            "temperature": self.temperature,
            "text": { "format": { "type": "text" } },
            "tool_choice": "auto",
            "tools": [],
            "top_p": self.top_p,
            "truncation": "disabled",
            "usage": usage,
        })
    }

    fn item_id(&self, index: usize, reasoning: bool) -> String {
        format!("{}_{:016x}{index}", if reasoning { "rs" } else { "msg" }, self.id)
    }

    fn item(&self, index: usize, reasoning: bool, text: &str, status: &str) -> Value {
        let id = self.item_id(index, reasoning);
        let content = json!([part(reasoning, text)]);
        match reasoning {
            true => json!({ "id": id, "type": "reasoning", "status": status, "summary": [], "content": content }),
            false => json!({ "id": id, "type": "message", "status": status, "role": "assistant", "content": content }),
        }
    }

    fn begin_item(&mut self, reasoning: bool) -> Vec<Frame> {
        let index = self.items.len();
        self.items.push(Item { reasoning, text: String::new() });
        let mut item = self.item(index, reasoning, "", "in_progress");
        item["content"] = json!([]);
        let added = self.event("response.output_item.added", json!({ "output_index": index, "item": item }));
        let mut data = json!({ "part": part(reasoning, "") });
        self.place(&mut data);
        vec![added, self.event("response.content_part.added", data)]
    }

    fn end_item(&mut self, status: &str) -> Vec<Frame> {
        let Some(Item { reasoning, text }) = self.items.last().cloned() else { return Vec::new() };
        let index = self.items.len() - 1;
        let (name, mut data) = match reasoning {
            true => ("response.reasoning_text.done", json!({ "text": text })),
            false => ("response.output_text.done", json!({ "text": text, "logprobs": [] })),
        };
        self.place(&mut data);
        let mut part = json!({ "part": part(reasoning, &text) });
        self.place(&mut part);
        let item = self.item(index, reasoning, &text, status);
        vec![
            self.event(name, data),
            self.event("response.content_part.done", part),
            self.event("response.output_item.done", json!({ "output_index": index, "item": item })),
        ]
    }

    /// Adds where the text of the last item stands.
    fn place(&self, data: &mut Value) {
        let index = self.items.len().saturating_sub(1);
        data["item_id"] = self.item_id(index, self.items.last().is_some_and(|item| item.reasoning)).into();
        data["output_index"] = index.into();
        data["content_index"] = 0.into();
    }

    fn event(&mut self, name: &'static str, mut data: Value) -> Frame {
        data["type"] = name.into();
        data["sequence_number"] = self.events.into();
        self.events += 1;
        Frame::event(name, data)
    }
}

fn part(reasoning: bool, text: &str) -> Value {
    match reasoning {
        true => json!({ "type": "reasoning_text", "text": text }),
        false => json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] }),
    }
}

/// A response that `max_output_tokens` cut is incomplete.
fn status(choices: &[Choice]) -> &'static str {
    let cut = choices.iter().any(|choice| choice.finish == Some(FinishReason::Length));
    if cut { "incomplete" } else { "completed" }
}
