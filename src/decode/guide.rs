//! The constraint of a run beside the run: what it allows where the known tokens end, and the way
//! out of it when room runs out.
//!
//! Whatever is in the guide is decided: a run tells it every token in order, and asks for the mask
//! of the position behind them. Text that the language leaves no choice about is [`Guide::forced`]
//! and costs no pass.
//!
//! An answer that does not end by itself would be cut by `max_tokens` somewhere inside. Shortly
//! before, the guide therefore forces the shortest way out that the constraint knows. It looks for
//! one when a quarter of what was left over at the last look has been used.

#![forbid(unsafe_code)]

use super::constraint::{Constraint, TokenSet};
use crate::error::Result;
use std::collections::VecDeque;

/// See the module documentation. Without a constraint it allows everything.
#[derive(Clone, Debug)]
pub(super) struct Guide {
    constraint: Option<Box<dyn Constraint>>,
    stop_ids: Vec<u32>,
    /// Tokens that were decided.
    taken: usize,
    /// Tokens that may still be made.
    room: usize,
    /// The room at which to look for a way out.
    look_at: usize,
    /// The rest of the way out, once it is taken.
    way_out: VecDeque<u32>,
    /// Tokens of the way out that were taken.
    pub(super) hurried: usize,
    /// Tokens that were forced by the language.
    pub(super) forced: usize,
    /// What may come next, if that is known.
    mask: Option<TokenSet>,
    /// A stop token was taken.
    ended: bool,
}

impl Guide {
    /// A guide for a run of `room` tokens that `stop_ids` end.
    pub(super) fn new(constraint: Option<Box<dyn Constraint>>, stop_ids: &[u32], room: usize) -> Self {
        Self {
            constraint,
            stop_ids: stop_ids.to_vec(),
            taken: 0,
            room,
            look_at: room,
            way_out: VecDeque::new(),
            hurried: 0,
            forced: 0,
            mask: None,
            ended: false,
        }
    }

    /// Whether there is a constraint.
    pub(super) fn is_on(&self) -> bool {
        self.constraint.is_some()
    }

    /// The tokens that it was told of; none without a constraint.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// What may come next, stop tokens included. Empty when the answer is over or, which is an
    /// error then, the vocabulary cannot express what must come.
    pub(super) fn mask(&mut self) -> Result<&TokenSet> {
        if self.mask.is_none() {
            let mut mask = TokenSet::default();
            if let Some(constraint) = self.constraint.as_mut().filter(|_| !self.ended) {
                mask = constraint.mask()?;
                if constraint.is_accepting()? {
                    self.stop_ids.iter().for_each(|&id| mask.insert(id));
                } else if mask.is_empty() {
                    bail!(
                        BadOption,
                        "the response format asks for a character that the model's vocabulary cannot write: use another format"
                    );
                }
            }
            self.mask = Some(mask);
        }
        Ok(self.mask.get_or_insert_default())
    }

    /// Whether the answer is complete and nothing may follow, or it was hurried here.
    pub(super) fn is_over(&mut self) -> Result<bool> {
        let Some(constraint) = self.constraint.as_mut() else { return Ok(false) };
        if self.ended {
            return Ok(true);
        }
        if !constraint.is_accepting()? || !self.way_out.is_empty() {
            return Ok(false);
        }
        if self.hurried > 0 {
            return Ok(true);
        }
        let stops: TokenSet = self.stop_ids.iter().copied().collect();
        let mask = self.mask()?;
        Ok(mask.words().iter().enumerate().all(|(i, &word)| word & !stops.words().get(i).copied().unwrap_or(0) == 0))
    }

    /// The tokens that come next whatever the model says.
    pub(super) fn forced(&mut self) -> Result<Vec<u32>> {
        let Some(constraint) = self.constraint.as_mut().filter(|_| !self.ended && self.room > 0) else {
            return Ok(Vec::new());
        };
        if !self.way_out.is_empty() {
            return Ok(self.way_out.iter().copied().collect());
        }
        let forced = constraint.forced()?;
        if !forced.is_empty() {
            return Ok(forced);
        }
        if self.room <= self.look_at && !constraint.is_accepting()? {
            let found = constraint.way_out(self.room)?.unwrap_or_default();
            let left_over = self.room.saturating_sub(found.len());
            if left_over <= 1 {
                self.way_out.extend(found);
            } else {
                self.look_at = self.room - left_over.div_ceil(4);
            }
        }
        Ok(self.way_out.iter().copied().collect())
    }

    /// Whether another token can be decided.
    pub(super) fn goes_on(&mut self) -> Result<bool> {
        Ok(self.room > 0 && !self.is_over()?)
    }

    /// Goes on by a token that was decided.
    pub(super) fn take(&mut self, token: u32) -> Result<()> {
        let Some(constraint) = self.constraint.as_mut() else { return Ok(()) };
        self.mask = None;
        self.taken += 1;
        self.room = self.room.saturating_sub(1);
        if self.stop_ids.contains(&token) {
            self.ended = true;
            return Ok(());
        }
        if self.way_out.front() == Some(&token) {
            self.way_out.pop_front();
            self.hurried += 1;
        }
        constraint.advance(token)
    }

    /// Goes on by a token that [`Guide::forced`] gave.
    pub(super) fn take_forced(&mut self, token: u32) -> Result<()> {
        if self.way_out.is_empty() {
            self.forced += 1;
        }
        self.take(token)
    }
}
