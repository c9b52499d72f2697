//! How probable the model found the tokens that were chosen, and which others it found probable.
//!
//! Probabilities are the model's own: the softmax of its logits without the mask token, before
//! temperature, penalties and bias. A diffusion run reports those of the pass that decided.

#![forbid(unsafe_code)]

use crate::tokenizer::TokenText;
use serde::Serialize;
use std::collections::VecDeque;

/// Probabilities of one choice, without the text of its tokens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Logprobs {
    /// Natural logarithm of the chosen token's probability.
    pub(crate) chosen: f64,
    /// The most probable tokens with theirs, the best first.
    pub(crate) top: Vec<(u32, f64)>,
}

impl Logprobs {
    /// Those of every token of `row`, with the `count` best; `chosen` is not known yet.
    pub(super) fn of(row: &[f64], count: usize) -> (Self, f64) {
        let best_first = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        let highest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let normalizer = highest + row.iter().map(|l| (l - highest).exp()).sum::<f64>().ln();
        let mut top: Vec<(u32, f64)> = Vec::new();
        if count > 0 {
            top = (0u32..).zip(row.iter().copied()).filter(|(_, l)| l.is_finite()).collect();
            if count < top.len() {
                top.select_nth_unstable_by(count - 1, best_first);
                top.truncate(count);
            }
            top.sort_unstable_by(best_first);
            top.iter_mut().for_each(|(_, l)| *l -= normalizer);
        }
        (Self { chosen: 0.0, top }, normalizer)
    }

    fn token<T: TokenText + ?Sized>(&self, id: u32, text: &T) -> TokenLogprob {
        let bytes = |id: u32| text.token_bytes(id).to_vec();
        let top = self.top.iter().map(|&(id, logprob)| TopLogprob { id, logprob, bytes: bytes(id) });
        TokenLogprob { id, logprob: self.chosen, bytes: bytes(id), top: top.collect() }
    }
}

/// A token of the answer and how probable it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenLogprob {
    /// Token id.
    pub id: u32,
    /// Natural logarithm of its probability.
    pub logprob: f64,
    /// What it adds to the text; the bytes of all tokens joined are the text.
    pub bytes: Vec<u8>,
    /// The most probable tokens at its position, the best first.
    pub top: Vec<TopLogprob>,
}

/// A token that was probable at some position.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopLogprob {
    /// Token id.
    pub id: u32,
    /// Natural logarithm of its probability.
    pub logprob: f64,
    /// What it would have added to the text.
    pub bytes: Vec<u8>,
}

/// Tokens whose text is not released yet, with where in the text each begins and ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    tokens: VecDeque<(usize, usize, TokenLogprob)>,
}

impl Pending {
    pub(super) fn push<T: TokenText + ?Sized>(
        &mut self,
        id: u32,
        logprobs: &Logprobs,
        (start, end): (usize, usize),
        text: &T,
    ) {
        self.tokens.push_back((start, end, logprobs.token(id, text)));
    }

    /// The tokens that end within the first `length` bytes of the text.
    pub(super) fn release(&mut self, length: usize) -> Vec<TokenLogprob> {
        let count = self.tokens.iter().take_while(|(_, end, _)| *end <= length).count();
        self.tokens.drain(..count).map(|(_, _, token)| token).collect()
    }

    /// The text ends after `length` bytes: the token that goes beyond keeps the bytes before, later
    /// ones are dropped.
    pub(super) fn end(&mut self, length: usize) -> Vec<TokenLogprob> {
        let mut tokens = self.release(length);
        if let Some((start, _, mut token)) = self.tokens.pop_front().filter(|(start, ..)| *start < length) {
            token.bytes.truncate(length - start);
            tokens.push(token);
        }
        self.tokens.clear();
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn the_softmax_leaves_out_what_has_no_logit() {
        let row: Vec<f64> = [0.5f64, 0.125, 0.25].map(f64::ln).into_iter().chain([f64::NEG_INFINITY]).collect();
        let (logprobs, normalizer) = Logprobs::of(&row, 9);
        let expected = [(0, 0.5 / 0.875), (2, 0.25 / 0.875), (1, 0.125 / 0.875)];
        assert_eq!(logprobs.top.len(), 3);
        for (&(id, logprob), (best, probability)) in logprobs.top.iter().zip(expected) {
            assert_eq!(id, best);
            assert!((logprob.exp() - probability).abs() < 1e-12);
        }
        assert!((normalizer.exp() - 0.875).abs() < 1e-12);
        assert_eq!(Logprobs::of(&row, 1).0.top.len(), 1);
        assert_eq!(Logprobs::of(&row, 0).0.top, []);
    }

    #[test]
    fn tokens_wait_for_their_text_and_end_with_it() {
        let token = |id: u32| TokenLogprob { id, logprob: -1.0, bytes: b"ab".to_vec(), top: Vec::new() };
        let mut pending = Pending::default();
        for id in 0..4u32 {
            let start = 2 * id as usize;
            pending.tokens.push_back((start, start + 2, token(id)));
        }
        assert_eq!(pending.release(1), []);
        assert_eq!(pending.release(3), [token(0)]);
        let cut = TokenLogprob { bytes: b"a".to_vec(), ..token(2) };
        assert_eq!(pending.end(5), [token(1), cut]);
        assert_eq!(pending.end(100), []);
    }
}
