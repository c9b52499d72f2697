//! One pass over a block: masked rows become tokens.

#![forbid(unsafe_code)]

use super::acceptance::scheduled;
use super::block::Block;
use super::event::Decision;
use super::guide::Guide;
use super::mode::Mode;
use super::plan::DiffusionPlan;
use super::prefix::{self, PrefixRule};
use super::sampler::Sampler;
use super::session::{Rows, Session};
use crate::error::Result;
use crate::model::LanguageModel;
use std::ops::Range;

/// Runs the block, or with the dual cache one sub-block of it, and accepts tokens for masked rows.
///
/// Asks for logits only of the rows that predict those that may be accepted. With shifted logits
/// row 0 of a block is never masked, so they are all in the pass.
pub(super) fn denoise<M: LanguageModel + ?Sized>(
    model: &mut M,
    session: &mut Session,
    sampler: &mut Sampler,
    guide: &mut Guide,
    block: &mut Block,
    mode: Mode,
    plan: &DiffusionPlan,
) -> Result<()> {
    let Some(first) = block.first_masked() else { return Ok(()) };
    let sub_block = first / plan.sub_block;
    let window = match mode {
        Mode::Greedy => 0..plan.block,
        _ => sub_block * plan.sub_block..(sub_block + 1) * plan.sub_block,
    };
    let rows = block.masked_in(window.clone());
    // Not 0 only when a causal session had part of the prompt's tail in its cache.
    let committed = session.tokens().len() - block.start();
    let run = if plan.dual_cache && mode != Mode::Greedy && can_reuse(block, sub_block, &window, plan) {
        window.start.max(committed)..window.end
    } else {
        committed..plan.block
    };
    let shift = usize::from(plan.shift_logits);
    let logits: Vec<usize> = rows.iter().map(|row| row - shift - run.start).collect();
    block.seen(run.clone());
    let pass = block.count_pass(sub_block);
    let threshold = threshold(mode, plan.threshold, pass);
    let share = scheduled(window.len(), plan.steps, pass);
    if guide.is_on() {
        let ids = block.ids()[run.clone()].to_vec();
        let tentative = Rows::tentative(block.start() + run.start, &ids, &logits);
        let logits = session.logits(model, tentative)?;
        return prefix::walk(guide, sampler, block, &rows, logits, PrefixRule::new(plan.acceptance, threshold, share));
    }
    let tentative = Rows::tentative(block.start() + run.start, &block.ids()[run], &logits);
    let choices = session.choose(model, tentative, sampler)?;
    let decisions = plan.acceptance.decide(&rows, &choices, threshold, share);
    for ((&row, choice), decision) in rows.iter().zip(choices).zip(decisions) {
        if let Some(decision) = decision {
            sampler.observe(choice.id);
            block.accept(row, choice, decision);
        }
    }
    Ok(())
}

/// Whether a pass over `window` alone will do, with the keys of the last pass for the other rows.
/// Those of a sub-block's first pass were computed before its left neighbor was full; so were those
/// of its first token with shifted logits, as long as that is masked; and those of tokens that a
/// constraint forced since.
fn can_reuse(block: &Block, sub_block: usize, window: &Range<usize>, plan: &DiffusionPlan) -> bool {
    if block.is_stale(0..window.start) {
        false
    } else if plan.shift_logits {
        block.passes() > 0 && block.first_masked() != Some(window.start)
    } else {
        block.passes_over(sub_block) > 0
    }
}

/// The probability to exceed in the `pass`-th pass (from 1) over a sub-block.
fn threshold(mode: Mode, threshold: f64, pass: u32) -> f64 {
    match (mode, pass) {
        (Mode::Greedy, _) => f64::NEG_INFINITY,
        (Mode::Adaptive, 1) => threshold.min(0.5f64.max(threshold - 0.4)),
        (Mode::Adaptive, 2) => threshold.min(0.7f64.max(threshold - 0.2)),
        _ => threshold,
    }
}

/// Stores the clean keys and values of a full block and begins the next, whose first token this
/// pass predicts.
pub(super) fn commit<M: LanguageModel + ?Sized>(
    model: &mut M,
    session: &mut Session,
    sampler: &mut Sampler,
    guide: &mut Guide,
    block: &Block,
    plan: &DiffusionPlan,
) -> Result<Block> {
    let position = session.tokens().len();
    let tokens = &block.ids()[position - block.start()..];
    let last = [tokens.len() - 1];
    let chooses = plan.shift_logits && guide.forced()?.is_empty();
    let rows = Rows::committed(position, tokens, if chooses { &last[..] } else { &[] });
    let first = session.choose_guided(model, rows, sampler, guide)?;
    let mut next = Block::new(block.index() + 1, block.start() + plan.block, plan.block, &[], plan.mask);
    if let Some(first) = first {
        sampler.observe(first.id);
        guide.take(first.id)?;
        next.accept(0, first, Decision::Forced);
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn adaptive_thresholds_never_exceed_the_last() {
        let steps = |t| [1, 2, 3, 4].map(|pass| (threshold(Mode::Adaptive, t, pass) * 100.0).round() / 100.0);
        assert_eq!(steps(0.9), [0.5, 0.7, 0.9, 0.9]);
        assert_eq!(steps(1.0), [0.6, 0.8, 1.0, 1.0]);
        assert_eq!(steps(0.6), [0.5, 0.6, 0.6, 0.6]);
        assert_eq!(steps(0.3), [0.3, 0.3, 0.3, 0.3]);
        assert_eq!(threshold(Mode::Iterative, 0.9, 1), 0.9);
    }
}
