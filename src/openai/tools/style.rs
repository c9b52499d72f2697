//! How a model writes calls, and how it is told of tools.

#![forbid(unsafe_code)]

use crate::chat::{ChatTemplate, Message};
use serde_json::{Value, json};

/// A way of writing calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`: Hermes, Qwen 2.5 and 3.
    Hermes,
    /// `<tool_call><function=name><parameter=key>value</parameter></function></tool_call>`:
    /// Qwen3-Coder.
    QwenCoder,
    /// `[TOOL_CALLS]` and a list of calls, or `[TOOL_CALLS]name[ARGS]{...}`.
    Mistral,
    /// `{"name": ..., "parameters": {...}}`: Llama 3.
    Llama3,
}

/// What the chat template of a model has to do with tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    pub(super) family: Family,
    /// Whether the template renders tools.
    pub(super) rendered: bool,
}

impl Style {
    /// Of a model whose template does not know tools.
    pub(crate) const UNKNOWN: Self = Self { family: Family::Hermes, rendered: false };

    /// The style that a chat template shows.
    pub(crate) fn of(template: &ChatTemplate) -> Self {
        let has = |text: &str| template.has(text);
        if !has("tools") {
            return Self::UNKNOWN;
        }
        let family = if has("<function=") {
            Family::QwenCoder
        } else if has("<tool_call>") {
            Family::Hermes
        } else if has("[TOOL_CALLS]") {
            Family::Mistral
        } else if has("<|start_header_id|>") {
            Family::Llama3
        } else {
            Family::Hermes
        };
        Self { family, rendered: true }
    }

    /// The conversation as the template takes it, and whether it is to be given the tools.
    pub(super) fn conversation(self, messages: Vec<Message>, tools: &[Value]) -> (Vec<Message>, bool) {
        if self.rendered {
            return (messages, !tools.is_empty());
        }
        let mut messages: Vec<Message> = messages.into_iter().map(written_out).collect();
        if !tools.is_empty() {
            let text = described(tools);
            match messages.first_mut().filter(|message| message.role == "system") {
                Some(system) => system.content = format!("{}\n\n{text}", system.content),
                None => messages.insert(0, Message::new("system", text)),
            }
        }
        (messages, false)
    }
}

/// The tools for a system message, as Hermes 2 Pro and Qwen 2.5 were trained on them.
fn described(tools: &[Value]) -> String {
    let lines: String = tools.iter().map(|tool| format!("{tool}\n")).collect();
    let example = json!({ "name": "<function-name>", "arguments": {} }).to_string().replace("{}", "<args-json-object>");
    format!(
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n\
         You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n{lines}</tools>\n\n\
         For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n\
         <tool_call>\n{example}\n</tool_call>"
    )
}

/// A message whose calls and results stand in its text.
fn written_out(message: Message) -> Message {
    if message.role == "tool" {
        return Message::new("user", format!("<tool_response>\n{}\n</tool_response>", message.content));
    }
    let Message { role, mut content, tool_calls, .. } = message;
    for call in tool_calls {
        let call = json!({ "name": call.name, "arguments": call.arguments });
        let gap = if content.is_empty() { "" } else { "\n" };
        content.push_str(&format!("{gap}<tool_call>\n{call}\n</tool_call>"));
    }
    Message::new(role, content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::ToolCall;
    use crate::testing::test;

    #[test]
    fn a_template_without_tools_sees_them_in_words() {
        let call = ToolCall { id: "call_1".into(), name: "add".into(), arguments: json!({ "a": 1 }) };
        let messages = vec![
            Message::new("system", "Be brief."),
            Message { tool_calls: vec![call], ..Message::new("assistant", "") },
            Message { tool_call_id: Some("call_1".into()), ..Message::new("tool", "2") },
        ];
        let tool = json!({ "type": "function", "function": { "name": "add" } });
        let (messages, rendered) = Style::UNKNOWN.conversation(messages, &[tool]);
        assert!(!rendered && messages.iter().all(|message| message.tool_calls.is_empty()));
        assert!(messages[0].content.starts_with("Be brief.\n\n# Tools"), "{}", messages[0].content);
        assert!(
            messages[0].content.contains("<tools>\n{\"type\":\"function\",\"function\":{\"name\":\"add\"}}\n</tools>")
        );
        assert_eq!(messages[1].content, "<tool_call>\n{\"name\":\"add\",\"arguments\":{\"a\":1}}\n</tool_call>");
        assert_eq!(messages[2], Message::new("user", "<tool_response>\n2\n</tool_response>"));
    }
}
