//! What changes logits before a token is chosen: penalties for tokens that occurred, and the
//! caller's bias.

#![forbid(unsafe_code)]

use super::options::Options;
use std::collections::{BTreeMap, BTreeSet};

/// Changes logits by what the sequence holds so far.
#[derive(Clone, Debug)]
pub(super) struct Penalties {
    repetition: f64,
    presence: f64,
    frequency: f64,
    bias: BTreeMap<u32, f64>,
    /// Every token in the sequence, the prompt included; empty without a repetition penalty.
    seen: BTreeSet<u32>,
    /// How often each token was generated; empty without presence and frequency penalty.
    generated: BTreeMap<u32, u32>,
}

impl Penalties {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            repetition: options.repetition_penalty,
            presence: options.presence_penalty,
            frequency: options.frequency_penalty,
            bias: options.logit_bias.clone(),
            seen: BTreeSet::new(),
            generated: BTreeMap::new(),
        }
    }

    /// Whether logits never change.
    pub(super) fn are_off(&self) -> bool {
        self.repetition == 1.0 && self.presence == 0.0 && self.frequency == 0.0 && self.bias.is_empty()
    }

    /// Notes that `tokens` are in the prompt, which only the repetition penalty counts.
    pub(super) fn observe_prompt(&mut self, tokens: &[u32]) {
        if self.repetition != 1.0 {
            self.seen.extend(tokens);
        }
    }

    /// Notes that `token` was generated.
    pub(super) fn observe(&mut self, token: u32) {
        self.observe_prompt(&[token]);
        if self.presence != 0.0 || self.frequency != 0.0 {
            *self.generated.entry(token).or_default() += 1;
        }
    }

    /// Changes the logits of a row, one for each token of the vocabulary.
    pub(super) fn apply(&self, row: &mut [f64]) {
        for &id in &self.seen {
            if let Some(l) = row.get_mut(id as usize) {
                // Keskar et al., arXiv:1909.05858, with the sign rule that everyone uses.
                *l = if *l > 0.0 { *l / self.repetition } else { *l * self.repetition };
            }
        }
        for (&id, &count) in &self.generated {
            if let Some(l) = row.get_mut(id as usize) {
                *l -= self.presence + self.frequency * f64::from(count);
            }
        }
        for (&id, &bias) in &self.bias {
            if let Some(l) = row.get_mut(id as usize) {
                *l += bias;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    fn applied(change: impl FnOnce(&mut Options)) -> Vec<f64> {
        let mut options = Options::default();
        change(&mut options);
        let mut penalties = Penalties::new(&options);
        penalties.observe_prompt(&[0, 99]);
        [1, 1, 2].into_iter().for_each(|token| penalties.observe(token));
        let mut row = vec![4.0, 4.0, -4.0, 4.0];
        penalties.apply(&mut row);
        row
    }

    #[test]
    fn repetition_counts_the_prompt_and_lowers_either_sign() {
        assert_eq!(applied(|options| options.repetition_penalty = 2.0), [2.0, 2.0, -8.0, 4.0]);
    }

    #[test]
    fn presence_counts_generated_tokens_once_and_frequency_every_time() {
        assert_eq!(applied(|options| options.presence_penalty = 0.5), [4.0, 3.5, -4.5, 4.0]);
        assert_eq!(applied(|options| options.frequency_penalty = 0.5), [4.0, 3.0, -4.5, 4.0]);
        assert_eq!(applied(|options| options.frequency_penalty = -1.0), [4.0, 6.0, -3.0, 4.0]);
    }

    #[test]
    fn bias_is_added_last_and_beyond_the_vocabulary_ignored() {
        assert_eq!(applied(|options| options.logit_bias = [(3, -100.0), (7, 1.0)].into()), [4.0, 4.0, -4.0, -96.0]);
        assert!(Penalties::new(&Options::default()).are_off());
    }
}
