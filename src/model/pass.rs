//! What decoding needs of a model: one forward pass over a few rows, and a cache it can keep or
//! forget.
//!
//! Decoding (`crate::decode`) is written against [`LanguageModel`] alone, so that it can be tested
//! on a scripted model with no weights.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::ops::{Argmax, NotFinite, argmax_row};

/// Which keys a query at position `q` sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// Keys at `k <= q`.
    Causal,
    /// Keys at `k` with `floor(k / size) <= floor(q / size)`: everything before the block, and the
    /// whole block (Fast-dLLM v2, arXiv:2509.26328).
    Block {
        /// Positions in a block; blocks sit at absolute multiples of it.
        size: usize,
    },
    /// Every key that was written: everything before the pass, and all of its rows.
    Full,
}

impl Attention {
    /// How many of the first `length` positions have keys and values that depend on nothing behind
    /// them.
    pub(crate) fn final_positions(self, length: usize) -> usize {
        match self {
            Self::Causal => length,
            Self::Block { size } => length / size * size,
            Self::Full => 0,
        }
    }
}

/// One forward pass.
#[derive(Clone, Debug)]
pub struct Pass<'a> {
    /// The tokens, one row each, at consecutive positions.
    pub tokens: &'a [u32],
    /// Position of the first token. At least [`LanguageModel::committed`]; more than that only to
    /// recompute part of the rows of an earlier uncommitted pass (the dual cache of Fast-dLLM).
    pub position: usize,
    /// Which keys each row sees. Under [`Attention::Block`], keys end at the last position that
    /// this pass or an uncommitted one wrote since the last commit or [`LanguageModel::truncate`].
    pub attention: Attention,
    /// Whether the keys and values of these rows stay in the cache. A committing pass starts at
    /// [`LanguageModel::committed`].
    pub commit: bool,
    /// The rows (indices into `tokens`, ascending) whose logits are wanted.
    pub logits: &'a [usize],
}

/// A model with a key/value cache for one sequence.
pub trait LanguageModel {
    /// Number of tokens in the vocabulary, the length of a row of logits.
    fn vocab_size(&self) -> usize;

    /// Positions the cache can hold.
    fn context_length(&self) -> usize;

    /// Positions whose keys and values are final. The next committing pass starts here.
    fn committed(&self) -> usize;

    /// Forgets every position from `length` on, uncommitted ones too. Does nothing when fewer are
    /// committed.
    fn truncate(&mut self, length: usize);

    /// Runs `pass` and returns the logits of `pass.logits`, row after row, each
    /// [`LanguageModel::vocab_size`] long.
    ///
    /// # Errors
    ///
    /// `context-full` when a position lies beyond the context, `bad-option` for a token outside the
    /// vocabulary, `out-of-memory` when the cache cannot grow.
    fn forward(&mut self, pass: &Pass<'_>) -> Result<&[f32]>;

    /// Runs `pass` and returns the likeliest token of each of `pass.logits`, `without` one that is
    /// never chosen. A model that can do this without storing the logits should.
    ///
    /// # Errors
    ///
    /// As [`LanguageModel::forward`]; `malformed` when a logit is NaN or infinite.
    fn argmax(&mut self, pass: &Pass<'_>, excluded: Option<u32>) -> Result<Vec<Argmax>> {
        let vocab = self.vocab_size();
        let rows = self.forward(pass)?.chunks_exact(vocab).enumerate();
        rows.map(|(row, logits)| argmax_row(logits, excluded).map_err(|bad| not_finite(pass, NotFinite { row, ..bad })))
            .collect()
    }
}

/// What it means that the `bad.row`-th of the logits that `pass` asked for is not finite.
pub(crate) fn not_finite(pass: &Pass<'_>, bad: NotFinite) -> Error {
    let NotFinite { row, token, logit } = bad;
    let position = pass.position + pass.logits[row] + 1;
    err!(
        Malformed,
        "the logit of token {token} for position {position} is {logit}: the model's weights are damaged or of another type than \
         the file says"
    )
}
