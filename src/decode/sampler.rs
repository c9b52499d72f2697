//! From one row of logits to one token and the probability it was chosen with.
//!
//! In order: the mask token is removed, penalties and bias applied (`penalties`), and then
//!
//! - temperature 0: the best token (the lowest id of equals);
//! - otherwise: softmax of logits / temperature, top-k, top-p (the token that crosses p stays),
//!   min-p (relative to the best), and a draw from what is left.
//!
//! The probability is that of the softmax over all tokens but the mask token, at temperature (at 1
//! for temperature 0), whatever the filters leave out: the confidence that block diffusion compares
//! with its threshold.
//!
//! Sums run in `f64`. Tokens more than [`NEGLIGIBLE`] below the best are skipped: 2^20 of them
//! change the sum by less than its rounding.

#![forbid(unsafe_code)]

use super::constraint::TokenSet;
use super::logprobs::Logprobs;
use super::options::Options;
use super::penalties::Penalties;
use crate::error::Result;
use crate::model::Argmax;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// exp(-52) < 2^-53 * 2^-20.
const NEGLIGIBLE: f64 = -52.0;

/// A token and the probability it was chosen with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Choice {
    pub(crate) id: u32,
    pub(crate) probability: f64,
    /// Entropy of the distribution in nats; 0 unless [`Sampler::with_entropy`].
    pub(crate) entropy: f64,
    /// What the model thought of it and of others, where that was asked for.
    pub(crate) logprobs: Option<Box<Logprobs>>,
}

impl Choice {
    /// The likeliest token.
    ///
    /// # Errors
    ///
    /// `malformed` when there was none to choose.
    pub(crate) fn from_argmax(best: Argmax) -> Result<Self> {
        if best.probability.is_infinite() {
            bail!(Malformed, "the vocabulary has no token besides the mask token");
        }
        Ok(Self { id: best.token, probability: best.probability, entropy: 0.0, logprobs: None })
    }
}

/// Chooses tokens. One draw of random numbers per row when the temperature is above 0, none at 0.
#[derive(Clone, Debug)]
pub(crate) struct Sampler {
    temperature: f64,
    top_k: usize,
    top_p: f64,
    min_p: f64,
    penalties: Penalties,
    /// Alternatives to report with each token.
    logprobs: Option<usize>,
    mask: Option<u32>,
    entropy: bool,
    rng: Pcg64,
    /// The row without the mask token, then with penalties.
    row: Vec<f64>,
    /// Token and weight, where the best token weighs 1.
    candidates: Vec<(u32, f64)>,
}

impl Sampler {
    /// `mask` is never chosen. `options` must be valid.
    pub(crate) fn new(options: &Options, mask: Option<u32>) -> Self {
        Self {
            temperature: options.temperature,
            top_k: options.top_k,
            top_p: options.top_p,
            min_p: options.min_p,
            penalties: Penalties::new(options),
            logprobs: options.logprobs,
            mask,
            entropy: false,
            rng: Pcg64::seed_from_u64(options.seed),
            row: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// The same sampler, which also measures the entropy of every row.
    pub(crate) fn with_entropy(self, entropy: bool) -> Self {
        Self { entropy, ..self }
    }

    /// Whether the likeliest token is always chosen, for which the logits themselves are not
    /// needed.
    pub(crate) fn is_greedy(&self) -> bool {
        self.temperature == 0.0 && self.penalties.are_off() && self.logprobs.is_none() && !self.entropy
    }

    /// The token that is never chosen.
    pub(crate) fn mask(&self) -> Option<u32> {
        self.mask
    }

    /// Notes that `tokens` are in the prompt.
    pub(crate) fn observe_prompt(&mut self, tokens: &[u32]) {
        self.penalties.observe_prompt(tokens);
    }

    /// Notes that `token` was generated.
    pub(crate) fn observe(&mut self, token: u32) {
        self.penalties.observe(token);
    }

    /// Chooses the token of `position` from its `logits`.
    ///
    /// # Errors
    ///
    /// `malformed` when a logit is NaN or infinite: the weights are damaged, or were read as the
    /// wrong type.
    pub(crate) fn choose(&mut self, logits: &[f32], position: usize) -> Result<Choice> {
        self.read(logits, position)?;
        let logprobs = self.logprobs.map(|count| Logprobs::of(&self.row, count));
        self.finish(logits, logprobs)
    }

    /// Penalties, and a choice from what `row` is then.
    fn finish(&mut self, logits: &[f32], logprobs: Option<(Logprobs, f64)>) -> Result<Choice> {
        self.penalties.apply(&mut self.row);
        let choice = self.choose_from_row()?;
        let logprobs = logprobs.map(|(found, normalizer)| {
            let chosen = f64::from(logits[choice.id as usize]) - normalizer;
            Box::new(Logprobs { chosen, ..found })
        });
        Ok(Choice { logprobs, ..choice })
    }

    /// [`Sampler::choose`] among the tokens of `allowed`, of which there must be one. The
    /// probability is that among them; logprobs are the model's own.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn choose_allowed(&mut self, logits: &[f32], position: usize, allowed: &TokenSet) -> Result<Choice> {
        self.read(logits, position)?;
        let logprobs = self.logprobs.map(|count| Logprobs::of(&self.row, count));
        for (id, l) in (0u32..).zip(&mut self.row) {
            if !allowed.contains(id) {
                *l = f64::NEG_INFINITY;
            }
        }
        self.finish(logits, logprobs)
    }

    /// The choice of a token that nothing but it may be.
    pub(crate) fn certain(&self, id: u32) -> Choice {
        let logprobs = self.logprobs.map(|_| Box::new(Logprobs { chosen: 0.0, top: Vec::new() }));
        Choice { id, probability: 1.0, entropy: 0.0, logprobs }
    }

    /// The logarithm of the sum over the exponentials of a row, without the mask token.
    ///
    /// # Errors
    ///
    /// As [`Sampler::choose`].
    pub(crate) fn normalizer(&mut self, logits: &[f32], position: usize) -> Result<f64> {
        self.read(logits, position)?;
        Ok(Logprobs::of(&self.row, 0).1)
    }

    /// Fills `row`.
    fn read(&mut self, logits: &[f32], position: usize) -> Result<()> {
        self.row.clear();
        self.row.extend(logits.iter().map(|&l| f64::from(l)));
        if let Some(id) = self.row.iter().position(|l| !l.is_finite()) {
            bail!(
                Malformed,
                "the logit of token {id} for position {position} is {}: the model's weights are damaged or of another type \
                 than the file says",
                logits[id]
            );
        }
        if let Some(l) = self.mask.and_then(|mask| self.row.get_mut(mask as usize)) {
            *l = f64::NEG_INFINITY;
        }
        Ok(())
    }

    fn choose_from_row(&mut self) -> Result<Choice> {
        let mut best = 0;
        for (id, &l) in self.row.iter().enumerate() {
            if l > self.row[best] {
                best = id;
            }
        }
        let top = self.row.get(best).copied().unwrap_or(f64::NEG_INFINITY);
        if top == f64::NEG_INFINITY {
            bail!(Malformed, "the vocabulary has no token besides the mask token");
        }
        let scale = if self.temperature > 0.0 { self.temperature } else { 1.0 };
        let weights = (0u32..).zip(&self.row).map(|(id, &l)| (id, (l - top) / scale)).filter(|&(_, d)| d > NEGLIGIBLE);
        let entropy = if self.entropy { entropy(weights.clone().map(|(_, d)| d)) } else { 0.0 };
        if self.temperature > 0.0 {
            self.candidates.clear();
            self.candidates.extend(weights.map(|(id, d)| (id, d.exp())));
            let total = self.total();
            self.filter();
            let (id, weight) = self.draw();
            Ok(Choice { id, probability: weight / total, entropy, logprobs: None })
        } else {
            let probability = 1.0 / weights.map(|(_, d)| d.exp()).sum::<f64>();
            Ok(Choice { id: best as u32, probability, entropy, logprobs: None })
        }
    }

    /// Top-k, top-p, min-p: drops candidates.
    fn filter(&mut self) {
        let best_first = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if (1..self.candidates.len()).contains(&self.top_k) {
            self.candidates.select_nth_unstable_by(self.top_k - 1, best_first);
            self.candidates.truncate(self.top_k);
        }
        // Ascending ids unless sorted below: the order of the draw is the same on every machine.
        self.candidates.sort_unstable_by_key(|c| c.0);
        if self.top_p < 1.0 {
            self.candidates.sort_unstable_by(best_first);
            let enough = self.top_p * self.total();
            let mut mass = 0.0;
            let crossing = self.candidates.iter().position(|c| {
                mass += c.1;
                mass >= enough
            });
            self.candidates.truncate(crossing.map_or(self.candidates.len(), |i| i + 1));
        }
        self.candidates.retain(|c| c.1 >= self.min_p);
    }

    /// A candidate and its weight.
    fn draw(&mut self) -> (u32, f64) {
        let total = self.total();
        let uniform = (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let mut left = uniform * total;
        let mut drawn = self.candidates[0];
        for &candidate in &self.candidates {
            drawn = candidate;
            left -= candidate.1;
            if left < 0.0 {
                break;
            }
        }
        drawn
    }

    fn total(&self) -> f64 {
        self.candidates.iter().map(|c| c.1).sum()
    }
}

/// Entropy in nats of the softmax of `logits`, of which the largest is 0.
fn entropy(logits: impl Iterator<Item = f64>) -> f64 {
    let (mut total, mut energy) = (0.0f64, 0.0);
    for logit in logits {
        let weight = logit.exp();
        total += weight;
        energy += weight * logit;
    }
    total.ln() - energy / total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use crate::testing::test;

    fn sampler(change: impl FnOnce(&mut Options), mask: Option<u32>) -> Sampler {
        let mut options = Options::default();
        change(&mut options);
        Sampler::new(&options, mask)
    }

    /// Logits whose softmax is these probabilities.
    fn logits(probabilities: &[f64]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln() as f32).collect()
    }

    /// How often each token comes in `n` draws, and the probability it came with.
    fn histogram(sampler: &mut Sampler, row: &[f32], n: usize) -> Vec<(f64, f64)> {
        let mut counts = vec![(0.0, 0.0); row.len()];
        for _ in 0..n {
            let choice = sampler.choose(row, 0).unwrap();
            counts[choice.id as usize].0 += 1.0 / n as f64;
            counts[choice.id as usize].1 = choice.probability;
        }
        counts
    }

    fn assert_near(counts: &[(f64, f64)], expected: &[f64]) {
        for (id, (&(share, _), &p)) in counts.iter().zip(expected).enumerate() {
            assert!((share - p).abs() < 0.02, "token {id}: {share} of the draws, expected {p}");
        }
    }

    /// Tokens that came have these probabilities.
    fn assert_confidences(counts: &[(f64, f64)], expected: &[f64]) {
        for (id, (&(share, probability), &p)) in counts.iter().zip(expected).enumerate() {
            assert!(
                share == 0.0 || (probability - p).abs() < 1e-6,
                "token {id}: probability {probability}, expected {p}"
            );
        }
    }

    #[test]
    fn temperature_zero_takes_the_best_with_its_softmax_probability() {
        let choice = sampler(|_| {}, None).choose(&logits(&[0.1, 0.6, 0.3]), 0).unwrap();
        assert_eq!(choice.id, 1);
        assert!((choice.probability - 0.6).abs() < 1e-6);
    }

    #[test]
    fn the_lowest_of_equals_wins() {
        let choice = sampler(|_| {}, None).choose(&[1.0, 2.0, 2.0, 2.0], 0).unwrap();
        assert_eq!(choice.id, 1);
    }

    #[test]
    fn the_mask_token_is_removed_before_the_softmax() {
        let choice = sampler(|_| {}, Some(0)).choose(&logits(&[0.8, 0.15, 0.05]), 0).unwrap();
        assert_eq!(choice.id, 1);
        assert!((choice.probability - 0.75).abs() < 1e-6);
        let counts = histogram(&mut sampler(|o| o.temperature = 1.0, Some(0)), &logits(&[0.8, 0.15, 0.05]), 4000);
        assert_near(&counts, &[0.0, 0.75, 0.25]);
        assert_confidences(&counts, &[0.0, 0.75, 0.25]);
    }

    #[test]
    fn entropy_is_that_of_the_softmax_without_the_mask_token() {
        let row = logits(&[0.8, 0.15, 0.05]);
        let expected = -(0.75f64 * 0.75f64.ln() + 0.25 * 0.25f64.ln());
        for temperature in [0.0, 1.0] {
            let mut sampler = sampler(|o| o.temperature = temperature, Some(0)).with_entropy(true);
            assert!((sampler.choose(&row, 0).unwrap().entropy - expected).abs() < 1e-6);
            assert!(!sampler.is_greedy(), "the entropy needs all logits");
        }
    }

    #[test]
    fn huge_logits_do_not_overflow() {
        let choice = sampler(|_| {}, None).choose(&[3e38, -3e38, 3e38], 0).unwrap();
        assert_eq!(choice, Choice { id: 0, probability: 0.5, entropy: 0.0, logprobs: None });
        let choice = sampler(|o| o.temperature = 1e-300, None).choose(&[1.0, 2.0, 0.0], 0).unwrap();
        assert_eq!(choice, Choice { id: 1, probability: 1.0, entropy: 0.0, logprobs: None });
    }

    #[test]
    fn draws_follow_each_filter() {
        let row = logits(&[0.1, 0.4, 0.2, 0.3]);
        let check = |change: fn(&mut Options), expected: &[f64]| {
            let mut sampler = sampler(
                |o| {
                    o.temperature = 1.0;
                    change(o);
                },
                None,
            );
            let counts = histogram(&mut sampler, &row, 8000);
            assert_near(&counts, expected);
            // Confidence is taken at temperature and before the filters.
            let total: f64 = [0.1f64, 0.4, 0.2, 0.3].map(|p| p.powf(1.0 / sampler.temperature)).iter().sum();
            let confidences = [0.1f64, 0.4, 0.2, 0.3].map(|p| p.powf(1.0 / sampler.temperature) / total);
            assert_confidences(&counts, &confidences);
        };
        check(|_| {}, &[0.1, 0.4, 0.2, 0.3]);
        check(|o| o.top_k = 2, &[0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0]);
        // 0.4 + 0.3 < 0.75: the token that crosses stays.
        check(|o| o.top_p = 0.75, &[0.0, 4.0 / 9.0, 2.0 / 9.0, 3.0 / 9.0]);
        // Of the three that top-k leaves, 0.4 / 0.9 < 0.5.
        check(|o| (o.top_k, o.top_p) = (3, 0.5), &[0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0]);
        check(|o| o.min_p = 0.4, &[0.0, 4.0 / 9.0, 2.0 / 9.0, 3.0 / 9.0]);
        check(|o| o.min_p = 1.0, &[0.0, 1.0, 0.0, 0.0]);
        // p^2, renormalized.
        check(|o| o.temperature = 0.5, &[0.01 / 0.3, 0.16 / 0.3, 0.04 / 0.3, 0.09 / 0.3]);
    }

    #[test]
    fn top_k_of_equals_keeps_the_lowest_ids() {
        let counts = histogram(&mut sampler(|o| (o.temperature, o.top_k) = (1.0, 2), None), &[1.0; 5], 4000);
        assert_near(&counts, &[0.5, 0.5, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_seed_reproduces_and_another_does_not() {
        let draws = |seed| -> Vec<u32> {
            let mut sampler = sampler(|o| (o.temperature, o.seed) = (1.0, seed), None);
            (0..32).map(|_| sampler.choose(&[0.0; 50], 0).unwrap().id).collect()
        };
        assert_eq!(draws(7), draws(7));
        assert_ne!(draws(7), draws(8));
    }

    #[test]
    fn the_penalty_lowers_seen_tokens_of_either_sign() {
        let mut sampler = sampler(|o| o.repetition_penalty = 2.0, None);
        sampler.observe_prompt(&[0, 2, 99]);
        // 4 / 2 < 3 and -1 * 2 < -1.
        assert_eq!(sampler.choose(&[4.0, 3.0, 0.0], 0).unwrap().id, 1);
        assert_eq!(sampler.choose(&[-9.0, -1.5, -1.0], 0).unwrap().id, 1);
    }

    #[test]
    fn logprobs_are_the_models_own() {
        let row = logits(&[0.5, 0.2, 0.3]);
        let mut sampler = sampler(
            |o| {
                (o.logprobs, o.temperature, o.top_k) = (Some(2), 0.5, 1);
                o.logit_bias = [(1, 100.0)].into();
            },
            Some(0),
        );
        let choice = sampler.choose(&row, 0).unwrap();
        assert_eq!((choice.id, choice.probability), (1, 1.0));
        let logprobs = choice.logprobs.unwrap();
        assert!((logprobs.chosen.exp() - 0.4).abs() < 1e-6, "0.2 of the 0.5 that the mask token leaves");
        assert_eq!(logprobs.top.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 1]);
        assert!((logprobs.top[0].1.exp() - 0.6).abs() < 1e-6);
    }

    #[test]
    fn rejects_logits_that_are_no_numbers() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = sampler(|_| {}, None).choose(&[0.0, bad, 1.0], 37).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Malformed);
            assert!(error.message().contains("token 1 for position 37"), "{error}");
        }
        let error = sampler(|_| {}, Some(0)).choose(&[0.0], 0).unwrap_err();
        assert!(error.message().contains("no token besides the mask"), "{error}");
    }
}
