//! Decoding: which rows to run and which tokens to take, autoregressively or by block diffusion.
//!
//! A block is B positions at a multiple of B. Its unknown positions hold the mask token; every pass
//! over the block sees all of it and turns some masks into tokens. The logits of row r predict row
//! r + 1 as in an autoregressive model (shifted logits: Fast-dLLM v2, arXiv:2509.26328), so that
//! the first token of a block must come from the block before, or they predict row r itself (SDAR,
//! arXiv:2510.06303; Tiny-A2D), so that a block begins with nothing but masks:
//!
//! ```text
//! generate(prompt of P tokens):
//!     commit the first floor(P/B)*B tokens                     prefill, in chunks of whole blocks
//!     x <- the other P mod B tokens                            x is the current block
//!     repeat:
//!         if x is empty and logits are shifted: x <- [the token that the last logits predict]
//!         fill x with masks up to B tokens
//!         while x has a mask:                                  each turn is one pass
//!             S <- the leftmost sub-block that has a mask      (greedy: the whole block)
//!             run x, without keeping its keys and values
//!             for each masked row r of S: token_r, p_r <- choose from logits[r - 1] if shifted, else logits[r]
//!             accept some of the rows, at least one            by a rule: see `acceptance`
//!             if the tokens before the first mask hold a stop token, a stop string or max_tokens tokens: done
//!         run x again and commit it                            its masks are gone, so its keys and values have changed
//!         x <- []
//! ```
//!
//! The usual rule accepts every r with p_r > t and the one with the highest p_r. t is minus
//! infinity in mode `greedy` and the threshold T in `iterative`. `adaptive` begins each sub-block
//! with min(T, max(0.5, T - 0.4)), then min(T, max(0.7, T - 0.2)), then T. The mask token itself is
//! never chosen.
//!
//! What the code adds:
//!
//! - The rows of the last block beyond `max_tokens` take part like all others and are cut off
//!   afterwards, so a limit never changes the tokens before it. A run ends as soon as enough tokens
//!   have no mask before them.
//! - A model trained under the causal mask runs the same loop under that mask. Its clean keys do
//!   not depend on later tokens, but those in the cache of the last pass are still of masks, so it
//!   needs the commit as well.
//! - With the dual cache, a pass runs only the rows of S once the first token of S is known; the
//!   keys and values of the block's other rows are those of the last full pass over it, which saw
//!   more masks: slightly stale.
//! - Cached keys survive the run in a [`Session`]: the next prompt skips what it shares with them.
//!
//! A run under a [`Constraint`] chooses among the tokens that it allows, in every mode. Tokens that
//! it forces cost no pass: they join the next one in `ar` and `speculative`, and fill rows of the
//! block as decided (`prefix`, which also says how a block is filled then).
//!
//! Everything here works on [`LanguageModel`](crate::model::LanguageModel) and
//! [`TokenText`](crate::tokenizer::TokenText), and is tested on a scripted model without weights.

#![forbid(unsafe_code)]

mod acceptance;
mod block;
mod choice;
mod constraint;
mod costs;
mod diffusion;
mod event;
mod format;
mod generation;
mod guide;
mod logprobs;
mod mode;
mod options;
mod output;
mod penalties;
mod plan;
mod prefix;
mod sampler;
mod session;
mod settings;
mod speculative;
mod stop;
#[cfg(test)]
mod tests;

pub use choice::{Candidates, Comparison};
pub use constraint::{Constraint, TokenSet};
pub use costs::{AutoChoice, PassCosts};
pub use event::{BlockToken, Decision, Event, FinishReason, Outcome, Stats};
pub use format::{Format, ResponseFormat};
pub use generation::Generation;
pub use logprobs::{TokenLogprob, TopLogprob};
pub use mode::{Acceptance, Mode};
pub use options::Options;
pub use plan::{DecodingConfig, ModelSize, fit_options};
pub use session::Session;
pub(crate) use settings::{Assumed, Diffusion, decode_modes};
pub use settings::{AttentionKind, DiffusionOverrides, DiffusionSettings};
