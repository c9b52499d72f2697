//! Exact self-speculation: the block view of a model drafts, its causal view verifies.
//!
//! A model trained for both views holds two decoders in one set of weights. Autoregressive decoding
//! asks one row a pass; here a window of k rows is drafted in one pass and verified in another, and
//! the result is that of autoregressive decoding token for token:
//!
//! ```text
//! s <- the last token known, whose keys are not in the cache yet
//! draft:   run [s, mask * (k - 1)], every row seeing all of them; d_r <- argmax logits[r - 1]
//! verify:  run [s, d_1 ... d_(k-1)] under the causal mask; a_r <- choose from logits[r - 1]
//!          take a_1, a_2, ... up to and including the first that differs from its draft
//!          keep the keys of s and of the drafts that were right
//! ```
//!
//! Every token comes from a causal row behind right tokens only, so a wrong draft costs time and
//! nothing else. This needs passes of k rows whose logits equal those of k passes of one row bit
//! for bit, which the kernels guarantee, and works for samples too: the sampler sees the same rows
//! in the same order. (Nemotron-Labs-Diffusion, arXiv:2607.05722; TiDAR, arXiv:2511.08923.)

#![forbid(unsafe_code)]

use super::guide::Guide;
use super::options::Options;
use super::sampler::{Choice, Sampler};
use super::session::{Rows, Session};
use crate::error::Result;
use crate::model::{Attention, LanguageModel, Pass};

/// Rows of the first window, and of the smallest and the largest.
const FIRST: usize = 8;
const SMALLEST: usize = 2;
const LARGEST: usize = 32;

/// A window between its draft and its verification, and the size of the next.
#[derive(Clone, Debug)]
pub(super) struct Speculation {
    /// Rows of the next window.
    window: usize,
    /// A window of the caller's that does not change.
    fixed: bool,
    /// The tokens drafted behind the last known one, with their probabilities; empty before a
    /// draft.
    draft: Vec<Choice>,
}

impl Speculation {
    /// Windows of `fixed` rows, or of as many as are right often enough.
    pub(super) fn new(fixed: Option<usize>) -> Self {
        Self { window: fixed.unwrap_or(FIRST), fixed: fixed.is_some(), draft: Vec::new() }
    }

    /// The tokens that wait to be verified.
    pub(super) fn draft(&self) -> &[Choice] {
        &self.draft
    }

    /// Drafts what follows `pending`, the tokens known but not in the cache, for at most `room` new
    /// tokens. With room for one there is nothing to draft: verifying is decoding then. Under a
    /// constraint each draft is the best that it allows behind those before.
    pub(super) fn draft_window<M: LanguageModel + ?Sized>(
        &mut self,
        model: &mut M,
        session: &mut Session,
        pending: &[u32],
        (mask, room): (u32, usize),
        guide: &Guide,
    ) -> Result<()> {
        let drafts = self.window.min(room) - 1;
        let mut tokens = pending.to_vec();
        tokens.resize(pending.len() + drafts, mask);
        let logits: Vec<usize> = (pending.len() - 1..tokens.len() - 1).collect();
        let position = session.tokens().len();
        let pass = Pass { tokens: &tokens, position, attention: Attention::Full, commit: false, logits: &logits };
        session.count_rows(tokens.len());
        if guide.is_on() {
            let vocabulary = model.vocab_size();
            let mut best = Sampler::new(&Options::default(), Some(mask));
            let rows = model.forward(&pass)?.chunks_exact(vocabulary);
            self.draft = draft_allowed(rows, &mut best, guide.clone(), position + pending.len())?;
        } else {
            let best = model.argmax(&pass, Some(mask))?;
            self.draft = best.into_iter().map(Choice::from_argmax).collect::<Result<_>>()?;
        }
        // The verifying pass may be narrower than what was written.
        model.truncate(position);
        Ok(())
    }

    /// Verifies the draft: the tokens that follow `pending`, each right as long as all drafts
    /// before it were, and the keys of right ones kept. `guide` has been told of them.
    pub(super) fn verify<M: LanguageModel + ?Sized>(
        &mut self,
        model: &mut M,
        session: &mut Session,
        sampler: &mut Sampler,
        pending: &[u32],
        guide: &mut Guide,
    ) -> Result<Vec<Choice>> {
        let position = session.tokens().len();
        let drafted: Vec<u32> = self.draft.drain(..).map(|choice| choice.id).collect();
        let tokens: Vec<u32> = pending.iter().chain(&drafted).copied().collect();
        let logits: Vec<usize> = (pending.len() - 1..tokens.len()).collect();
        let rows = Rows::committed(position, &tokens, &logits);
        let right = session.choose_while(model, rows, sampler, guide, &drafted)?;
        session.truncate(model, position + pending.len() + right.len() - 1);
        if !self.fixed {
            self.adapt(drafted.len(), right.len() - 1);
        }
        Ok(right)
    }

    /// Doubles the window when all of a full one was right, halves it when less than half was.
    fn adapt(&mut self, drafted: usize, right: usize) {
        if right == drafted && drafted + 1 == self.window {
            self.window = (self.window * 2).min(LARGEST);
        } else if right * 2 < drafted {
            self.window = (self.window / 2).max(SMALLEST);
        }
    }
}

/// Drafts from `rows` of logits, as far as the answer goes. What is forced is drafted, too: its
/// keys are needed as those of any other token.
fn draft_allowed<'a>(
    rows: impl Iterator<Item = &'a [f32]>,
    best: &mut Sampler,
    mut guide: Guide,
    position: usize,
) -> Result<Vec<Choice>> {
    let mut draft = Vec::new();
    for (index, logits) in rows.enumerate() {
        if guide.is_over()? {
            break;
        }
        let choice = match guide.forced()?.first() {
            Some(&id) => best.certain(id),
            None => best.choose_allowed(logits, position + index, guide.mask()?)?,
        };
        guide.take(choice.id)?;
        draft.push(choice);
    }
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn windows_grow_while_drafts_are_right_and_shrink_when_most_are_wrong() {
        let mut speculation = Speculation::new(None);
        let mut window = |drafted, right| {
            speculation.adapt(drafted, right);
            speculation.window
        };
        assert_eq!(window(7, 7), 16);
        assert_eq!(window(15, 15), 32);
        assert_eq!(window(31, 31), 32, "no further");
        assert_eq!(window(31, 20), 32);
        assert_eq!(window(31, 2), 16);
        assert_eq!(window(4, 4), 16, "a window cut short by the end says nothing");
        assert_eq!((0..5).map(|_| window(15, 0)).last(), Some(2));
        assert_eq!(window(1, 0), 2, "no further");
    }
}
