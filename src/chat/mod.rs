//! Chat templates: a conversation becomes the prompt that the model was trained on.
//!
//! The template is a program in the file, written in Jinja for Hugging Face's renderer. It runs in `minijinja` with that renderer's
//! settings and additions (`environment`) and with a budget: a template can loop or double a string as long as it likes,
//! so each step and each byte it makes costs fuel, and the fuel grows with the messages only.

#![forbid(unsafe_code)]

mod environment;
mod json;
mod strftime;

use std::collections::BTreeMap;

use minijinja::{Environment, ErrorKind, Value, context};
use serde::{Deserialize, Serialize};

use crate::gguf::Metadata;
use crate::tokenizer::Tokenizer;
use crate::{Error, Result, platform};

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

/// What a caller passes to a template beside the messages: `enable_thinking` and the like.
pub type TemplateArgs = serde_json::Map<String, serde_json::Value>;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message of `role`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// Names the template in messages.
    name: &'static str,
    /// `bos_token`, `eos_token` and their like.
    special_tokens: BTreeMap<&'static str, String>,
}

impl ChatTemplate {
    /// The template of a model: `tokenizer.chat_template`, or ChatML when the file has none.
    ///
    /// The templates of the published BitNet files are unusable and only say whose they are; a template with `BITNET` in it
    /// stands for `User: ...<|eot_id|>Assistant: `.
    ///
    /// # Errors
    /// `limits` for a template of more than 256 KiB, `malformed` for one that does not compile.
    pub fn from_metadata(metadata: &Metadata, tokenizer: &Tokenizer) -> Result<Self> {
        let ids = tokenizer.special();
        let tokens = [("bos_token", ids.bos), ("eos_token", ids.eos), ("unk_token", ids.unk), ("pad_token", ids.pad)];
        let special_tokens =
            tokens.into_iter().filter_map(|(name, id)| Some((name, tokenizer.token(id?)?.to_owned()))).collect();
        let (name, source) = match metadata.string(KEY)? {
            Some(source) if source.contains("BITNET") => ("the built-in BitNet template", BITNET),
            Some(source) => (KEY, source),
            None => ("the built-in ChatML template", CHATML),
        };
        Self::compile(name, source, special_tokens)
    }

    fn compile(name: &'static str, source: &str, special_tokens: BTreeMap<&'static str, String>) -> Result<Self> {
        if source.len() > MAX_TEMPLATE_BYTES {
            bail!(Limits, "{name} has {} bytes; at most {MAX_TEMPLATE_BYTES} are supported", source.len());
        }
        let mut environment = environment::new();
        environment
            .add_template_owned(name, environment::without_generation_tags(source))
            .map_err(|error| err!(Malformed, "{name} does not compile: {}", describe(&error)))?;
        Ok(Self { environment, name, special_tokens })
    }

    /// The prompt of a conversation. `add_generation_prompt` ends it where the assistant's answer begins.
    ///
    /// The prompt is to be encoded with `add_special` and `parse_special`.
    ///
    /// # Errors
    /// `bad-option` when the template itself refuses the messages, `limits` when it runs out of fuel, `malformed` when it fails.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        self.render_with(messages, &TemplateArgs::new(), add_generation_prompt)
    }

    /// [`Self::render`] with arguments of the caller. They cannot change what every template is given, as `messages`.
    ///
    /// # Errors
    /// Those of [`Self::render`].
    pub fn render_with(
        &self,
        messages: &[Message],
        args: &TemplateArgs,
        add_generation_prompt: bool,
    ) -> Result<String> {
        self.render_at(messages, args, add_generation_prompt, platform::unix_seconds())
    }

    /// Whether the template marks reasoning in answers with `<think>`.
    pub fn marks_reasoning(&self) -> bool {
        self.environment.get_template(self.name).is_ok_and(|template| template.source().contains("</think>"))
    }

    /// [`Self::render_with`] as of a given time, for templates that write the date: seconds since 1970-01-01, UTC.
    ///
    /// # Errors
    /// Those of [`Self::render`].
    pub fn render_at(
        &self,
        messages: &[Message],
        args: &TemplateArgs,
        add_generation_prompt: bool,
        unix_seconds: u64,
    ) -> Result<String> {
        let mut bytes: usize = messages.iter().map(|message| message.role.len() + message.content.len()).sum();
        bytes += args.iter().map(|(name, value)| name.len() + value.to_string().len()).sum::<usize>();
        let fuel = BASE_FUEL + FUEL_PER_MESSAGE * messages.len() as u64 + FUEL_PER_BYTE * bytes as u64;
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        environment::set_clock(&mut environment, unix_seconds);
        let messages: Vec<Value> = messages
            .iter()
            .map(|Message { role, content }| {
                Value::from_pairs([("role", role.as_str()), ("content", content.as_str())])
            })
            .collect();
        let args =
            Value::deserialize(args).map_err(|error| err!(BadOption, "the arguments of {}: {error}", self.name))?;
        let special_tokens = Value::from_pairs(self.special_tokens.iter().map(|(&name, token)| (name, token.as_str())));
        let context = context! {
            messages,
            add_generation_prompt,
            tools => Value::from(()),
            documents => Value::from(()),
            ..context! { ..special_tokens, ..args }
        };
        let rendered = environment.get_template(self.name).and_then(|template| template.render(context));
        rendered.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &minijinja::Error) -> Error {
        let name = self.name;
        if let Some(refusal) = environment::refusal(error) {
            return err!(BadOption, "{name} refuses these messages: {refusal}");
        }
        match error.kind() {
            ErrorKind::OutOfFuel => err!(Limits, "{name} does more work than these messages can need; it was stopped"),
            _ => err!(Malformed, "{name} failed: {}", describe(error)),
        }
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
