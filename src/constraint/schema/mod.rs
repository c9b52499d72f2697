//! JSON schemas: what can be enforced, in the form that llguidance enforces as it is meant.
//!
//! llguidance ignores keywords that it does not know, says of others that they are wrong without
//! saying where, and lets some values through that a validator refuses. So a schema is read here
//! first (`walk`), keyword by keyword. What cannot be enforced is refused by its name and by the
//! JSON pointer to it; the rest is written anew:
//!
//! - every target of a `$ref` becomes a definition of its own, wherever it was;
//! - what may be any value becomes a reference to a definition of all JSON;
//! - numbers without bounds get those of integers that every JSON parser keeps exact, or an
//!   exponent of 999 could be written;
//! - regular expressions are translated from the syntax of ECMAScript (`pattern`).
//!
//! Objects have their properties in the order of the schema.

#![forbid(unsafe_code)]

mod keywords;
mod numbers;
mod walk;

use super::Refusal;
use super::matcher::Matched;
use crate::error::{Error, ErrorCode, Result};
use serde_json::{Map, Value, json};
use walk::Walk;

/// Parts of a schema that are tried one by one when the whole is refused.
const MOST_PARTS: usize = 200;

/// A schema that was read.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    definitions: Map<String, Value>,
    /// JSON pointers to subschemas, and what became of them; outer ones first.
    parts: Vec<(String, Value)>,
}

impl Schema {
    /// Reads a schema of drafts 6 to 2020-12.
    ///
    /// # Errors
    ///
    /// `bad-option` that names the keyword at fault and the JSON pointer to it.
    pub(super) fn read(schema: &Value) -> Result<Self> {
        Walk::new(schema).document()
    }

    /// The document that llguidance reads, with `part` as its root.
    fn document(&self, part: &Value) -> Value {
        match part {
            Value::Object(part) => {
                let mut document = part.clone();
                document.insert("$defs".to_owned(), Value::Object(self.definitions.clone()));
                Value::Object(document)
            }
            part => json!({ "allOf": [part], "$defs": self.definitions }),
        }
    }

    /// The constraint that `compile` makes of it.
    ///
    /// # Errors
    ///
    /// What `compile` refuses, with the JSON pointer to the smallest part that it refuses alone.
    pub(super) fn compile(&self, compile: impl Fn(Value) -> std::result::Result<Matched, Refusal>) -> Result<Matched> {
        let refusal = match compile(self.document(&json!({ "$ref": walk::ROOT }))) {
            Ok(matched) => return Ok(matched),
            Err(refusal) => refusal,
        };
        let mut culprit = (String::from("#"), refusal);
        if !culprit.1.is_limit() {
            for (pointer, part) in self.parts.iter().take(MOST_PARTS) {
                let deeper = pointer.len() >= culprit.0.len() && pointer.starts_with(culprit.0.as_str());
                if let (true, Err(refusal)) = (deeper, compile(self.document(part))) {
                    culprit = (pointer.clone(), refusal);
                }
            }
        }
        let (pointer, refusal) = culprit;
        let keyword = refusal.keyword().map(|keyword| format!(" (`{keyword}`)")).unwrap_or_default();
        Err(refusal.into_error(
            ErrorCode::BadOption,
            &format!("option `responseFormat.schema`: the schema at {pointer}{keyword} cannot be enforced"),
        ))
    }
}

impl Refusal {
    /// The keyword that it is about.
    fn keyword(&self) -> Option<&'static str> {
        let named = keywords::ENFORCED.into_iter().filter(|keyword| self.0.contains(keyword));
        named.max_by_key(|keyword| keyword.len()).or(self.0.contains("regex").then_some("pattern"))
    }
}

/// An error about what stands at `pointer` of a schema.
fn refuse(pointer: &str, what: impl std::fmt::Display) -> Error {
    err!(BadOption, "option `responseFormat.schema`: at {pointer}: {what}")
}
