//! Answers held to a JSON schema, a regular expression, a grammar or a list: the constraints of
//! `crate::decode`, by the crate `llguidance`.
//!
//! ```text
//! Format ─▶ schema: every keyword enforced or refused by name ─▶ llguidance ─▶ Matcher ─▶ masks
//!                                       Tokenizer ─▶ vocabulary: a trie of tokens ─┘
//! ```
//!
//! JSON is compact: no blank outside strings. Small models loop on blanks, and a mask is sharper
//! without them.

#![forbid(unsafe_code)]

mod grammar;
mod matcher;
mod pattern;
mod schema;
#[cfg(test)]
mod tests;
mod vocabulary;
mod way_out;

use crate::decode::{Constraint, Format};
use crate::error::{Error, ErrorCode, Result};
use crate::tokenizer::Tokenizer;
use llguidance::ParserFactory;
use matcher::Matched;
use std::fmt;
use std::sync::Arc;
use vocabulary::{Tokenize, Vocabulary};

/// Makes constraints for the vocabulary of one tokenizer.
pub struct Compiler {
    factory: ParserFactory,
}

impl fmt::Debug for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiler").finish_non_exhaustive()
    }
}

impl Compiler {
    /// A compiler for `tokenizer`. Takes about 10 microseconds a token.
    ///
    /// # Errors
    ///
    /// `malformed` for a vocabulary that no trie can be made of.
    pub fn new(tokenizer: Arc<Tokenizer>) -> Result<Self> {
        let words: Vec<Vec<u8>> = tokenizer.words().collect();
        Self::of_words(&words, Box::new(move |text| tokenizer.encode_continuation(text).unwrap_or_default()))
    }

    /// A compiler for tokens of these bytes: see [`Tokenizer::words`].
    pub(crate) fn of_words(words: &[Vec<u8>], tokenize: Box<Tokenize>) -> Result<Self> {
        let vocabulary = Vocabulary::environment(words, tokenize);
        let mut factory = ParserFactory::new_simple(&vocabulary)
            .map_err(|error| err!(Malformed, "the vocabulary cannot be searched: {error}"))?;
        factory.quiet().limits_mut().verbose_errors = false;
        Ok(Self { factory })
    }

    /// The constraint of a format.
    ///
    /// # Errors
    ///
    /// `bad-option` that says what of the format cannot be enforced, and where.
    pub fn compile(&self, format: &Format) -> Result<Box<dyn Constraint>> {
        match grammar::Source::of(format)? {
            grammar::Source::Schema(schema, around) => {
                schema.compile(|schema| self.matched(grammar::of_schema(schema, &around)))
            }
            grammar::Source::Grammar(grammar) => self.matched(grammar).map_err(|error| error.about(format)),
        }
        .map(|matched| -> Box<dyn Constraint> { Box::new(matched) })
    }

    fn matched(&self, grammar: llguidance::api::TopLevelGrammar) -> std::result::Result<Matched, Refusal> {
        let parser = self.factory.create_parser(grammar).map_err(|error| Refusal::new(&error))?;
        Matched::new(parser, Arc::clone(self.factory.tok_env()))
    }
}

/// llguidance's words about what it does not take.
#[derive(Debug)]
struct Refusal(String);

impl Refusal {
    fn new(error: &anyhow::Error) -> Self {
        // Behind the first line is the state of its parser.
        let words = format!("{error:#}");
        let words = words.split("\n<").next().unwrap_or_default().trim();
        let words = words.strip_prefix("panic: ").unwrap_or(words);
        Self(words.lines().map(str::trim).collect::<Vec<_>>().join(" "))
    }

    /// Whether it is not a mistake but too much.
    fn is_limit(&self) -> bool {
        ["too complex", "too large", "too many", "limit", "fuel", "exceeded", "stack level"]
            .iter()
            .any(|word| self.0.contains(word))
    }

    fn about(self, format: &Format) -> Error {
        let (name, what) = match format {
            Format::Regex { .. } => ("regex", "the regular expression"),
            Format::Lark { .. } => ("lark", "the grammar"),
            Format::Choice { .. } => ("choice", "the list"),
            Format::Json {} | Format::JsonSchema { .. } | Format::Sequence { .. } => ("schema", "the schema"),
        };
        self.into_error(ErrorCode::BadOption, &format!("option `responseFormat.{name}`: {what} cannot be enforced"))
    }

    fn into_error(self, code: ErrorCode, what: &str) -> Error {
        Error::new(code, format!("{what}: {}", self.0))
    }
}
