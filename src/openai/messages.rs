//! Conversations as clients send them: roles, text and lists of text parts.

#![forbid(unsafe_code)]

use super::error::{ApiError, ApiResult};
use super::fields::{Fields, wrong};
use super::tools;
use crate::chat::Message;
use serde_json::Value;

const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];

/// Reads the list at `key`, which must be there.
///
/// # Errors
///
/// 400 for an empty list, an unknown role, content that is no text, and keys that nothing here
/// understands.
pub(super) fn read(fields: &mut Fields, key: &str) -> ApiResult<Vec<Message>> {
    let Some(value) = fields.value(key) else { return Err(fields.missing(key)) };
    match value {
        Value::Array(items) if !items.is_empty() => {
            items.into_iter().enumerate().map(|(index, item)| message(&format!("{key}[{index}]"), item)).collect()
        }
        other => Err(wrong(key, "a list of messages, with at least one", &other)),
    }
}

fn message(place: &str, value: Value) -> ApiResult<Message> {
    let mut fields = Fields::nested(place, value)?;
    let role = role(&mut fields)?;
    fields.refuse(&[("function_call", ": webtern does not call functions"), ("audio", ": webtern reads text")])?;
    let path = fields.path("tool_calls");
    let tool_calls = match fields.value("tool_calls") {
        None => Vec::new(),
        Some(Value::Array(calls)) if role == "assistant" => {
            let call = |(index, call)| tools::call_of(&format!("{path}[{index}]"), call);
            calls.into_iter().enumerate().map(call).collect::<ApiResult<_>>()?
        }
        Some(other) => return Err(wrong(&path, "a list of calls, in a message of the assistant", &other)),
    };
    let tool_call_id = fields.string("tool_call_id")?;
    if role == "tool" && tool_call_id.is_none() {
        return Err(fields.missing("tool_call_id"));
    }
    let path = fields.path("content");
    let content = match fields.value("content") {
        Some(value) => content(&path, value)?,
        None if !tool_calls.is_empty() => String::new(),
        None => return Err(fields.missing("content")),
    };
    // Answers come back with fields of their own when a client appends them to the conversation.
    fields.finish(&["name", "refusal", "annotations", "reasoning_content", "parsed"])?;
    Ok(Message { tool_calls, tool_call_id, ..Message::new(role, content) })
}

/// `developer` is the newer name of `system`.
pub(super) fn role(fields: &mut Fields) -> ApiResult<String> {
    let expected = format!("one of {}", ROLES.join(", "));
    let role = fields.take("role", &expected, |value| {
        value
            .as_str()
            .filter(|role| ROLES.contains(role))
            .map(|role| if role == "developer" { "system" } else { role }.to_owned())
    })?;
    role.ok_or_else(|| fields.missing("role"))
}

/// Text, or text parts joined.
pub(super) fn content(place: &str, value: Value) -> ApiResult<String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Array(parts) => {
            parts.into_iter().enumerate().map(|(index, value)| part(&format!("{place}[{index}]"), value)).collect()
        }
        other => Err(wrong(place, "a string or a list of text parts", &other)),
    }
}

/// `{ type: "text", text }`, with the names that `/v1/responses` uses.
fn part(place: &str, value: Value) -> ApiResult<String> {
    let mut fields = Fields::nested(place, value)?;
    match fields.string("type")?.as_deref() {
        Some("text" | "input_text" | "output_text") => {}
        Some(other) => {
            let message = format!("`{place}` is of type `{other}`; webtern reads parts of type `text` only");
            return Err(ApiError { code: Some("unsupported_parameter"), ..ApiError::bad_param(place, message) });
        }
        None => return Err(fields.missing("type")),
    }
    let text = fields.string("text")?.ok_or_else(|| fields.missing("text"))?;
    fields.finish(&["annotations", "logprobs", "prompt_cache_*"])?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::ToolCall;
    use crate::testing::test;

    fn messages(json: &str) -> Result<Vec<Message>, String> {
        let mut fields = Fields::read(format!("{{\"messages\": {json}}}").as_bytes()).unwrap();
        read(&mut fields, "messages").map_err(|error| error.message)
    }

    #[test]
    fn roles_and_parts() {
        let json = r#"[{"role": "developer", "content": "a"}, {"role": "user", "name": "x",
            "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]},
            {"role": "assistant", "content": "d", "refusal": null, "tool_calls": null}]"#;
        let expected = [("system", "a"), ("user", "bc"), ("assistant", "d")];
        assert_eq!(messages(json), Ok(expected.map(|(role, text)| Message::new(role, text)).to_vec()));
    }

    #[test]
    fn calls_and_their_results_come_back() {
        let json = r#"[{"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{\"a\":1}"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "2"}]"#;
        let call = ToolCall { id: "call_1".into(), name: "add".into(), arguments: serde_json::json!({ "a": 1 }) };
        let expected = [
            Message { tool_calls: vec![call], ..Message::new("assistant", "") },
            Message { tool_call_id: Some("call_1".into()), ..Message::new("tool", "2") },
        ];
        assert_eq!(messages(json), Ok(expected.to_vec()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, words) in [
            ("[]", "`messages` is a list; it must be a list of messages, with at least one"),
            ("3", "`messages` is 3"),
            ("null", "`messages` is missing"),
            ("[1]", "`messages[0]` is 1; it must be an object"),
            (r#"[{"role": "robot", "content": ""}]"#, "`messages[0].role` is \"robot\"; it must be one of system"),
            (r#"[{"role": "tool", "content": ""}]"#, "`messages[0].tool_call_id` is missing"),
            (
                r#"[{"role": "user", "content": "", "tool_calls": []}]"#,
                "`messages[0].tool_calls` is a list; it must be",
            ),
            (r#"[{"content": ""}]"#, "`messages[0].role` is missing"),
            (r#"[{"role": "user"}]"#, "`messages[0].content` is missing"),
            (r#"[{"role": "user", "content": null}]"#, "`messages[0].content` is missing"),
            (r#"[{"role": "user", "content": 3}]"#, "`messages[0].content` is 3"),
            (r#"[{"role": "user", "content": "", "color": 1}]"#, "no parameter `messages[0].color`"),
            (
                r#"[{"role": "assistant", "content": "", "tool_calls": [{}]}]"#,
                "`messages[0].tool_calls[0].id` is missing",
            ),
            (
                r#"[{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]"#,
                "`messages[0].content[0]` is of type `image_url`",
            ),
            (r#"[{"role": "user", "content": [{"type": "text"}]}]"#, "`messages[0].content[0].text` is missing"),
        ] {
            let error = messages(json).unwrap_err();
            assert!(error.contains(words), "{json}: {error}");
        }
    }
}
