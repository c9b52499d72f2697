//! llguidance's matcher as a constraint.

#![forbid(unsafe_code)]

use super::{Refusal, way_out};
use crate::decode::{Constraint, TokenSet};
use crate::error::{Error, ErrorCode, Result};
use llguidance::api::StopReason;
use llguidance::{Matcher, TokenParser};
use std::fmt;
use toktrie::TokEnv;

/// A grammar, and a place in a text of it.
#[derive(Clone)]
pub(super) struct Matched {
    matcher: Matcher,
    vocabulary: TokEnv,
}

impl fmt::Debug for Matched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matched").finish_non_exhaustive()
    }
}

fn failed(error: &anyhow::Error) -> Error {
    Refusal::new(error).into_error(ErrorCode::Limits, "the response format cannot be followed any further")
}

impl Matched {
    pub(super) fn new(parser: TokenParser, vocabulary: TokEnv) -> std::result::Result<Self, Refusal> {
        let mut matched = Self { matcher: Matcher::new(Ok(parser)), vocabulary };
        // A grammar without any text is found out here.
        if !matched.is_complete() {
            matched.matcher.compute_mask().map_err(|error| Refusal::new(&error))?;
        }
        Ok(matched)
    }

    /// Whether the text is complete and cannot go on.
    fn is_complete(&self) -> bool {
        matches!(self.matcher.stop_reason(), StopReason::NoExtension | StopReason::EndOfSentence)
    }

    /// The bytes of a token.
    pub(super) fn bytes(&self, token: u32) -> &[u8] {
        self.vocabulary.tok_trie().token(token)
    }

    /// The token that is `text`.
    pub(super) fn token(&self, text: &str) -> Option<u32> {
        self.vocabulary.tok_trie().token_id(text.as_bytes())
    }
}

impl Constraint for Matched {
    fn mask(&mut self) -> Result<TokenSet> {
        if self.is_complete() {
            return Ok(TokenSet::default());
        }
        let mask = self.matcher.compute_mask().map_err(|error| failed(&error))?;
        Ok(TokenSet::from_words(mask.as_slice().to_vec()))
    }

    fn advance(&mut self, token: u32) -> Result<()> {
        self.matcher.consume_token(token).map_err(|error| failed(&error))
    }

    fn rollback(&mut self, tokens: usize) -> Result<()> {
        self.matcher.rollback(tokens).map_err(|error| failed(&error))
    }

    fn forced(&mut self) -> Result<Vec<u32>> {
        if self.is_complete() {
            return Ok(Vec::new());
        }
        let forced = self.matcher.compute_ff_tokens();
        match self.matcher.get_error() {
            Some(error) => Err(failed(&anyhow::anyhow!(error))),
            None => Ok(forced),
        }
    }

    fn is_accepting(&mut self) -> Result<bool> {
        Ok(self.is_complete() || self.matcher.is_accepting().map_err(|error| failed(&error))?)
    }

    fn way_out(&mut self, limit: usize) -> Result<Option<Vec<u32>>> {
        way_out::find(self.clone(), limit)
    }

    fn boxed_clone(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }
}
