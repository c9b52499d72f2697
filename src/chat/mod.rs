//! Chat templates: a conversation becomes the prompt that the model was trained on.
//!
//! The template is a program in the file, written in Jinja for Hugging Face's renderer. It runs in
//! `minijinja` with that renderer's settings and additions (`environment`) and with a budget: a
//! template can loop or double a string as long as it likes, so each step, each byte it makes and
//! all that lies in a value (`metering`) costs fuel, and the fuel grows with the messages only.

#![forbid(unsafe_code)]

mod containers;
mod environment;
mod guard;
mod json;
mod metering;
mod percent;
mod source;
mod strftime;
mod strings;

use std::collections::BTreeMap;

use minijinja::value::Serde;
use minijinja::{ErrorKind, Value};
use serde::{Deserialize, Serialize};

use crate::gguf::Metadata;
use crate::tokenizer::{TokenType, Tokenizer};
use crate::{Error, Result, platform};

pub(crate) use guard::Guard;

/// Longer templates are refused; the longest in use have a tenth of it.
const MAX_TEMPLATE_BYTES: usize = 256 << 10;
/// Fuel of a rendering without messages. One unit pays for a step, or for 64 bytes.
const BASE_FUEL: u64 = 200_000;
/// Fuel that each message adds.
const FUEL_PER_MESSAGE: u64 = 10_000;
/// Fuel that each byte of a message adds: it can be copied 256 times.
const FUEL_PER_BYTE: u64 = 4;

const KEY: &str = "tokenizer.chat_template";

const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

const BITNET: &str = "{% for message in messages %}{{ message.role | capitalize }}: {{ message.content | trim }}<|eot_id|>{% endfor %}\
    {% if add_generation_prompt %}Assistant: {% endif %}";

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// What is said.
    pub content: String,
    /// The calls of tools that it makes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The call whose result it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

/// A call of a tool in a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// What the result refers to.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments, an object.
    pub arguments: serde_json::Value,
}

impl Message {
    /// A message of `role`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), tool_calls: Vec::new(), tool_call_id: None }
    }
}

impl std::fmt::Display for ToolCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.id, self.name, self.arguments)
    }
}

/// `value` with all of its texts changed.
fn hidden(value: &serde_json::Value, hide: &impl Fn(&str) -> String) -> serde_json::Value {
    match value {
        serde_json::Value::String(text) => hide(text).into(),
        serde_json::Value::Array(items) => items.iter().map(|item| hidden(item, hide)).collect(),
        serde_json::Value::Object(fields) => {
            serde_json::Value::Object(fields.iter().map(|(name, value)| (hide(name), hidden(value, hide))).collect())
        }
        other => other.clone(),
    }
}

/// Variables for a template by name, `enable_thinking` and its like, in JSON's types.
pub type TemplateArgs = serde_json::Map<String, serde_json::Value>;

/// Names of variables that arguments cannot have: they are the conversation's.
const RESERVED: [&str; 2] = ["messages", "add_generation_prompt"];

/// What a template renders.
#[derive(Clone, Copy, Debug)]
pub struct Conversation<'a> {
    /// The messages in order.
    pub messages: &'a [Message],
    /// End the prompt where the assistant's answer begins.
    pub add_generation_prompt: bool,
    /// Variables for the template.
    pub arguments: Option<&'a TemplateArgs>,
    /// What `strftime_now` tells: seconds since 1970-01-01, UTC.
    pub unix_seconds: u64,
}

impl<'a> Conversation<'a> {
    /// `messages` now, without variables.
    pub fn new(messages: &'a [Message], add_generation_prompt: bool) -> Self {
        Self { messages, add_generation_prompt, arguments: None, unix_seconds: platform::unix_seconds() }
    }

    /// The same with variables for the template.
    pub fn with_args(self, arguments: &'a TemplateArgs) -> Self {
        Self { arguments: Some(arguments), ..self }
    }
}

/// Where a template comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    File,
    ChatMl,
    BitNet,
    Caller,
}

impl Origin {
    /// The template in messages.
    const fn name(self) -> &'static str {
        match self {
            Self::File => KEY,
            Self::ChatMl => "the built-in ChatML template",
            Self::BitNet => "the built-in BitNet template",
            Self::Caller => "the option `chatTemplate`",
        }
    }
}

/// A chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    origin: Origin,
    /// The template as minijinja compiles it, or why it does not. What it compiles borrows from it,
    /// so each rendering does it anew, which takes no time.
    source: Result<String>,
    /// `bos_token`, `eos_token` and their like.
    special_tokens: BTreeMap<&'static str, String>,
    rules: guard::Rules,
}

impl ChatTemplate {
    /// The template of a model: `tokenizer.chat_template`, or ChatML when the file has none.
    ///
    /// The templates of the published BitNet files are unusable and only say whose they are; a
    /// template with `BITNET` in it stands for `User: ...<|eot_id|>Assistant: `.
    ///
    /// A template that cannot be used leaves everything else of its model usable: [`Self::error`]
    /// says what is wrong with it, and so does rendering.
    pub fn from_metadata(metadata: &Metadata, tokenizer: &Tokenizer) -> Self {
        match metadata.string(KEY) {
            Ok(Some(source)) if source.contains("BITNET") => Self::new(Origin::BitNet, BITNET, tokenizer),
            Ok(Some(source)) => Self::new(Origin::File, source, tokenizer),
            Ok(None) => Self::new(Origin::ChatMl, CHATML, tokenizer),
            Err(error) => Self { source: Err(error), ..Self::new(Origin::File, "", tokenizer) },
        }
    }

    /// A template that the caller supplies, in place of the file's.
    ///
    /// # Errors
    /// `limits` for a template of more than 256 KiB, `bad-option` for one that does not compile.
    pub fn supplied(source: &str, tokenizer: &Tokenizer) -> Result<Self> {
        let template = Self::new(Origin::Caller, source, tokenizer);
        match template.error() {
            Some(error) => Err(error.clone()),
            None => Ok(template),
        }
    }

    fn new(origin: Origin, source: &str, tokenizer: &Tokenizer) -> Self {
        let ids = tokenizer.special();
        let tokens = [("bos_token", ids.bos), ("eos_token", ids.eos), ("unk_token", ids.unk), ("pad_token", ids.pad)];
        let special_tokens =
            tokens.into_iter().filter_map(|(name, id)| Some((name, tokenizer.token(id?)?.to_owned()))).collect();
        let prepared = prepare(origin, source);
        let rules = match &prepared {
            Ok(_) => {
                let control =
                    |&id: &u32| matches!(tokenizer.token_type(id), Some(TokenType::Control | TokenType::Unknown));
                let ids = (0..tokenizer.len() as u32).filter(control);
                let control: Vec<&str> =
                    ids.filter_map(|id| tokenizer.token(id)).filter(|token| !token.is_empty()).collect();
                guard::Rules::new(&control, &source::literals(source))
            }
            Err(_) => guard::Rules::default(),
        };
        Self { origin, source: prepared, special_tokens, rules }
    }

    /// Why the template cannot be used, if it cannot.
    pub fn error(&self) -> Option<&Error> {
        self.source.as_ref().err()
    }

    /// What somebody who has conversations with the model should know about the template.
    pub fn notice(&self) -> Option<String> {
        match (self.error(), self.origin) {
            (Some(error), _) => Some(format!(
                "{}; conversations need another template (`chatTemplate`), everything else works",
                error.message()
            )),
            (None, Origin::ChatMl) => {
                Some("the model has no chat template: ChatML is assumed for conversations".to_owned())
            }
            (None, _) => None,
        }
    }

    /// Whether `text` stands in the template; never in one that cannot be used.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.source.as_ref().is_ok_and(|source| source.contains(text))
    }

    /// Whether the template marks reasoning in answers with `<think>`.
    pub fn marks_reasoning(&self) -> bool {
        self.has("</think>")
    }

    /// The prompt of a conversation. `add_generation_prompt` ends it where the assistant's answer
    /// begins.
    ///
    /// The prompt is to be encoded with `parse_special`, and with BOS where the tokenizer adds it
    /// and the template did not.
    ///
    /// # Errors
    /// `bad-option` when the template itself refuses the messages and for variables that have the
    /// name of the messages, `limits` when it runs out of fuel, `malformed` when it fails or does
    /// not compile.
    pub fn render(&self, conversation: &Conversation<'_>) -> Result<String> {
        self.render_hidden(conversation, &Guard::default())
    }

    /// The prompt with stand-ins for the signs of control tokens in all that comes from messages.
    pub(crate) fn render_guarded(&self, conversation: &Conversation<'_>) -> Result<(String, Guard)> {
        let calls = |message: &'_ Message| message.tool_calls.iter().map(ToolCall::to_string).collect::<Vec<_>>();
        let calls: Vec<String> = conversation.messages.iter().flat_map(calls).collect();
        let texts = conversation.messages.iter().flat_map(|message| [message.role.as_str(), &message.content]);
        let texts = texts.chain(calls.iter().map(String::as_str));
        let guard = self.rules.guard(texts)?;
        Ok((self.render_hidden(conversation, &guard)?, guard))
    }

    fn render_hidden(&self, conversation: &Conversation<'_>, guard: &Guard) -> Result<String> {
        let Conversation { messages, add_generation_prompt, arguments, unix_seconds } = *conversation;
        let source = self.source.as_ref().map_err(Clone::clone)?;
        let calls = |message: &Message| message.tool_calls.iter().map(|call| call.to_string().len()).sum::<usize>();
        let mut bytes: usize =
            messages.iter().map(|message| message.role.len() + message.content.len() + calls(message)).sum();
        let mut variables: BTreeMap<&str, Value> =
            BTreeMap::from([("tools", Value::from(())), ("documents", Value::from(()))]);
        variables.extend(self.special_tokens.iter().map(|(&name, token)| (name, Value::from(token.as_str()))));
        for (name, value) in arguments.into_iter().flatten() {
            if RESERVED.contains(&name.as_str()) {
                bail!(BadOption, "option `chatTemplateArgs`: {name} is set by the conversation");
            }
            bytes += value.to_string().len();
            variables.insert(name, Value::from(Serde(value)));
        }
        let hide = |text: &str| Value::from(self.rules.hide(text, guard));
        let call = |call: &ToolCall| {
            let arguments = Value::from(Serde(hidden(&call.arguments, &|text| self.rules.hide(text, guard))));
            let function = Value::from_pairs([("name", hide(&call.name)), ("arguments", arguments)]);
            Value::from_pairs([("id", hide(&call.id)), ("type", "function".into()), ("function", function)])
        };
        let messages: Vec<Value> = messages
            .iter()
            .map(|message| {
                let mut pairs = vec![("role", hide(&message.role)), ("content", hide(&message.content))];
                if !message.tool_calls.is_empty() {
                    pairs.push(("tool_calls", message.tool_calls.iter().map(call).collect::<Vec<_>>().into()));
                }
                pairs.extend(message.tool_call_id.iter().map(|id| ("tool_call_id", hide(id))));
                Value::from_pairs(pairs)
            })
            .collect();
        let fuel = BASE_FUEL + FUEL_PER_MESSAGE * messages.len() as u64 + FUEL_PER_BYTE * bytes as u64;
        variables.insert("messages", messages.into());
        variables.insert("add_generation_prompt", add_generation_prompt.into());
        let mut environment = environment::new();
        environment.set_fuel(Some(fuel));
        environment::set_clock(&mut environment, unix_seconds);
        environment::set_guard(&mut environment, guard.clone());
        let context = Value::from_pairs(variables);
        let rendered = metering::compile(self.origin.name(), source)
            .and_then(|template| metering::render(&environment, &template, context));
        rendered.map_err(|error| self.failed(&error, guard))
    }

    fn failed(&self, error: &minijinja::Error, guard: &Guard) -> Error {
        let name = self.origin.name();
        if let Some(refusal) = environment::refusal(error) {
            return err!(BadOption, "{name} refuses these messages: {}", guard.reveal(refusal));
        }
        match error.kind() {
            ErrorKind::OutOfFuel => err!(Limits, "{name} does more work than these messages can need; it was stopped"),
            _ => err!(Malformed, "{name} failed: {}", guard.reveal(&describe(error))),
        }
    }
}

/// What minijinja is to compile, after it did so once.
fn prepare(origin: Origin, source: &str) -> Result<String> {
    let name = origin.name();
    if source.len() > MAX_TEMPLATE_BYTES {
        bail!(Limits, "{name} has {} bytes; at most {MAX_TEMPLATE_BYTES} are supported", source.len());
    }
    source::check(source).map_err(|what| err!(Limits, "{name}: {what}"))?;
    let prepared = source::prepare(source);
    match metering::compile(name, &prepared) {
        Ok(_) => Ok(prepared),
        Err(error) if origin == Origin::Caller => Err(err!(BadOption, "{name} does not compile: {}", describe(&error))),
        Err(error) => Err(err!(Malformed, "{name} does not compile: {}", describe(&error))),
    }
}

/// The error with its line, without the name of the template.
fn describe(error: &minijinja::Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    match error.line() {
        Some(line) => format!("line {line}: {what}"),
        None => what,
    }
}

#[cfg(test)]
mod tests;
