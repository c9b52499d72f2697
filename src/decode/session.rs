//! What is in a model's cache from one run to the next.
//!
//! A chat turn repeats all earlier turns in its prompt. The keys and values of the part that both
//! share are still in the cache, provided that they were computed under the same attention: under
//! causal attention they depend on the tokens up to their own position, under block attention on
//! those up to the end of their block.

#![forbid(unsafe_code)]

use super::guide::Guide;
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

    /// Runs `rows` and gives the logits of those that are asked for; remembers committed tokens.
    pub(super) fn logits<'m, M: LanguageModel + ?Sized>(
        &mut self,
        model: &'m mut M,
        rows: Rows<'_>,
    ) -> Result<impl Iterator<Item = &'m [f32]> + use<'m, M>> {
        let Rows { position, tokens, commit, logits } = rows;
        let attention = self.attention.unwrap_or(Attention::Causal);
        let vocabulary = model.vocab_size();
        self.rows += tokens.len();
        let logits = model.forward(&Pass { tokens, position, attention, commit, logits })?;
        if commit {
            self.tokens.extend_from_slice(tokens);
        }
        Ok(logits.chunks_exact(vocabulary))
    }

    /// Runs `rows`, of which at most one is asked for, and chooses what follows it among what
    /// `guide` allows; it is not told of the choice.
    pub(super) fn choose_guided<M: LanguageModel + ?Sized>(
        &mut self,
        model: &mut M,
        rows: Rows<'_>,
        sampler: &mut Sampler,
        guide: &mut Guide,
    ) -> Result<Option<Choice>> {
        if !guide.is_on() {
            return Ok(self.choose(model, rows, sampler)?.pop());
        }
        let position = rows.position + rows.tokens.len();
        let mut logits = self.logits(model, rows)?;
        logits.next().map(|logits| sampler.choose_allowed(logits, position, guide.mask()?)).transpose()
    }

    /// Runs committed `rows` and chooses what follows each of those whose logits are asked for,
    /// among what `guide` allows, as long as that is what was `drafted`; sampler and guide are told
    /// of each before the next.
    pub(super) fn choose_while<M: LanguageModel + ?Sized>(
        &mut self,
        model: &mut M,
        rows: Rows<'_>,
        sampler: &mut Sampler,
        guide: &mut Guide,
        drafted: &[u32],
    ) -> Result<Vec<Choice>> {
        let Rows { position, tokens, commit, logits } = rows;
        let attention = self.attention.unwrap_or(Attention::Causal);
        let pass = Pass { tokens, position, attention, commit, logits };
        let vocabulary = model.vocab_size();
        self.rows += tokens.len();
        let mut choices = Vec::with_capacity(logits.len());
        let is_right = |index: usize, choice: &Choice| drafted.get(index) == Some(&choice.id);
        if sampler.is_greedy() && !guide.is_on() {
            for best in model.argmax(&pass, sampler.mask())? {
                choices.push(Choice::from_argmax(best)?);
                if !is_right(choices.len() - 1, &choices[choices.len() - 1]) {
                    break;
                }
            }
        } else {
            for (index, (logits, row)) in model.forward(&pass)?.chunks_exact(vocabulary).zip(logits).enumerate() {
                let position = position + row + 1;
                if guide.is_over()? {
                    break;
                }
                let forced = guide.forced()?.first().copied();
                let choice = match forced {
                    Some(id) => sampler.certain(id),
                    None if guide.is_on() => sampler.choose_allowed(logits, position, guide.mask()?)?,
                    None => sampler.choose(logits, position)?,
                };
                sampler.observe(choice.id);
                match forced {
                    Some(id) => guide.take_forced(id)?,
                    None => guide.take(choice.id)?,
                }
                choices.push(choice);
                if !is_right(index, &choices[index]) {
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
