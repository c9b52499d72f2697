//! `tools`, `tool_choice` and `parallel_tool_calls`.

#![forbid(unsafe_code)]

use super::forced;
use super::style::{Family, Style};
use crate::chat::{Message, ToolCall};
use crate::decode::ResponseFormat;
use crate::openai::error::{ApiError, ApiResult};
use crate::openai::fields::{Fields, wrong};
use serde_json::{Value, json};

/// Tools at most, as OpenAI has it.
const MAX_TOOLS: usize = 128;
/// Bytes of a name at most, as OpenAI has it.
const MAX_NAME: usize = 64;

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tool {
    pub(super) name: String,
    /// The schema of its arguments.
    pub(super) parameters: Value,
}

/// Whether to call.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Choice {
    None,
    Auto,
    Required,
    Named(String),
}

/// The tools of a request.
#[derive(Clone, Debug)]
pub(in crate::openai) struct Tools {
    tools: Vec<Tool>,
    /// As the client sent them.
    given: Vec<Value>,
    choice: Choice,
    /// Whether an answer may have several calls.
    pub(super) parallel: bool,
    style: Style,
}

impl Tools {
    /// Takes what a request says about tools.
    ///
    /// # Errors
    ///
    /// 400 that names what is wrong.
    pub(in crate::openai) fn read(fields: &mut Fields, style: Style) -> ApiResult<Self> {
        let given = match fields.value("tools") {
            None => Vec::new(),
            Some(Value::Array(items)) if items.len() <= MAX_TOOLS => items,
            Some(other) => return Err(wrong("tools", &format!("a list of at most {MAX_TOOLS} tools"), &other)),
        };
        let tools = given
            .iter()
            .enumerate()
            .map(|(index, tool)| tool_at(&format!("tools[{index}]"), tool.clone()))
            .collect::<ApiResult<Vec<_>>>()?;
        if let Some(twice) = (1..tools.len()).find(|&at| tools[..at].iter().any(|tool| tool.name == tools[at].name)) {
            let name = &tools[twice].name;
            return Err(ApiError::bad_param(
                format!("tools[{twice}]"),
                format!("there are two tools of the name `{name}`"),
            ));
        }
        let choice = choice(fields, &tools)?;
        let parallel = fields.value("parallel_tool_calls").map_or(Ok(true), |value| {
            value.as_bool().ok_or_else(|| wrong("parallel_tool_calls", "true or false", &value))
        })?;
        Ok(Self { tools, given, choice, parallel, style })
    }

    /// Whether the answer may have calls.
    pub(in crate::openai) fn may_call(&self) -> bool {
        !self.tools.is_empty() && self.choice != Choice::None
    }

    /// The conversation as the template takes it, and the tools that it is to be given.
    pub(in crate::openai) fn conversation(&self, messages: Vec<Message>) -> (Vec<Message>, Option<Value>) {
        let given = if self.choice == Choice::None { &[][..] } else { &self.given };
        let (messages, rendered) = self.style.conversation(messages, given);
        (messages, rendered.then(|| given.to_vec().into()))
    }

    /// The grammar of an answer that has to be a call.
    pub(in crate::openai) fn forced(&self) -> Option<ResponseFormat> {
        let named = match &self.choice {
            Choice::None | Choice::Auto => return None,
            Choice::Required => None,
            Choice::Named(name) => Some(name),
        };
        let tools: Vec<&Tool> = self.tools.iter().filter(|tool| named.is_none_or(|name| tool.name == *name)).collect();
        Some(forced::format(self.family(), &tools, self.parallel && named.is_none()))
    }

    pub(super) fn family(&self) -> Family {
        self.style.family
    }

    pub(super) fn get(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }
}

fn tool_at(place: &str, value: Value) -> ApiResult<Tool> {
    let mut fields = Fields::nested(place, value)?;
    match fields.string("type")?.as_deref() {
        Some("function") => {}
        Some(other) => {
            let message = format!("`{place}` is of type `{other}`; webtern calls tools of type `function` only");
            return Err(ApiError { code: Some("unsupported_parameter"), ..ApiError::bad_param(place, message) });
        }
        None => return Err(fields.missing("type")),
    }
    let inner = fields.path("function");
    let function = fields.value("function").ok_or_else(|| fields.missing("function"))?;
    fields.finish(&[])?;
    let mut function = Fields::nested(&inner, function)?;
    let name = function.string("name")?.ok_or_else(|| function.missing("name"))?;
    let simple = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(simple) {
        let expected = format!("1 to {MAX_NAME} letters, digits, underscores, dots and dashes");
        return Err(wrong(&function.path("name"), &expected, &name.into()));
    }
    function.string("description")?;
    function.flag("strict")?;
    let expected = "an object, the schema of the arguments";
    let parameters = function.take("parameters", expected, |value| value.is_object().then(|| value.clone()))?;
    function.finish(&[])?;
    let parameters =
        parameters.unwrap_or_else(|| json!({ "type": "object", "properties": {}, "additionalProperties": false }));
    Ok(Tool { name, parameters })
}

fn choice(fields: &mut Fields, tools: &[Tool]) -> ApiResult<Choice> {
    let expected = "\"none\", \"auto\", \"required\" or { type: \"function\", function: { name } }";
    let Some(value) = fields.value("tool_choice") else { return Ok(Choice::Auto) };
    let named = || {
        let name = value.pointer("/function/name").or_else(|| value.get("name"))?;
        (value.get("type")? == "function").then(|| name.as_str().map(str::to_owned)).flatten()
    };
    let choice = match value.as_str() {
        Some("none") => Choice::None,
        Some("auto") => Choice::Auto,
        Some("required") => Choice::Required,
        _ => Choice::Named(named().ok_or_else(|| wrong("tool_choice", expected, &value))?),
    };
    match &choice {
        Choice::Required if tools.is_empty() => {
            Err(ApiError::bad_param("tool_choice", "`tool_choice` is \"required\", but there are no `tools`"))
        }
        Choice::Named(name) if !tools.iter().any(|tool| tool.name == *name) => {
            Err(ApiError::bad_param("tool_choice", format!("`tool_choice` names `{name}`, which is not among `tools`")))
        }
        _ => Ok(choice),
    }
}

/// A call that a client sends back as part of the conversation.
///
/// # Errors
///
/// 400 that names what is wrong.
pub(in crate::openai) fn call_of(place: &str, value: Value) -> ApiResult<ToolCall> {
    let mut fields = Fields::nested(place, value)?;
    fields.take("type", "\"function\"", |kind| (kind == "function").then_some(()))?;
    let id = fields.string("id")?.ok_or_else(|| fields.missing("id"))?;
    let inner = fields.path("function");
    let function = fields.value("function").ok_or_else(|| fields.missing("function"))?;
    fields.finish(&["index", "parsed_arguments"])?;
    let mut function = Fields::nested(&inner, function)?;
    let name = function.string("name")?.ok_or_else(|| function.missing("name"))?;
    let arguments = function.string("arguments")?.unwrap_or_default();
    function.finish(&["parsed_arguments", "output"])?;
    // Templates want the object; what is none is shown as the text that it is.
    let arguments = match arguments.trim() {
        "" => json!({}),
        text => serde_json::from_str(text).unwrap_or(Value::String(arguments)),
    };
    Ok(ToolCall { id, name, arguments })
}
