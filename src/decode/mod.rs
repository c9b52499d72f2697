//! Decoding: which rows to run and which tokens to take, autoregressively or by block diffusion.
//!
//! Block diffusion is that of Fast-dLLM v2 (arXiv:2509.26328). A block is B positions at a multiple
//! of B. Its unknown positions hold the mask token; every pass over the block sees all of it and
//! turns some masks into tokens. The logits of row r - 1 predict row r, as in an autoregressive
//! model, so the first token of a block must come from the block before:
//!
//! ```text
//! generate(prompt of P tokens):
//!     commit the first floor(P/B)*B tokens                     prefill, in chunks of whole blocks
//!     x <- the other P mod B tokens, or if there are none, [the token that the last logits predict]
//!     repeat:                                                  x is the current block
//!         fill x with masks up to B tokens
//!         while x has a mask:                                  each turn is one pass
//!             S <- the leftmost sub-block that has a mask      (greedy: the whole block)
//!             run x, without keeping its keys and values
//!             for each masked row r of S: token_r, p_r <- choose from logits[r - 1]
//!             accept every r with p_r > t, and the one with the highest p_r
//!             if the tokens before the first mask hold a stop token, a stop string or max_tokens tokens: done
//!         run x again and commit it                            its masks are gone, so its keys and values have changed
//!         x <- [the token that the last logits predict]
//! ```
//!
//! t is minus infinity in mode `greedy` and the threshold T in `iterative`. `adaptive` begins each
//! sub-block with min(T, max(0.5, T - 0.4)), then min(T, max(0.7, T - 0.2)), then T. The mask token
//! itself is never chosen.
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
//! Everything here works on [`LanguageModel`](crate::model::LanguageModel) and
//! [`TokenText`](crate::tokenizer::TokenText), and is tested on a scripted model without weights.

#![forbid(unsafe_code)]

mod block;
mod diffusion;
mod event;
mod generation;
mod options;
mod output;
mod plan;
mod sampler;
mod session;
mod settings;
mod stop;
#[cfg(test)]
mod tests;

pub use event::{BlockToken, Event, FinishReason, Outcome, Stats};
pub use generation::Generation;
pub use options::{Mode, Options};
pub use plan::DecodingConfig;
pub use session::Session;
pub(crate) use settings::{Assumed, Diffusion, decode_modes};
pub use settings::{AttentionKind, DiffusionOverrides, DiffusionSettings};
