//! What is in a model's cache from one run to the next.
//!
//! A chat turn repeats all earlier turns in its prompt. The keys and values of the part that both share are still in the
//! cache, provided that they were computed under the same attention: under causal attention they depend on the tokens up
//! to their own position, under block attention on those up to the end of their block.

#![forbid(unsafe_code)]

use super::sampler::{Choice, Sampler};
use crate::error::Result;
use crate::model::{Attention, LanguageModel, Pass};

/// The tokens whose keys and values one model's cache holds. Keep it beside that model; a fresh one is always safe.
#[derive(Clone, Debug, Default)]
pub struct Session {
    tokens: Vec<u32>,
    attention: Option<Attention>,
}

impl Session {
    /// The committed tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Cuts `model`'s cache to what `prompt` can use of it under `attention`, and returns how many positions that is: so
    /// few that the row of the last prompt token still has to run, because its logits are needed.
    pub(super) fn reuse<M: LanguageModel + ?Sized>(
        &mut self,
        model: &mut M,
        prompt: &[u32],
        attention: Attention,
    ) -> usize {
        let usable = if self.attention == Some(attention) { model.committed() } else { 0 };
        self.tokens.truncate(usable);
        let common = self.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        let last = prompt.len().saturating_sub(1);
        let kept = match attention {
            Attention::Causal => common.min(last),
            Attention::Block { size } => (common / size).min(last / size) * size,
        };
        self.tokens.truncate(kept);
        self.attention = Some(attention);
        model.truncate(kept);
        kept
    }

    /// Runs `tokens` at `position` and chooses what follows each of `rows`; remembers the tokens of a committing pass.
    pub(super) fn choose<M: LanguageModel + ?Sized>(
        &mut self,
        model: &mut M,
        (position, tokens): (usize, &[u32]),
        commit: bool,
        rows: &[usize],
        sampler: &mut Sampler,
    ) -> Result<Vec<Choice>> {
        let attention = self.attention.unwrap_or(Attention::Causal);
        let pass = Pass { tokens, position, attention, commit, logits: rows };
        let vocabulary = model.vocab_size();
        let choices = if sampler.is_greedy() {
            let best = model.argmax(&pass, sampler.mask())?;
            best.into_iter().map(Choice::from_argmax).collect()
        } else {
            let logits = model.forward(&pass)?.chunks_exact(vocabulary).zip(rows);
            logits.map(|(logits, row)| sampler.choose(logits, position + row + 1)).collect()
        };
        if commit {
            self.tokens.extend_from_slice(tokens);
        }
        choices
    }
}
