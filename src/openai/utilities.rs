//! Requests that make no text: tokens of text and back, prompts of conversations, and choices
//! between given answers.

#![forbid(unsafe_code)]

use super::error::{ApiError, ApiResult};
use super::fields::Fields;
use super::{Service, messages, sampling};
use crate::chat::{Message, TemplateArgs};
use crate::engine::Prompt;
use serde_json::{Value, json};

/// Answers to choose from at most.
const MAX_OPTIONS: usize = 256;

/// `/tokenize`: `{ content, add_special?, parse_special? }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokenize {
    /// The text.
    pub content: String,
    /// Put BOS and EOS where the model wants them; off unless asked for.
    pub add_special: bool,
    /// Read the text of a control token as that token; on unless told otherwise.
    pub parse_special: bool,
}

impl Tokenize {
    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// 400 that names what is wrong.
    pub fn read(body: &[u8]) -> ApiResult<Self> {
        let mut fields = Fields::read(body)?;
        let content = fields.string("content")?.ok_or_else(|| fields.missing("content"))?;
        let add_special = fields.flag("add_special")?;
        let parse_special = fields.take("parse_special", "true or false", Value::as_bool)?.unwrap_or(true);
        fields.finish(&["model"])?;
        Ok(Self { content, add_special, parse_special })
    }

    /// The body of the answer.
    pub fn answer(tokens: &[u32]) -> Value {
        json!({ "tokens": tokens })
    }
}

/// `/detokenize`: `{ tokens }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detokenize {
    /// Token ids.
    pub tokens: Vec<u32>,
}

impl Detokenize {
    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// 400 that names what is wrong.
    pub fn read(body: &[u8]) -> ApiResult<Self> {
        let mut fields = Fields::read(body)?;
        let tokens = fields.take("tokens", "a list of token ids", |value| {
            value.as_array()?.iter().map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok())).collect()
        })?;
        let tokens = tokens.ok_or_else(|| fields.missing("tokens"))?;
        fields.finish(&["model"])?;
        Ok(Self { tokens })
    }

    /// The body of the answer.
    pub fn answer(content: &str) -> Value {
        json!({ "content": content })
    }
}

/// `/apply-template`: `{ messages, add_generation_prompt?, chat_template_kwargs? }`.
#[derive(Clone, Debug, PartialEq)]
pub struct ApplyTemplate {
    /// The conversation.
    pub messages: Vec<Message>,
    /// Arguments of the template.
    pub args: TemplateArgs,
    /// End the prompt where the assistant's answer begins; on unless told otherwise.
    pub add_generation_prompt: bool,
}

impl ApplyTemplate {
    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// 400 that names what is wrong.
    pub fn read(body: &[u8]) -> ApiResult<Self> {
        let mut fields = Fields::read(body)?;
        let messages = messages::read(&mut fields, "messages")?;
        let args = sampling::template_args(&mut fields)?;
        let add = fields.take("add_generation_prompt", "true or false", Value::as_bool)?.unwrap_or(true);
        fields.finish(&["model"])?;
        Ok(Self { messages, args, add_generation_prompt: add })
    }

    /// The body of the answer.
    pub fn answer(prompt: &str) -> Value {
        json!({ "prompt": prompt })
    }
}

/// `/v1/choose`: `{ messages | prompt, options, normalize? }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Choose {
    /// What is answered.
    pub prompt: Prompt,
    /// The answers to choose from.
    pub options: Vec<String>,
    /// Compare answers by their mean log probability a token, so that long ones are not at a
    /// disadvantage.
    pub by_length: bool,
}

impl Choose {
    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// 400 that names what is wrong, 404 for another model.
    pub fn read(body: &[u8], service: &Service) -> ApiResult<Self> {
        let mut fields = Fields::read(body)?;
        sampling::model(&mut fields, service)?;
        let args = sampling::template_args(&mut fields)?;
        let prompt = match fields.string("prompt")? {
            Some(_) if fields.value("messages").is_some() => {
                return Err(ApiError::bad_param("messages", "give either `messages` or `prompt`, not both"));
            }
            Some(text) => Prompt::Text(text),
            None => Prompt::Messages(messages::read(&mut fields, "messages")?, args),
        };
        let expected = format!("a list of 1 to {MAX_OPTIONS} strings, none of them empty");
        let options = fields.take("options", &expected, |value| {
            let strings: Option<Vec<String>> = value
                .as_array()?
                .iter()
                .map(|item| item.as_str().filter(|text| !text.is_empty()).map(str::to_owned))
                .collect();
            strings.filter(|strings| (1..=MAX_OPTIONS).contains(&strings.len()))
        })?;
        let options = options.ok_or_else(|| fields.missing("options"))?;
        let normalize = fields.take("normalize", "\"length\" or \"none\"", |value| match value.as_str() {
            Some("length") => Some(true),
            Some("none") => Some(false),
            _ => None,
        })?;
        fields.finish(&sampling::HARMLESS)?;
        Ok(Self { prompt, options, by_length: normalize.unwrap_or(false) })
    }

    /// The body of the answer: probabilities in the order of the options.
    pub fn answer(service: &Service, probabilities: &[f64]) -> Value {
        json!({ "object": "choose", "model": service.model, "probabilities": probabilities })
    }
}
