//! What a run needs of a grammar: which tokens may come next, and which must.
//!
//! Decoding knows no grammars; `crate::constraint` has them. The tests here use a toy.

#![forbid(unsafe_code)]

use crate::error::Result;
use std::fmt::Debug;

/// A set of tokens: one bit each, the lowest of a word first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenSet {
    words: Vec<u32>,
}

impl TokenSet {
    /// A set from its words. Tokens beyond them are not in it.
    pub fn from_words(words: Vec<u32>) -> Self {
        Self { words }
    }

    /// The words of the set.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Whether `token` is in the set.
    pub fn contains(&self, token: u32) -> bool {
        self.words.get(token as usize / 32).is_some_and(|word| word >> (token % 32) & 1 == 1)
    }

    /// Puts `token` into the set.
    pub fn insert(&mut self, token: u32) {
        let word = token as usize / 32;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (token % 32);
    }

    /// Whether no token is in the set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }
}

impl FromIterator<u32> for TokenSet {
    fn from_iter<I: IntoIterator<Item = u32>>(tokens: I) -> Self {
        let mut set = Self::default();
        tokens.into_iter().for_each(|token| set.insert(token));
        set
    }
}

/// A language of token sequences, and a place in one of them. Tokens that end an answer are no part
/// of it: a sequence may end wherever [`Constraint::is_accepting`] says so.
///
/// # Errors
///
/// All methods fail with `limits` where the language is too complex to go on; a constraint that
/// failed stays failed.
pub trait Constraint: Debug + Send {
    /// The tokens that may come next.
    fn mask(&mut self) -> Result<TokenSet>;

    /// Goes on by a token of the mask.
    fn advance(&mut self, token: u32) -> Result<()>;

    /// Goes back by the last `tokens`.
    fn rollback(&mut self, tokens: usize) -> Result<()>;

    /// The tokens that must come next, because the language has no other text there. May be empty
    /// where one could be told.
    fn forced(&mut self) -> Result<Vec<u32>>;

    /// Whether the sequence may end here.
    fn is_accepting(&mut self) -> Result<bool>;

    /// Some tokens, at most `limit`, behind which the sequence may end: as few as are easily found.
    fn way_out(&mut self, limit: usize) -> Result<Option<Vec<u32>>>;

    /// A copy that goes its own way.
    fn boxed_clone(&self) -> Box<dyn Constraint>;
}

impl Clone for Box<dyn Constraint> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}
