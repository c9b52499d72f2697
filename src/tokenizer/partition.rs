//! Cutting a text at the special tokens that are written out in it.
//!
//! The leftmost occurrence wins, and of those that begin at one place the longest. Two automata:
//! user-defined tokens, which are always tokens, and all special tokens, for text that may name
//! control tokens.

#![forbid(unsafe_code)]

use aho_corasick::{AhoCorasick, MatchKind};

use super::types::TokenType;
use super::vocabulary::Vocabulary;
use crate::Result;

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A special token, written out.
    Token(u32),
    /// What lies between; never empty.
    Text(&'a str),
}

/// Finds the special tokens of a vocabulary.
#[derive(Debug)]
pub(super) struct SpecialTokens {
    user_defined: Finder,
    all: Finder,
}

#[derive(Debug)]
struct Finder {
    automaton: AhoCorasick,
    /// The token of each pattern.
    ids: Vec<u32>,
}

impl SpecialTokens {
    pub(super) fn new(vocabulary: &Vocabulary) -> Result<Self> {
        use TokenType::{Control, Unknown, UserDefined};
        Ok(Self {
            user_defined: Finder::new(vocabulary, |kind| kind == UserDefined)?,
            all: Finder::new(vocabulary, |kind| matches!(kind, Control | Unknown | UserDefined))?,
        })
    }

    /// Whether `id` is a token that [`Self::split`] can give.
    pub(super) fn contains(&self, id: u32) -> bool {
        self.all.ids.binary_search_by(|other| id.cmp(other)).is_ok()
    }

    /// Gives the pieces of `text` in order; control tokens are recognized with `parse_special`
    /// only.
    pub(super) fn split<'a>(
        &self,
        text: &'a str,
        parse_special: bool,
        mut piece: impl FnMut(Piece<'a>) -> Result<()>,
    ) -> Result<()> {
        let finder = if parse_special { &self.all } else { &self.user_defined };
        let mut done = 0;
        for found in finder.automaton.find_iter(text) {
            if done < found.start() {
                piece(Piece::Text(&text[done..found.start()]))?;
            }
            piece(Piece::Token(finder.ids[found.pattern().as_usize()]))?;
            done = found.end();
        }
        if done < text.len() {
            piece(Piece::Text(&text[done..]))?;
        }
        Ok(())
    }
}

impl Finder {
    /// Patterns in descending order of id, because of equal patterns the first matches and the last
    /// token should.
    fn new(vocabulary: &Vocabulary, wanted: impl Fn(TokenType) -> bool) -> Result<Self> {
        let tokens = vocabulary.entries().rev().filter(|&(_, text, kind)| wanted(kind) && !text.is_empty());
        let (ids, patterns): (Vec<u32>, Vec<&str>) = tokens.map(|(id, text, _)| (id, text)).unzip();
        let automaton =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns).map_err(|error| {
                err!(Limits, "the special tokens in tokenizer.ggml.tokens are too many or too long: {error}")
            })?;
        Ok(Self { automaton, ids })
    }
}
