//! `response_format`: what the answer must be.

#![forbid(unsafe_code)]

use super::error::{ApiError, ApiResult};
use super::fields::{Fields, wrong};
use crate::decode::{Format, ResponseFormat};
use crate::error::Error;
use serde_json::Value;

const TYPES: &str = "an object whose `type` is `text`, `json_object`, `json_schema`, `regex`, `choice` or `lark`";

/// Takes the format at `key`. A schema stands in an object of its own, as in chats, or beside the
/// type, as in responses. `strict` changes nothing: what compiles is enforced.
///
/// # Errors
///
/// 400 that names what is wrong; whether the format can be enforced shows later.
pub(super) fn read(fields: &mut Fields, key: &str) -> ApiResult<Option<ResponseFormat>> {
    let path = fields.path(key);
    let Some(value) = fields.value(key) else { return Ok(None) };
    let mut fields = Fields::nested(&path, value)?;
    let Some(kind) = fields.value("type") else { return Err(fields.missing("type")) };
    let format = match kind.as_str() {
        Some("text") => None,
        Some("json_object") => Some(Format::Json {}),
        Some("json_schema") => Some(schema(&mut fields)?),
        Some("regex") => Some(Format::Regex { regex: text(&mut fields, "regex")? }),
        Some("lark") => Some(Format::Lark { lark: text(&mut fields, "lark")? }),
        Some("choice") => {
            let strings = |value: &Value| {
                value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            };
            let choice = fields.take("choice", "a list of strings", strings)?;
            Some(Format::Choice { choice: choice.ok_or_else(|| fields.missing("choice"))? })
        }
        _ => return Err(wrong(&path, TYPES, &kind)),
    };
    fields.finish(&[])?;
    Ok(format.map(ResponseFormat::from))
}

fn text(fields: &mut Fields, key: &str) -> ApiResult<String> {
    fields.string(key)?.ok_or_else(|| fields.missing(key))
}

fn schema(fields: &mut Fields) -> ApiResult<Format> {
    let path = fields.path("json_schema");
    match fields.value("json_schema") {
        Some(value) => {
            let mut inner = Fields::nested(&path, value)?;
            let format = beside(&mut inner)?;
            inner.finish(&[])?;
            Ok(format)
        }
        None => beside(fields),
    }
}

fn beside(fields: &mut Fields) -> ApiResult<Format> {
    fields.string("name")?;
    fields.string("description")?;
    fields.flag("strict")?;
    let schema = fields.value("schema").ok_or_else(|| fields.missing("schema"))?;
    Ok(Format::JsonSchema { schema })
}

/// A format that cannot be enforced, in the words of a protocol that has it at `path`.
pub(super) fn refused(error: Error, path: &str, schema: &str) -> ApiError {
    let error = ApiError::from(error);
    let message = error.message.replace("option `responseFormat.schema`", &format!("`{schema}`"));
    let message = message.replace("option `responseFormat", &format!("`{path}"));
    ApiError { message, ..error }.of(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;
    use serde_json::json;

    fn format(json: &Value) -> Result<Option<Format>, String> {
        let mut fields = Fields::read(json!({ "response_format": json }).to_string().as_bytes()).unwrap();
        read(&mut fields, "response_format")
            .map(|format| format.map(|format| format.format().clone()))
            .map_err(|error| error.message)
    }

    #[test]
    fn every_type_is_read() {
        let schema = json!({ "type": "integer" });
        let compiled = Ok(Some(Format::JsonSchema { schema: schema.clone() }));
        for (json, expected) in [
            (json!(null), Ok(None)),
            (json!({ "type": "text" }), Ok(None)),
            (json!({ "type": "json_object" }), Ok(Some(Format::Json {}))),
            (
                json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema, "strict": true } }),
                compiled.clone(),
            ),
            (json!({ "type": "json_schema", "name": "n", "schema": schema, "strict": null }), compiled),
            (json!({ "type": "regex", "regex": "a+" }), Ok(Some(Format::Regex { regex: "a+".into() }))),
            (json!({ "type": "lark", "lark": "start: A" }), Ok(Some(Format::Lark { lark: "start: A".into() }))),
            (json!({ "type": "choice", "choice": ["a"] }), Ok(Some(Format::Choice { choice: vec!["a".into()] }))),
        ] {
            assert_eq!(format(&json), expected, "{json}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, words) in [
            (json!(3), "`response_format` is 3"),
            (json!({}), "`response_format.type` is missing"),
            (json!({ "type": "xml" }), "it must be an object whose `type` is `text`"),
            (json!({ "type": "json_schema" }), "`response_format.schema` is missing"),
            (json!({ "type": "json_schema", "json_schema": {} }), "`response_format.json_schema.schema` is missing"),
            (json!({ "type": "regex" }), "`response_format.regex` is missing"),
            (json!({ "type": "choice", "choice": [1] }), "`response_format.choice` is a list"),
            (json!({ "type": "json_object", "schema": {} }), "no parameter `response_format.schema`"),
        ] {
            let error = format(&json).unwrap_err();
            assert!(error.contains(words), "{json}: {error}");
        }
    }
}
