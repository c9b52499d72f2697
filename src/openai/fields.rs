//! Reading JSON objects strictly: every key is taken by somebody, ignored on purpose, or refused by
//! its name.

#![forbid(unsafe_code)]

use super::error::{ApiError, ApiResult};
use serde_json::{Map, Value};

/// The keys of an object that nobody has taken yet. `null` counts as absent.
pub(super) struct Fields {
    keys: Map<String, Value>,
    /// Where the object stands in the request, as `messages[0].`; empty at the top.
    place: String,
}

impl Fields {
    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// 400 for anything but a JSON object in UTF-8, and for a NUL character anywhere in it.
    pub(super) fn read(body: &[u8]) -> ApiResult<Self> {
        let value = serde_json::from_slice(body)
            .map_err(|error| ApiError::bad_request(format!("the body is not valid JSON: {error}")))?;
        match value {
            Value::Object(keys) => {
                keys.iter().try_for_each(|(key, value)| without_nul(value, key))?;
                Ok(Self { keys, place: String::new() })
            }
            other => Err(ApiError::bad_request(format!("the body must be a JSON object, not {}", kind(&other)))),
        }
    }

    /// The object at `place` of the request.
    pub(super) fn nested(place: &str, value: Value) -> ApiResult<Self> {
        match value {
            Value::Object(keys) => Ok(Self { keys, place: format!("{place}.") }),
            other => Err(wrong(place, "an object", &other)),
        }
    }

    /// The full name of a key, for errors.
    pub(super) fn path(&self, key: &str) -> String {
        format!("{}{key}", self.place)
    }

    /// Takes a key, whatever it holds.
    pub(super) fn value(&mut self, key: &str) -> Option<Value> {
        self.keys.shift_remove(key).filter(|value| !value.is_null())
    }

    /// Takes a key that `read` understands.
    pub(super) fn take<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> ApiResult<Option<T>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        read(&value).map(Some).ok_or_else(|| wrong(&self.path(key), expected, &value))
    }

    /// Takes text.
    pub(super) fn string(&mut self, key: &str) -> ApiResult<Option<String>> {
        self.take(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// Takes a switch, off unless given.
    pub(super) fn flag(&mut self, key: &str) -> ApiResult<bool> {
        Ok(self.take(key, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    /// Takes a whole number from `least` to `most`.
    pub(super) fn count(&mut self, key: &str, (least, most): (u64, u64)) -> ApiResult<Option<usize>> {
        let expected = format!("a whole number from {least} to {most}");
        self.take(key, &expected, |value| {
            let number = value.as_u64().filter(|number| (least..=most).contains(number))?;
            usize::try_from(number).ok()
        })
    }

    /// A key that must be there.
    pub(super) fn missing(&self, key: &str) -> ApiError {
        let path = self.path(key);
        let message = format!("`{path}` is missing");
        ApiError { code: Some("missing_required_parameter"), ..ApiError::bad_param(path, message) }
    }

    /// Refuses keys that are understood but not supported, unless they ask for nothing: `null`,
    /// `false` or an empty list.
    pub(super) fn refuse(&mut self, keys: &[(&str, &str)]) -> ApiResult<()> {
        for (key, advice) in keys {
            let asks = |value: &Value| !(value == &Value::Bool(false) || value.as_array().is_some_and(Vec::is_empty));
            if self.value(key).as_ref().is_some_and(asks) {
                return Err(ApiError::unsupported(self.path(key), advice));
            }
        }
        Ok(())
    }

    /// Ends the object: a key that is left and not `harmless` is an error. A name that ends in `*`
    /// stands for all that begin so.
    pub(super) fn finish(self, harmless: &[&str]) -> ApiResult<()> {
        let ignored = |key: &str| {
            harmless.iter().any(|name| match name.strip_suffix('*') {
                Some(start) => key.starts_with(start),
                None => key == *name,
            })
        };
        match self.keys.keys().find(|key| !ignored(key)) {
            Some(key) => Err(ApiError {
                code: Some("unknown_parameter"),
                ..ApiError::bad_param(self.path(key), format!("there is no parameter `{}`", self.path(key)))
            }),
            None => Ok(()),
        }
    }
}

/// `place` holds a value of the wrong type or out of range.
pub(super) fn wrong(place: &str, expected: &str, value: &Value) -> ApiError {
    ApiError::bad_param(place, format!("`{place}` is {}; it must be {expected}", shown(value)))
}

/// A value in an error message: short ones as they are, others by their kind.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 64;
    match value {
        Value::Array(_) | Value::Object(_) => kind(value).to_owned(),
        _ => Some(value.to_string()).filter(|text| text.len() <= LONGEST).unwrap_or_else(|| kind(value).to_owned()),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// No model has a token for NUL, and C programs along the way end a text there.
fn without_nul(value: &Value, place: &str) -> ApiResult<()> {
    match value {
        Value::String(text) if text.contains('\0') => {
            Err(ApiError::bad_param(place, format!("`{place}` has a NUL character (U+0000): remove it")))
        }
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| without_nul(item, &format!("{place}[{index}]")))
        }
        Value::Object(keys) => keys.iter().try_for_each(|(key, item)| without_nul(item, &format!("{place}.{key}"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    fn message(body: &str, read: impl FnOnce(&mut Fields) -> ApiResult<()>) -> String {
        let outcome = Fields::read(body.as_bytes()).and_then(|mut fields| {
            read(&mut fields)?;
            fields.finish(&["user", "prompt_cache_*"])
        });
        outcome.map_or_else(|error| error.message, |()| "ok".to_owned())
    }

    #[test]
    fn bodies_that_are_no_objects_are_refused() {
        for (body, words) in [
            ("", "not valid JSON"),
            ("[]", "must be a JSON object, not a list"),
            ("{\"a\": \"\\ud800\"}", "not valid JSON"),
            ("{\"a\": [{\"b\": \"x\\u0000\"}]}", "`a[0].b` has a NUL character"),
        ] {
            let text = message(body, |_| Ok(()));
            assert!(text.contains(words), "{body}: {text}");
        }
        assert!(Fields::read(b"{\"a\": \"\xff\"}").is_err());
        assert!(Fields::read("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn keys_are_taken_ignored_or_refused_by_name() {
        assert_eq!(message(r#"{"user": 1, "prompt_cache_key": "x"}"#, |_| Ok(())), "ok");
        assert_eq!(message(r#"{"maxTokens": 3}"#, |_| Ok(())), "there is no parameter `maxTokens`");
        assert_eq!(message(r#"{"foo": null}"#, |_| Ok(())), "there is no parameter `foo`");
        let audio = |fields: &mut Fields| fields.refuse(&[("audio", ": text only")]);
        assert_eq!(message(r#"{"audio": {}}"#, audio), "`audio` is not supported: text only");
        for harmless in ["null", "false", "[]"] {
            assert_eq!(message(&format!("{{\"audio\": {harmless}}}"), audio), "ok");
        }
    }

    #[test]
    fn wrong_types_name_key_value_and_range() {
        let count = |fields: &mut Fields| fields.count("n", (1, 128)).map(|_| ());
        assert_eq!(message(r#"{"n": 128}"#, count), "ok");
        assert_eq!(message(r#"{"n": 0}"#, count), "`n` is 0; it must be a whole number from 1 to 128");
        assert_eq!(message(r#"{"n": 1.5}"#, count), "`n` is 1.5; it must be a whole number from 1 to 128");
        assert_eq!(message(r#"{"n": {}}"#, count), "`n` is an object; it must be a whole number from 1 to 128");
        let flag = |fields: &mut Fields| fields.flag("stream").map(|_| ());
        assert_eq!(message(r#"{"stream": "yes"}"#, flag), "`stream` is \"yes\"; it must be true or false");
    }
}
