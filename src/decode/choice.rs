//! How probable given continuations of a prompt are, without generating any.
//!
//! The prompt is committed but for its last token. Then a pass runs that token and a continuation
//! but for its last token; its rows predict the continuation, and the logarithms of the
//! probabilities found there add up. Continuations that need the same rows share a pass, as those
//! of one token do. Attention is causal, as in mode `ar`.

#![forbid(unsafe_code)]

use super::generation::PREFILL_ROWS;
use super::options::Options;
use super::plan::DecodingConfig;
use super::sampler::Sampler;
use super::session::Session;
use crate::error::Result;
use crate::model::{Attention, LanguageModel, Pass};
use std::mem;

/// Token sequences that begin with the same prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    sequences: Vec<Vec<u32>>,
    prompt: usize,
}

impl Candidates {
    /// `sequences` that share their first `prompt` tokens, each with at least one more.
    ///
    /// # Errors
    ///
    /// `bad-option` without prompt tokens, or when a sequence ends with them.
    pub fn new(sequences: Vec<Vec<u32>>, prompt: usize) -> Result<Self> {
        let Some(first) = sequences.first() else { bail!(BadOption, "there are no options to choose from") };
        if prompt == 0 {
            bail!(
                BadOption,
                "the prompt has no tokens, and this model has no start token to put there: give some text"
            );
        }
        let shared = |tokens: &Vec<u32>| tokens.len() > prompt && tokens[..prompt] == first[..prompt];
        if !sequences.iter().all(shared) {
            bail!(BadOption, "every option must add a token to the prompt");
        }
        Ok(Self { sequences, prompt })
    }

    /// The tokens of the prompt.
    pub fn prompt(&self) -> &[u32] {
        &self.sequences[0][..self.prompt]
    }

    /// The longest sequence.
    pub fn longest(&self) -> usize {
        self.sequences.iter().map(Vec::len).max().unwrap_or_default()
    }

    /// What the pass of a sequence runs.
    fn rows(&self, index: usize) -> &[u32] {
        let tokens = &self.sequences[index];
        &tokens[self.prompt - 1..tokens.len() - 1]
    }
}

/// The comparison as a state machine: every step is one forward pass.
#[derive(Clone, Debug)]
pub struct Comparison {
    candidates: Candidates,
    session: Session,
    sampler: Sampler,
    /// Sum of log probabilities of each sequence, once known.
    scores: Vec<Option<f64>>,
}

impl Comparison {
    /// Takes over `session` and cuts `model`'s cache to what the prompt can use of it. No forward
    /// pass yet.
    pub fn start<M: LanguageModel + ?Sized>(
        model: &mut M,
        session: &mut Session,
        candidates: Candidates,
        config: &DecodingConfig,
    ) -> Self {
        let mut session = mem::take(session);
        session.reuse(model, candidates.prompt(), Attention::Causal);
        let scores = vec![None; candidates.sequences.len()];
        Self {
            candidates,
            session,
            sampler: Sampler::new(&Options::default(), config.diffusion.map(|diffusion| diffusion.mask_token)),
            scores,
        }
    }

    /// One forward pass. True when every sequence has its score.
    ///
    /// # Errors
    ///
    /// Those of [`LanguageModel::forward`], and `malformed` for logits that are not finite.
    pub fn step<M: LanguageModel + ?Sized>(&mut self, model: &mut M) -> Result<bool> {
        let begin = self.session.tokens().len();
        let last = self.candidates.prompt - 1;
        if begin < last {
            let end = last.min(begin + PREFILL_ROWS);
            self.session.commit(model, &self.candidates.sequences[0][begin..end])?;
            return Ok(false);
        }
        let Some(next) = self.scores.iter().position(Option::is_none) else { return Ok(true) };
        let rows = self.candidates.rows(next).to_vec();
        let wanted: Vec<usize> = (0..rows.len()).collect();
        let pass = Pass { tokens: &rows, position: last, attention: Attention::Causal, commit: false, logits: &wanted };
        let vocabulary = model.vocab_size();
        let logits = model.forward(&pass)?;
        let mut normalizers = Vec::with_capacity(rows.len());
        for (row, logits) in logits.chunks_exact(vocabulary).enumerate() {
            normalizers.push(self.sampler.normalizer(logits, last + row + 1)?);
        }
        for index in next..self.scores.len() {
            if self.candidates.rows(index) == rows {
                let continuation = &self.candidates.sequences[index][last + 1..];
                let found = continuation.iter().zip(logits.chunks_exact(vocabulary)).zip(&normalizers);
                let sum = found.map(|((&token, logits), normalizer)| f64::from(logits[token as usize]) - normalizer);
                self.scores[index] = Some(sum.sum());
            }
        }
        model.truncate(last);
        Ok(self.scores.iter().all(Option::is_some))
    }

    /// The probabilities of the sequences among each other: by their probability, or `by_length` by
    /// the geometric mean of their tokens' probabilities. They sum to 1.
    pub fn probabilities(&self, by_length: bool) -> Vec<f64> {
        let score = |(score, tokens): (&Option<f64>, &Vec<u32>)| {
            let length = if by_length { (tokens.len() - self.candidates.prompt) as f64 } else { 1.0 };
            score.unwrap_or(f64::NEG_INFINITY) / length
        };
        let scores: Vec<f64> = self.scores.iter().zip(&self.candidates.sequences).map(score).collect();
        let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - best).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / total).collect()
    }

    /// Gives back the session, which knows what the model's cache holds now.
    pub fn into_session(self) -> Session {
        self.session
    }
}
