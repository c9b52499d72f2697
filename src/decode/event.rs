//! What a run tells its caller while it goes on, and at its end. The JSON forms are those of the
//! TypeScript library.

#![forbid(unsafe_code)]

use super::logprobs::TokenLogprob;
use super::mode::Mode;
use serde::Serialize;

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Event {
    /// More of the prompt is in the cache.
    Prefill {
        /// Prompt tokens in the cache, those reused from an earlier run included.
        done: usize,
        /// Prompt tokens that will be in the cache before decoding starts.
        total: usize,
    },
    /// More text is final. All texts joined are [`Outcome::text`].
    Text {
        /// Whole characters, no control tokens, no part of a stop string.
        text: String,
        /// The tokens whose text ends in it, where [`Options::logprobs`](super::Options::logprobs)
        /// asks for them.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        logprobs: Vec<TokenLogprob>,
    },
    /// The state of the block after a pass over it.
    Block {
        /// Number of the block (in mode `speculative`, of the window) in this run, from 0.
        index: usize,
        /// Position of the first of `tokens` in the sequence.
        start: usize,
        /// The positions of the block that can become output: without the end of the prompt, and up
        /// to `max_tokens`.
        tokens: Vec<BlockToken>,
    },
    /// The run is over. Always the last event.
    Done {
        /// What came out.
        result: Outcome,
    },
}

/// One position of a block.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BlockToken {
    /// Token id; the mask token's while the position is masked.
    pub id: u32,
    /// The token for the eye, control tokens included.
    pub text: String,
    /// Whether the position waits for a token.
    pub masked: bool,
    /// Probability with which the token was chosen; 0 while masked.
    pub confidence: f64,
    /// Pass over this block that chose the token, from 1; 0 while masked and for a token known
    /// before the first pass.
    pub pass: u32,
    /// Why the token was taken; nothing while masked.
    pub decision: Option<Decision>,
}

/// Why a token of a block was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It met the rule of acceptance.
    Accepted,
    /// A pass has to take something: the most confident tokens, or the first of a block.
    Forced,
    /// The response format leaves no choice, or it has to end before `max_tokens`.
    Constraint,
    /// Drafted in mode `speculative`: it may change.
    Drafted,
    /// Verified in mode `speculative`.
    Verified,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// A stop token or a stop string.
    Stop,
    /// `max_tokens` were made.
    Length,
    /// The caller cancelled.
    Abort,
}

/// What came out of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The text, without control tokens, up to the stop string.
    pub text: String,
    /// The new tokens, up to and including the stop token or the token that completed a stop
    /// string.
    pub tokens: Vec<u32>,
    /// Why the run ended.
    pub finish_reason: FinishReason,
    /// Counts and times.
    pub stats: Stats,
}

/// Counts and times of a run. Times are those spent inside steps, without the caller's pauses
/// between them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Tokens in the prompt.
    pub prompt_tokens: usize,
    /// Tokens made.
    pub new_tokens: usize,
    /// Prompt tokens whose keys and values an earlier run had left in the cache.
    pub reused_tokens: usize,
    /// Milliseconds in prefill.
    pub prefill_ms: f64,
    /// Milliseconds after prefill.
    pub decode_ms: f64,
    /// `new_tokens` per second of `decode_ms`; 0 when that is 0.
    pub tokens_per_second: f64,
    /// Forward passes that were neither prefill nor commit.
    pub passes: usize,
    /// Blocks or windows begun; 0 in autoregressive runs.
    pub blocks: usize,
    /// Passes that stored a finished block, or more forced tokens than one pass takes.
    pub commits: usize,
    /// Rows that all passes after prefill ran, commits included. Divided by `new_tokens`: what a
    /// token costs on a machine that computes row by row.
    pub evaluated_rows: usize,
    /// Tokens that the response format left no choice about.
    #[serde(skip_serializing_if = "is_zero")]
    pub forced_tokens: usize,
    /// Tokens at the end that the model had no say in either: the answer had to be complete before
    /// `max_tokens`, so it was finished on the shortest way. Not 0 means that it would have gone
    /// on.
    #[serde(skip_serializing_if = "is_zero")]
    pub hurried_tokens: usize,
    /// What `auto` came to, or the mode asked for.
    pub mode: Mode,
    /// Why `auto` came to it, where that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_reason: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::super::logprobs::TopLogprob;
    use super::*;
    use crate::testing::test;
    use serde_json::json;

    #[test]
    fn json_has_the_names_of_the_typescript_library() {
        let token = BlockToken {
            id: 5,
            text: "a".into(),
            masked: false,
            confidence: 0.5,
            pass: 2,
            decision: Some(Decision::Forced),
        };
        let stats = Stats {
            prompt_tokens: 3,
            new_tokens: 1,
            reused_tokens: 2,
            prefill_ms: 1.5,
            decode_ms: 2.0,
            tokens_per_second: 500.0,
            passes: 4,
            blocks: 1,
            commits: 0,
            evaluated_rows: 128,
            forced_tokens: 0,
            hurried_tokens: 0,
            mode: Mode::Adaptive,
            auto_reason: None,
        };
        let result = Outcome { text: "a".into(), tokens: vec![5], finish_reason: FinishReason::Length, stats };
        let top = vec![TopLogprob { id: 6, logprob: -0.5, bytes: b"b".to_vec() }];
        let logprobs = vec![TokenLogprob { id: 5, logprob: -1.5, bytes: b"a".to_vec(), top }];
        let events = [
            Event::Prefill { done: 1, total: 2 },
            Event::Text { text: "a".into(), logprobs: Vec::new() },
            Event::Text { text: "a".into(), logprobs },
            Event::Block { index: 0, start: 3, tokens: vec![token] },
            Event::Done { result },
        ];
        assert_eq!(
            serde_json::to_value(events).unwrap(),
            json!([
                {"type": "prefill", "done": 1, "total": 2},
                {"type": "text", "text": "a"},
                {"type": "text", "text": "a", "logprobs": [
                    {"id": 5, "logprob": -1.5, "bytes": [97], "top": [{"id": 6, "logprob": -0.5, "bytes": [98]}]}]},
                {"type": "block", "index": 0, "start": 3,
                 "tokens": [{"id": 5, "text": "a", "masked": false, "confidence": 0.5, "pass": 2, "decision": "forced"}]},
                {"type": "done", "result": {"text": "a", "tokens": [5], "finishReason": "length", "stats": {
                    "promptTokens": 3, "newTokens": 1, "reusedTokens": 2, "prefillMs": 1.5, "decodeMs": 2.0,
                    "tokensPerSecond": 500.0, "passes": 4, "blocks": 1, "commits": 0, "evaluatedRows": 128, "mode": "adaptive"}}}
            ])
        );
    }
}
