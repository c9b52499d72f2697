//! What is in a model's cache from one run to the next.
//!
//! A chat turn repeats all earlier turns in its prompt. The keys and values of the part that both
//! share are still in the cache, provided that they were computed under the same attention: under
//! causal attention they depend on the tokens up to their own position, under block attention on
//! those up to the end of their block.

#![forbid(unsafe_code)]

use super::sampler::{Choice, Sampler};
use crate::error::Result;
use crate::model::{Attention, LanguageModel, Pass};

/// Tokens to run at a position, and the rows of them whose successors are to be chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    pub(super) position: usize,
    pub(super) tokens: &'a [u32],
    /// Whether their keys and values stay in the cache.
    pub(super) commit: bool,
    /// Indices into `tokens`, ascending.
    pub(super) logits: &'a [usize],
}

impl<'a> Rows<'a> {
    /// Rows whose keys and values stay in the cache.
    pub(super) fn committed(position: usize, tokens: &'a [u32], logits: &'a [usize]) -> Self {
        Self { position, tokens, commit: true, logits }
    }

    /// Rows whose keys and values the next pass over them replaces.
    pub(super) fn tentative(position: usize, tokens: &'a [u32], logits: &'a [usize]) -> Self {
        Self { position, tokens, commit: false, logits }
    }
}

/// The tokens whose keys and values one model's cache holds. Keep it beside that model; a fresh one
/// is always safe.
#[derive(Clone, Debug, Default)]
pub struct Session {
    tokens: Vec<u32>,
    attention: Option<Attention>,
    /// Rows that all passes ran.
    rows: usize,
}

impl Session {
    /// Rows that all passes of this session ran.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The committed tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// A session over a cache that holds the keys and values of `tokens`, computed under
    /// `attention`.
    pub(crate) fn holding(tokens: Vec<u32>, attention: Option<Attention>) -> Self {
        Self { tokens, attention, rows: 0 }
    }

    /// The attention under which the keys and values were computed, if there are any.
    pub(crate) fn attention(&self) -> Option<Attention> {
        self.attention
    }

    /// How many of the first `length` tokens have keys and values that depend on no later ones.
    pub(crate) fn final_tokens(&self, length: usize) -> usize {
        self.attention.map_or(0, |attention| attention.final_positions(length.min(self.tokens.len())))
    }

    /// Cuts `model`'s cache to what `prompt` can use of it under `attention`, and returns how many
    /// positions that is: so few that the row of the last prompt token still has to run, because
    /// its logits are needed.
    pub(super) fn reuse<M: LanguageModel + ?Sized>(
        &mut self,
        model: &mut M,
        prompt: &[u32],
        attention: Attention,
    ) -> usize {
        let usable = if self.attention == Some(attention) { model.committed() } else { 0 };
        self.tokens.truncate(usable);
        let common = self.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        let kept = attention.final_positions(common.min(prompt.len().saturating_sub(1)));
        self.tokens.truncate(kept);
        self.attention = Some(attention);
        model.truncate(kept);
        kept
    }

    /// Runs `tokens` behind those that are committed and commits them.
    pub(super) fn commit<M: LanguageModel + ?Sized>(&mut self, model: &mut M, tokens: &[u32]) -> Result<()> {
        let (position, attention) = (self.tokens.len(), self.attention.unwrap_or(Attention::Causal));
        self.rows += tokens.len();
        model.forward(&Pass { tokens, position, attention, commit: true, logits: &[] })?;
        self.tokens.extend_from_slice(tokens);
        Ok(())
    }

    /// Runs `rows` and chooses what follows each of those whose logits are asked for; remembers
    /// committed tokens.
    pub(super) fn choose<M: LanguageModel + ?Sized>(
        &mut self,
        model: &mut M,
        rows: Rows<'_>,
        sampler: &mut Sampler,
    ) -> Result<Vec<Choice>> {
        let Rows { position, tokens, commit, logits } = rows;
        let attention = self.attention.unwrap_or(Attention::Causal);
        let pass = Pass { tokens, position, attention, commit, logits };
        let vocabulary = model.vocab_size();
        self.rows += tokens.len();
        let choices = if sampler.is_greedy() {
            let best = model.argmax(&pass, sampler.mask())?;
            best.into_iter().map(Choice::from_argmax).collect()
        } else {
            let each = model.forward(&pass)?.chunks_exact(vocabulary).zip(logits);
            each.map(|(logits, row)| sampler.choose(logits, position + row + 1)).collect()
        };
        if commit {
            self.tokens.extend_from_slice(tokens);
        }
        choices
    }

    /// Runs committed `rows` and chooses what follows each of those whose logits are asked for, as
    /// long as `goes_on` says so of its index and choice; the sampler observes each before the
    /// next.
    pub(super) fn choose_while<M: LanguageModel + ?Sized>(
        &mut self,
        model: &mut M,
        rows: Rows<'_>,
        sampler: &mut Sampler,
        goes_on: impl Fn(usize, &Choice) -> bool,
    ) -> Result<Vec<Choice>> {
        let Rows { position, tokens, commit, logits } = rows;
        let attention = self.attention.unwrap_or(Attention::Causal);
        let pass = Pass { tokens, position, attention, commit, logits };
        let vocabulary = model.vocab_size();
        self.rows += tokens.len();
        let mut choices = Vec::with_capacity(logits.len());
        if sampler.is_greedy() {
            for best in model.argmax(&pass, sampler.mask())? {
                choices.push(Choice::from_argmax(best)?);
                if !goes_on(choices.len() - 1, &choices[choices.len() - 1]) {
                    break;
                }
            }
        } else {
            for (row, logits) in model.forward(&pass)?.chunks_exact(vocabulary).enumerate() {
                let choice = sampler.choose(logits, position + row + 1)?;
                sampler.observe(choice.id);
                choices.push(choice);
                if !goes_on(row, &choices[row]) {
                    break;
                }
            }
        }
        self.tokens.extend_from_slice(tokens);
        Ok(choices)
    }

    /// Counts rows of a pass that was run beside [`Session::choose`].
    pub(super) fn count_rows(&mut self, rows: usize) {
        self.rows += rows;
    }

    /// Forgets every position from `length` on.
    pub(super) fn truncate<M: LanguageModel + ?Sized>(&mut self, model: &mut M, length: usize) {
        self.tokens.truncate(length);
        model.truncate(length);
    }
}
