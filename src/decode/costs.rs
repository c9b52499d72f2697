//! What passes cost on this machine, and which mode is therefore the fastest.
//!
//! Let c(n) be the time of a pass of n rows. A token costs c(1) autoregressively. A block of B
//! positions that fills up at p tokens a pass costs B/p passes of B rows and a commit, so c(B)/p +
//! c(B)/B a token. On a machine whose arithmetic is the limit c(n) grows almost with n, and blocks
//! cannot win; where reading the weights is the limit c(B) is not much more than c(1), and they do.

#![forbid(unsafe_code)]

use super::mode::Mode;
use super::settings::DiffusionSettings;
use crate::error::Result;
use crate::model::{Attention, LanguageModel, Pass};
use crate::platform::now_ms;

/// Runs of each kind of pass, the fastest of which counts: a first one warms caches up, and others
/// may be disturbed.
const RUNS: usize = 3;

/// Milliseconds of passes on this machine with its number of threads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PassCosts {
    /// A pass of one row.
    pub row: f64,
    /// A pass over a block.
    pub block: f64,
}

impl PassCosts {
    /// Times passes behind what the cache of `model` holds, which stays as it is. `None` without
    /// positions for a block.
    ///
    /// # Errors
    ///
    /// What a pass may fail with.
    pub fn measure<M: LanguageModel + ?Sized>(model: &mut M, settings: &DiffusionSettings) -> Result<Option<Self>> {
        let position = model.committed();
        if model.context_length() - position < settings.block_size {
            return Ok(None);
        }
        let tokens = vec![settings.mask_token; settings.block_size];
        let mut time = |rows: usize| -> Result<f64> {
            let logits: Vec<usize> = (0..rows).collect();
            let pass =
                Pass { tokens: &tokens[..rows], position, attention: Attention::Full, commit: false, logits: &logits };
            let mut fastest = f64::INFINITY;
            for _ in 0..RUNS {
                let begin = now_ms();
                model.argmax(&pass, Some(settings.mask_token))?;
                fastest = fastest.min(now_ms() - begin);
            }
            model.truncate(position);
            Ok(fastest)
        };
        Ok(Some(Self { row: time(1)?, block: time(settings.block_size)? }))
    }

    /// The faster of `ar` and the block mode of `auto` for a model trained for both that fills
    /// blocks at `tokens_per_pass`.
    pub fn choose(&self, settings: &DiffusionSettings, tokens_per_pass: f64) -> AutoChoice {
        let block = self.block / tokens_per_pass + self.block / settings.block_size as f64;
        let block_mode = settings.block_mode();
        let mode = if block < self.row { block_mode } else { Mode::Ar };
        let reason = format!(
            "a token takes {:.2} ms in ar, {block:.2} ms in {} ({:.2} ms for a pass of {} rows, {tokens_per_pass:.1} tokens a pass)",
            self.row,
            block_mode.as_str(),
            self.block,
            settings.block_size,
        );
        AutoChoice { mode, reason }
    }
}

/// What `auto` comes to, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoChoice {
    /// Never `Auto`.
    pub mode: Mode,
    /// A sentence for people.
    pub reason: String,
}
