//! The grammar of an answer that has to call tools.

#![forbid(unsafe_code)]

use super::request::Tool;
use super::style::Family;
use crate::decode::{Format, ResponseFormat};
use serde_json::{Value, json};

/// The format of one call or more of `tools`, as the family writes it. Mistral's marker is a
/// control token that the text of an answer does not have: the list alone says it.
pub(super) fn format(family: Family, tools: &[&Tool], several: bool) -> ResponseFormat {
    let arguments = if family == Family::Llama3 { "parameters" } else { "arguments" };
    let call = |tool: &&Tool| {
        json!({
            "type": "object",
            "properties": { "name": { "const": tool.name }, (arguments): tool.parameters },
            "required": ["name", arguments],
            "additionalProperties": false,
        })
    };
    let calls: Vec<Value> = tools.iter().map(call).collect();
    let (first, between, last) = match family {
        Family::Hermes | Family::QwenCoder => ("<tool_call>\n", "\n</tool_call>\n<tool_call>\n", "\n</tool_call>"),
        Family::Mistral => ("[", ",", "]"),
        Family::Llama3 => ("", "; ", ""),
    };
    Format::Sequence {
        schema: json!({ "anyOf": calls }),
        first: first.into(),
        between: several.then(|| between.into()),
        last: last.into(),
    }
    .into()
}
