//! Formats as llguidance's grammars.

#![forbid(unsafe_code)]

use super::schema::Schema;
use crate::decode::Format;
use crate::error::Result;
use llguidance::JsonCompileOptions;
use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

/// Escapes in strings. Without `\u` every text has one spelling, so that no property can come twice
/// under two, and no half of a surrogate pair comes alone.
const ESCAPES: &str = "nrbtf\\\"";

/// What a format comes to.
pub(super) enum Source {
    Schema(Box<Schema>, Around),
    Grammar(TopLevelGrammar),
}

impl Source {
    /// # Errors
    ///
    /// `bad-option` for a schema that cannot be enforced and for a list without a text.
    pub(super) fn of(format: &Format) -> Result<Self> {
        let schema =
            |schema: &Value| Schema::read(schema).map(|schema| Self::Schema(Box::new(schema), Around::default()));
        match format {
            Format::Json {} => schema(&json!({ "type": "object" })),
            Format::JsonSchema { schema: value } => schema(value),
            Format::Sequence { schema, first, between, last } => {
                let around = Around { first: first.clone(), between: between.clone(), last: last.clone() };
                Ok(Self::Schema(Box::new(Schema::read(schema)?), around))
            }
            Format::Regex { regex } => Ok(Self::Grammar(TopLevelGrammar::from_regex(whole(regex)))),
            Format::Lark { lark } => Ok(Self::Grammar(TopLevelGrammar::from_lark(lark.clone()))),
            Format::Choice { choice } => {
                if choice.is_empty() || choice.iter().any(String::is_empty) {
                    bail!(BadOption, "option `responseFormat.choice` must be a list of texts, none of them empty");
                }
                let texts: Vec<String> = choice.iter().map(|text| Value::from(text.as_str()).to_string()).collect();
                Ok(Self::Grammar(TopLevelGrammar::from_lark(format!("start: CHOICE\nCHOICE: {}", texts.join(" | ")))))
            }
        }
    }
}

/// A regular expression that matches the whole answer needs no anchors at its ends.
fn whole(regex: &str) -> &str {
    let regex = regex.strip_prefix('^').unwrap_or(regex);
    match regex.strip_suffix('$') {
        Some(inner) if (inner.len() - inner.trim_end_matches('\\').len()).is_multiple_of(2) => inner,
        _ => regex,
    }
}

/// Constants around JSON: see [`Format::Sequence`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Around {
    first: String,
    between: Option<String>,
    last: String,
}

/// The grammar of compact JSON that `schema` describes.
pub(super) fn of_schema(mut schema: Value, around: &Around) -> TopLevelGrammar {
    let options = JsonCompileOptions {
        whitespace_flexible: false,
        json_allowed_escapes: Some(ESCAPES.to_owned()),
        ..JsonCompileOptions::default()
    };
    options.apply_to(&mut schema);
    if *around == Around::default() {
        return TopLevelGrammar::from_json_schema(schema);
    }
    let constant = |text: &str| if text.is_empty() { String::new() } else { Value::from(text).to_string() };
    let more = around.between.as_ref().map(|text| format!("({} json)*", constant(text))).unwrap_or_default();
    let (first, last) = (constant(&around.first), constant(&around.last));
    TopLevelGrammar::from_lark(format!("start: {first} json {more} {last}\njson: %json {schema}\n"))
}
