//! Options checked against a model and a prompt, before anything runs.

#![forbid(unsafe_code)]

use super::options::{Mode, Options, refuse};
use super::settings::DiffusionSettings;
use crate::error::Result;
use crate::model::{Attention, LanguageModel};

/// What decoding must know of a model besides [`LanguageModel`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecodingConfig {
    /// Tokens that end a run.
    pub stop_ids: Vec<u32>,
    /// How the model fills blocks; `None` for an autoregressive model.
    pub diffusion: Option<DiffusionSettings>,
}

/// What a run will do.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// Never `Auto`.
    pub(super) mode: Mode,
    pub(super) attention: Attention,
    pub(super) max_tokens: usize,
    pub(super) diffusion: Option<DiffusionPlan>,
}

/// What a run in a diffusion mode will do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct DiffusionPlan {
    pub(super) mask: u32,
    pub(super) threshold: f64,
    pub(super) block: usize,
    pub(super) sub_block: usize,
    pub(super) dual_cache: bool,
}

impl Plan {
    pub(super) fn new<M: LanguageModel + ?Sized>(
        model: &M,
        prompt: &[u32],
        options: &Options,
        config: &DecodingConfig,
    ) -> Result<Self> {
        options.validate()?;
        let vocabulary = model.vocab_size();
        if prompt.is_empty() {
            bail!(
                BadOption,
                "the prompt has no tokens, and this model has no start token to put there: give some text"
            );
        }
        if let Some((index, id)) = prompt.iter().enumerate().find(|&(_, &id)| id as usize >= vocabulary) {
            bail!(BadOption, "token {id} at index {index} of the prompt is outside the vocabulary of {vocabulary}");
        }
        let mode = match options.mode {
            Mode::Auto if config.diffusion.is_some() => Mode::Adaptive,
            Mode::Auto => Mode::Ar,
            mode => mode,
        };
        let context = model.context_length();
        if mode == Mode::Ar {
            let max_tokens = fit(prompt.len(), options.max_tokens, 1, context)?;
            return Ok(Self { mode, attention: Attention::Causal, max_tokens, diffusion: None });
        }
        let Some(trained) = &config.diffusion else {
            bail!(
                NoMaskToken,
                "this model has no mask token, so it cannot decode by diffusion: use the mode `ar` or `auto`"
            );
        };
        let mask = trained.mask_token;
        if mask as usize >= vocabulary {
            bail!(BadOption, "the mask token {mask} is outside the vocabulary of {vocabulary}: give the id of another");
        }
        let block = options.block_size.unwrap_or(trained.block_size);
        if !(1..=context).contains(&block) {
            return Err(refuse("blockSize", block));
        }
        let divides = |sub: &usize| block.is_multiple_of(*sub);
        let sub_block = match options.sub_block_size {
            Some(sub) if divides(&sub) => sub,
            Some(sub) => return Err(refuse("subBlockSize", format_args!("{sub} with blocks of {block}"))),
            None => (1..=8.min(block)).rev().find(divides).unwrap_or(1),
        };
        let diffusion = DiffusionPlan {
            mask,
            threshold: options.threshold.or(trained.threshold).unwrap_or(0.9),
            block,
            sub_block,
            dual_cache: options.dual_cache,
        };
        let max_tokens = fit(prompt.len(), options.max_tokens, block, context)?;
        let attention = trained.attention.of_blocks(block);
        Ok(Self { mode, attention, max_tokens, diffusion: Some(diffusion) })
    }
}

/// How many tokens to make after a prompt, given that positions are used in whole blocks.
fn fit(prompt: usize, asked: Option<usize>, block: usize, context: usize) -> Result<usize> {
    let room = (context / block * block).saturating_sub(prompt);
    let whole = if block == 1 { String::new() } else { format!(" in whole blocks of {block}") };
    match asked {
        _ if room == 0 => bail!(
            ContextFull,
            "the prompt has {prompt} tokens, but the context of {context}{whole} must also hold the answer: shorten the \
             prompt or load the model with a larger `contextLength`"
        ),
        Some(new) if new > room => bail!(
            ContextFull,
            "{prompt} prompt tokens and {new} new ones do not fit the context of {context}{whole}: set `maxTokens` to at most \
             {room}, shorten the prompt or load the model with a larger `contextLength`"
        ),
        Some(new) => Ok(new),
        None => Ok(room.min(Options::DEFAULT_MAX_TOKENS)),
    }
}
