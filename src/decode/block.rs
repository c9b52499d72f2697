//! A block while it is being filled.

#![forbid(unsafe_code)]

use super::event::{BlockToken, Decision, Event};
use super::logprobs::Logprobs;
use super::sampler::Choice;
use crate::tokenizer::TokenText;
use std::ops::Range;

/// B positions, each with a token or masked. Rows are counted from the block's start.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Number of the block in the run.
    index: usize,
    /// Position of row 0.
    start: usize,
    /// Tokens; the mask token where masked.
    ids: Vec<u32>,
    /// Whether a row is masked. Not read off `ids`: a prompt may contain the mask token.
    masked: Vec<bool>,
    /// Probability and pass of the choice; 1 and 0 in the prompt, 0 and 0 while masked.
    chosen: Vec<(f64, u32)>,
    /// Why each row has its token; nothing in the prompt and while masked.
    decisions: Vec<Option<Decision>>,
    /// What the model thought of the choice, where that was asked for.
    logprobs: Vec<Option<Box<Logprobs>>>,
    /// Rows whose token came after the last pass over them, which saw a mask there.
    fresh: Vec<bool>,
    /// Passes over this block.
    passes: u32,
    /// The sub-block of the last pass, and how many passes went over it.
    sub_block: (usize, u32),
}

impl Block {
    /// A block at `start` whose first tokens are `known` (at most `size`).
    pub(super) fn new(index: usize, start: usize, size: usize, known: &[u32], mask: u32) -> Self {
        let mut block = Self {
            index,
            start,
            ids: known.to_vec(),
            masked: vec![false; known.len()],
            chosen: vec![(1.0, 0); known.len()],
            decisions: vec![None; size],
            logprobs: vec![None; size],
            fresh: vec![false; size],
            passes: 0,
            sub_block: (0, 0),
        };
        block.ids.resize(size, mask);
        block.masked.resize(size, true);
        block.chosen.resize(size, (0.0, 0));
        block
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn start(&self) -> usize {
        self.start
    }

    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The token of `row`, if it has one.
    pub(super) fn known(&self, row: usize) -> Option<u32> {
        (self.masked.get(row) == Some(&false)).then(|| self.ids[row])
    }

    /// What the model thought of the token of `row`.
    pub(super) fn logprobs(&self, row: usize) -> Option<&Logprobs> {
        self.logprobs.get(row)?.as_deref()
    }

    /// The first masked row.
    pub(super) fn first_masked(&self) -> Option<usize> {
        self.masked.iter().position(|&masked| masked)
    }

    /// The masked rows of `range`.
    pub(super) fn masked_in(&self, range: Range<usize>) -> Vec<usize> {
        range.filter(|&row| self.masked[row]).collect()
    }

    /// Passes over this block so far.
    pub(super) fn passes(&self) -> u32 {
        self.passes
    }

    /// Passes over `sub_block`, if it is that of the last pass.
    pub(super) fn passes_over(&self, sub_block: usize) -> u32 {
        if self.sub_block.0 == sub_block { self.sub_block.1 } else { 0 }
    }

    /// Whether a row of `range` got its token after the last pass over it.
    pub(super) fn is_stale(&self, range: Range<usize>) -> bool {
        self.fresh[range].contains(&true)
    }

    /// Notes that a pass ran the rows of `range`.
    pub(super) fn seen(&mut self, range: Range<usize>) {
        self.fresh[range].fill(false);
    }

    /// Counts a pass; returns its number within the passes over `sub_block`, from 1.
    pub(super) fn count_pass(&mut self, sub_block: usize) -> u32 {
        self.passes += 1;
        if self.sub_block.0 != sub_block {
            self.sub_block = (sub_block, 0);
        }
        self.sub_block.1 += 1;
        self.sub_block.1
    }

    /// Puts a token into `row`.
    pub(super) fn accept(&mut self, row: usize, choice: Choice, decision: Decision) {
        self.ids[row] = choice.id;
        self.masked[row] = false;
        self.fresh[row] = true;
        self.chosen[row] = (choice.probability, self.passes);
        self.decisions[row] = Some(decision);
        self.logprobs[row] = choice.logprobs;
    }

    /// The event that shows the rows within `positions`.
    pub(super) fn event<T: TokenText + ?Sized>(&self, positions: &Range<usize>, text: &T) -> Event {
        let start = self.start.max(positions.start);
        let end = (self.start + self.ids.len()).min(positions.end);
        let token = |position: usize| {
            let row = position - self.start;
            let (confidence, pass) = self.chosen[row];
            let id = self.ids[row];
            BlockToken {
                id,
                text: text.token_label(id),
                masked: self.masked[row],
                confidence,
                pass,
                decision: self.decisions[row],
            }
        };
        Event::Block { index: self.index, start, tokens: (start..end).map(token).collect() }
    }
}
