//! What to continue, and how.

#![forbid(unsafe_code)]

use crate::chat::{Message, TemplateArgs};
use crate::decode::Options;
use crate::error::Result;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// What to continue.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// Text, with BOS in front where the model wants it.
    Text(String),
    /// A conversation, through the chat template with these arguments.
    Messages(Vec<Message>, TemplateArgs),
    /// Token ids exactly as given.
    Tokens(Vec<u32>),
}

/// Where the text of a control token (`<|im_end|>`) in a prompt is read as that token. In JSON:
/// `true`, `false` and `"template"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParseSpecial {
    /// Everywhere.
    #[default]
    Everywhere,
    /// In what the chat template itself writes, not in messages and prompts: for text that nobody
    /// vouches for.
    Template,
    /// Nowhere.
    Nowhere,
}

impl<'de> Deserialize<'de> for ParseSpecial {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(true) => Ok(Self::Everywhere),
            Value::Bool(false) => Ok(Self::Nowhere),
            Value::String(text) if text == "template" => Ok(Self::Template),
            other => Err(D::Error::custom(format_args!("it is {other}"))),
        }
    }
}

/// A prompt and how to continue it.
#[derive(Clone, Debug)]
pub struct Request {
    /// What to continue.
    pub prompt: Prompt,
    /// Where control tokens are read in it.
    pub parse_special: ParseSpecial,
    /// How.
    pub options: Options,
}

impl Request {
    /// A request whose prompt is taken at its word.
    pub fn new(prompt: Prompt, options: Options) -> Self {
        Self { prompt, parse_special: ParseSpecial::default(), options }
    }

    /// Reads a JSON object with exactly one of `prompt`, `messages` (with `chatTemplateArgs` if
    /// wanted) and `tokens`, `parseSpecial`, and the names of [`Options`].
    ///
    /// # Errors
    ///
    /// `bad-option` naming what is wrong.
    pub fn from_json(json: &str) -> Result<Self> {
        let object =
            serde_json::from_str(json).map_err(|error| err!(BadOption, "the request is not a JSON object: {error}"))?;
        Self::from_object(object)
    }

    /// As [`Request::from_json`], from an object that was parsed already.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_object(mut object: Map<String, Value>) -> Result<Self> {
        let [prompt, messages, tokens, args] =
            ["prompt", "messages", "tokens", "chatTemplateArgs"].map(|name| object.remove(name));
        if args.is_some() && messages.is_none() {
            bail!(BadOption, "`chatTemplateArgs` needs `messages`");
        }
        let args = args.map_or_else(|| Ok(TemplateArgs::new()), |args| typed("chatTemplateArgs", "an object", args))?;
        let prompt = match (prompt, messages, tokens) {
            (Some(text), None, None) => Prompt::Text(typed("prompt", "a string", text)?),
            (None, Some(list), None) => Prompt::Messages(typed("messages", "a list of {role, content}", list)?, args),
            (None, None, Some(ids)) => Prompt::Tokens(typed("tokens", "a list of token ids", ids)?),
            _ => bail!(BadOption, "give exactly one of prompt, messages and tokens"),
        };
        let parse_special = match object.remove("parseSpecial") {
            Some(value) => typed("parseSpecial", "true, false or \"template\"", value)?,
            None => ParseSpecial::default(),
        };
        Ok(Self { prompt, parse_special, options: Options::from_value(&Value::Object(object))? })
    }
}

fn typed<T: for<'de> Deserialize<'de>>(name: &str, kind: &str, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| err!(BadOption, "option `{name}` must be {kind}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use crate::testing::test;

    #[test]
    fn reads_a_request_of_each_kind() {
        let read = |json: &str| Request::from_json(json).unwrap();
        assert_eq!(read(r#"{ "prompt": "a" }"#).prompt, Prompt::Text("a".into()));
        assert_eq!(read(r#"{ "tokens": [1, 2] }"#).prompt, Prompt::Tokens(vec![1, 2]));
        let request = read(r#"{ "messages": [{ "role": "user", "content": "a" }], "maxTokens": 7, "mode": "ar" }"#);
        assert_eq!(request.prompt, Prompt::Messages(vec![Message::new("user", "a")], TemplateArgs::new()));
        assert_eq!((request.options.max_tokens, request.options.mode), (Some(7), crate::decode::Mode::Ar));
        let request = read(r#"{ "messages": [], "chatTemplateArgs": { "enable_thinking": false } }"#);
        let args = TemplateArgs::from_iter([("enable_thinking".to_owned(), false.into())]);
        assert_eq!(request.prompt, Prompt::Messages(Vec::new(), args));
    }

    #[test]
    fn rejects_requests_by_what_is_wrong() {
        for (json, words) in [
            ("", "not a JSON object"),
            ("[]", "not a JSON object"),
            ("{}", "exactly one of prompt, messages and tokens"),
            (r#"{ "prompt": "a", "tokens": [1] }"#, "exactly one"),
            (r#"{ "prompt": 3 }"#, "`prompt` must be a string"),
            (r#"{ "messages": [{ "role": "user" }] }"#, "`messages` must be a list of {role, content}"),
            (r#"{ "tokens": [-1] }"#, "`tokens` must be a list of token ids"),
            (r#"{ "tokens": [4294967296] }"#, "`tokens` must be"),
            (r#"{ "prompt": "a", "chatTemplateArgs": {} }"#, "`chatTemplateArgs` needs `messages`"),
            (r#"{ "messages": [], "chatTemplateArgs": 3 }"#, "`chatTemplateArgs` must be an object"),
            (r#"{ "prompt": "a", "max_tokens": 3 }"#, "`max_tokens`"),
            (r#"{ "prompt": "a", "topP": "most" }"#, "`topP` is \"most\""),
        ] {
            let error = Request::from_json(json).unwrap_err();
            assert_eq!(error.code(), ErrorCode::BadOption, "{json}: {error}");
            assert!(error.message().contains(words), "{json}: {error}");
        }
    }
}
