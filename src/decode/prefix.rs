//! A pass over a block under a constraint: from the first open position to the right.
//!
//! A mask is exact only where everything before it is decided. The walk therefore takes the rows of
//! the sub-block in order: it masks the logits of the first open one, chooses, and goes on as long
//! as the rule of acceptance, read from left to right, takes what was chosen; the first is always
//! taken. Confidence is that of the masked softmax. Text that the language forces fills rows
//! without a pass, in other sub-blocks too.

#![forbid(unsafe_code)]

use super::block::Block;
use super::event::Decision;
use super::guide::Guide;
use super::mode::Acceptance;
use super::sampler::{Choice, Sampler};
use crate::error::Result;

/// A rule of acceptance from left to right.
#[derive(Clone, Copy, Debug)]
pub(super) struct PrefixRule {
    rule: Acceptance,
    threshold: f64,
    /// The schedule's share of the pass.
    scheduled: usize,
    taken: usize,
    /// Product of the confidences, or sum of the entropies, of what was taken.
    measure: f64,
    /// Whether a neighbor on the left exceeded the threshold.
    anchored: bool,
}

impl PrefixRule {
    pub(super) fn new(rule: Acceptance, threshold: f64, scheduled: usize) -> Self {
        let measure = if rule == Acceptance::Product { 1.0 } else { 0.0 };
        Self { rule, threshold, scheduled, taken: 0, measure, anchored: false }
    }

    /// Decides about the next row; `None` ends the pass.
    fn decide(&mut self, choice: &Choice) -> Option<Decision> {
        let exceeds = choice.probability > self.threshold;
        let accepted = match self.rule {
            Acceptance::Threshold | Acceptance::Dynamic => exceeds,
            Acceptance::Static => false,
            Acceptance::Product => {
                self.measure *= choice.probability;
                self.measure > self.threshold
            }
            Acceptance::Local => {
                exceeds || self.anchored && choice.probability > self.threshold - Acceptance::LOCAL_DISCOUNT
            }
            Acceptance::Entropy => {
                let enough = self.measure <= self.threshold;
                self.measure += choice.entropy;
                enough
            }
        };
        self.anchored |= exceeds;
        let least = if self.rule.has_schedule() { self.scheduled } else { 1 };
        let forced = self.taken < least;
        self.taken += 1;
        accepted.then_some(Decision::Accepted).or(forced.then_some(Decision::Forced))
    }
}

/// Puts forced tokens into the first open rows, as far as the block goes.
pub(super) fn fill(guide: &mut Guide, sampler: &mut Sampler, block: &mut Block) -> Result<()> {
    while guide.is_on() && block.first_masked().is_some() {
        let forced = guide.forced()?;
        if forced.is_empty() {
            break;
        }
        for id in forced {
            let Some(row) = block.first_masked() else { break };
            block.accept(row, sampler.certain(id), Decision::Constraint);
            sampler.observe(id);
            guide.take_forced(id)?;
        }
    }
    Ok(())
}

/// Chooses tokens for `rows`, the open ones of a window, from their `logits`.
pub(super) fn walk<'a>(
    guide: &mut Guide,
    sampler: &mut Sampler,
    block: &mut Block,
    rows: &[usize],
    logits: impl Iterator<Item = &'a [f32]>,
    mut rule: PrefixRule,
) -> Result<()> {
    for (&row, logits) in rows.iter().zip(logits) {
        if block.known(row).is_some() {
            continue;
        }
        if !guide.goes_on()? {
            break;
        }
        let choice = sampler.choose_allowed(logits, block.start() + row, guide.mask()?)?;
        let Some(decision) = rule.decide(&choice) else { break };
        let id = choice.id;
        sampler.observe(id);
        block.accept(row, choice, decision);
        guide.take(id)?;
        fill(guide, sampler, block)?;
    }
    Ok(())
}
