//! Which of the tokens that a pass proposes are accepted.
//!
//! A pass over a block proposes a token for every masked row, with its probability: its confidence.
//! A rule accepts some of them, at least one. Accepting more means fewer passes; accepting tokens
//! that depend on each other in one pass means errors, because a pass chooses every row as if the
//! others were still unknown.

#![forbid(unsafe_code)]

use super::event::Decision;
use super::mode::Acceptance;
use super::sampler::Choice;

/// How far from a row that exceeds the threshold [`Acceptance::Local`] trusts its neighbors.
const LOCAL_RADIUS: usize = 4;

impl Acceptance {
    /// How much less confidence [`Acceptance::Local`] asks of neighbors.
    pub(super) const LOCAL_DISCOUNT: f64 = 0.15;

    /// Decides about the masked `rows`, in ascending order, for which a pass proposes `choices`.
    /// `scheduled` is the schedule's share of this pass, at least 1.
    pub(super) fn decide(
        self,
        rows: &[usize],
        choices: &[Choice],
        threshold: f64,
        scheduled: usize,
    ) -> Vec<Option<Decision>> {
        let exceeds = |choice: &Choice| choice.probability > threshold;
        let mut decisions: Vec<Option<Decision>> = match self {
            Self::Threshold => choices.iter().map(|choice| exceeds(choice).then_some(Decision::Accepted)).collect(),
            Self::Dynamic => {
                let enough = choices.iter().filter(|choice| exceeds(choice)).count() >= scheduled;
                let accepts = |choice: &Choice| (enough && exceeds(choice)).then_some(Decision::Accepted);
                choices.iter().map(accepts).collect()
            }
            Self::Static => vec![None; choices.len()],
            Self::Product => {
                let mut product = 1.0;
                let mut decisions = vec![None; choices.len()];
                for index in by_confidence(choices) {
                    product *= choices[index].probability;
                    if product <= threshold {
                        break;
                    }
                    decisions[index] = Some(Decision::Accepted);
                }
                decisions
            }
            Self::Local => {
                let near = |row: usize| {
                    let anchors = rows.iter().zip(choices).filter(|(_, choice)| exceeds(choice));
                    anchors.into_iter().any(|(anchor, _)| anchor.abs_diff(row) <= LOCAL_RADIUS)
                };
                let accepts = |(&row, choice): (&usize, &Choice)| {
                    exceeds(choice) || choice.probability > threshold - Self::LOCAL_DISCOUNT && near(row)
                };
                rows.iter().zip(choices).map(|pair| accepts(pair).then_some(Decision::Accepted)).collect()
            }
            Self::Entropy => {
                let mut order: Vec<usize> = (0..choices.len()).collect();
                order.sort_by(|&a, &b| choices[a].entropy.total_cmp(&choices[b].entropy));
                let (mut sum, mut decisions) = (0.0, vec![None; choices.len()]);
                for index in order {
                    if sum > threshold {
                        break;
                    }
                    decisions[index] = Some(Decision::Accepted);
                    sum += choices[index].entropy;
                }
                decisions
            }
        };
        if decisions.iter().all(Option::is_none) {
            let forced = if self.has_schedule() { scheduled } else { 1 };
            for index in by_confidence(choices).into_iter().take(forced) {
                decisions[index] = Some(Decision::Forced);
            }
        }
        decisions
    }
}

/// Indices of `choices`, the most confident first; of equals the first row first.
fn by_confidence(choices: &[Choice]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..choices.len()).collect();
    order.sort_by(|&a, &b| choices[b].probability.total_cmp(&choices[a].probability));
    order
}

/// The tokens that a schedule of `steps` passes over `size` rows accepts in its `pass`-th pass
/// (from 1): equal shares, the larger ones first.
pub(super) fn scheduled(size: usize, steps: usize, pass: u32) -> usize {
    size / steps + usize::from((pass as usize) <= size % steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    /// Which rows are accepted (`a`), forced (`f`) or left (`.`).
    fn decide(rule: Acceptance, confidences: &[f64], threshold: f64, scheduled: usize) -> String {
        let rows: Vec<usize> = (0..confidences.len()).collect();
        // The entropy of one token and one other.
        let entropy = |p: f64| if p < 1.0 { -p * p.ln() - (1.0 - p) * (1.0 - p).ln() } else { 0.0 };
        let choice = |&probability| Choice { id: 5, probability, entropy: entropy(probability), logprobs: None };
        let choices: Vec<Choice> = confidences.iter().map(choice).collect();
        let letter = |decision| match decision {
            Some(Decision::Accepted) => 'a',
            Some(_) => 'f',
            None => '.',
        };
        rule.decide(&rows, &choices, threshold, scheduled).into_iter().map(letter).collect()
    }

    #[test]
    fn threshold_accepts_what_exceeds_it_or_forces_the_first_of_the_best() {
        let rule = Acceptance::Threshold;
        assert_eq!(decide(rule, &[0.95, 0.9, 0.2, 0.91], 0.9, 1), "a..a");
        assert_eq!(decide(rule, &[0.3, 0.9, 0.9], 0.9, 1), ".f.");
        assert_eq!(decide(rule, &[0.3, 0.2], f64::NEG_INFINITY, 1), "aa");
    }

    #[test]
    fn dynamic_falls_back_to_the_schedule() {
        let rule = Acceptance::Dynamic;
        assert_eq!(decide(rule, &[0.95, 0.5, 0.2, 0.91], 0.9, 2), "a..a");
        assert_eq!(decide(rule, &[0.95, 0.5, 0.2, 0.91], 0.9, 1), "a..a");
        assert_eq!(decide(rule, &[0.95, 0.5, 0.2, 0.91], 0.9, 3), "ff.f");
        assert_eq!(decide(rule, &[0.95, 0.5], 0.9, 7), "ff", "no more than there are masks");
    }

    #[test]
    fn static_ignores_the_threshold() {
        assert_eq!(decide(Acceptance::Static, &[0.95, 0.5, 0.2, 0.91], 0.1, 2), "f..f");
    }

    #[test]
    fn product_bounds_the_joint_confidence() {
        let rule = Acceptance::Product;
        assert_eq!(decide(rule, &[0.9, 0.99, 0.98, 0.5], 0.8, 1), "aaa.");
        assert_eq!(decide(rule, &[0.9, 0.99, 0.98, 0.5], 0.9, 1), ".aa.");
        assert_eq!(decide(rule, &[0.5, 0.6], 0.9, 1), ".f");
    }

    #[test]
    fn local_trusts_rows_near_an_anchor() {
        let rule = Acceptance::Local;
        assert_eq!(decide(rule, &[0.95, 0.8, 0.7, 0.2, 0.76, 0.8], 0.9, 1), "aa..a.");
        assert_eq!(decide(rule, &[0.8, 0.85], 0.9, 1), ".f", "no anchor");
    }

    #[test]
    fn entropy_bounds_what_is_unknown_of_the_rows_before() {
        let rule = Acceptance::Entropy;
        // Entropies: 0, 0.056, 0.199, 0.693.
        assert_eq!(decide(rule, &[0.5, 1.0, 0.99, 0.95], 0.01, 1), ".aa.");
        assert_eq!(decide(rule, &[0.5, 1.0, 0.99, 0.95], 0.1, 1), ".aaa");
        assert_eq!(decide(rule, &[0.5, 1.0, 0.99, 0.95], 0.3, 1), "aaaa");
        assert_eq!(decide(rule, &[0.5, 0.6], 0.1, 1), ".a", "the least uncertain row always");
    }

    #[test]
    fn a_schedule_has_equal_shares_and_no_empty_pass() {
        for (size, steps, expected) in
            [(4, 4, &[1, 1, 1, 1][..]), (32, 5, &[7, 7, 6, 6, 6]), (4, 1, &[4]), (5, 4, &[2, 1, 1, 1])]
        {
            let shares: Vec<usize> = (1..=steps as u32).map(|pass| scheduled(size, steps, pass)).collect();
            assert_eq!(shares, expected);
        }
    }
}
