//! Options checked against a model and a prompt, before anything runs.

#![forbid(unsafe_code)]

use super::costs::AutoChoice;
use super::mode::Acceptance;
use super::mode::Mode;
use super::options::{Options, refuse};
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
    /// What `auto` comes to where the model alone does not decide it.
    pub auto: Option<AutoChoice>,
}

/// The two numbers of a model that requests are checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelSize {
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// Positions the cache can hold.
    pub context_length: usize,
}

impl ModelSize {
    /// Those of a model.
    pub fn of<M: LanguageModel + ?Sized>(model: &M) -> Self {
        Self { vocabulary: model.vocab_size(), context_length: model.context_length() }
    }
}

/// Checks a prompt and options as [`Generation::start`](super::Generation::start) does. Sets
/// `max_tokens`; more than the context holds is cut to that.
///
/// # Errors
///
/// As there.
pub fn fit_options(size: ModelSize, prompt: &[u32], options: &mut Options, config: &DecodingConfig) -> Result<()> {
    options.validate()?;
    let asked = options.max_tokens.take();
    let Plan { max_tokens, room, .. } = Plan::new(size, prompt, options, config)?;
    options.max_tokens = Some(asked.map_or(max_tokens, |asked| asked.min(room)));
    Ok(())
}

/// What a run will do.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// Never `Auto`.
    pub(super) mode: Mode,
    pub(super) attention: Attention,
    pub(super) max_tokens: usize,
    /// New tokens that the context holds.
    pub(super) room: usize,
    pub(super) diffusion: Option<DiffusionPlan>,
    /// In mode `speculative`.
    pub(super) speculation: Option<SpeculationPlan>,
}

/// What a run in mode `speculative` will do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SpeculationPlan {
    pub(super) mask: u32,
    /// Rows of every window; as many as pay when `None`.
    pub(super) window: Option<usize>,
}

/// What a run in a diffusion mode will do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct DiffusionPlan {
    pub(super) mask: u32,
    pub(super) threshold: f64,
    pub(super) block: usize,
    pub(super) sub_block: usize,
    pub(super) dual_cache: bool,
    pub(super) acceptance: Acceptance,
    /// Passes over a sub-block that the schedule plans; at most its positions.
    pub(super) steps: usize,
    /// Whether the logits of a row predict the next position.
    pub(super) shift_logits: bool,
}

impl Plan {
    pub(super) fn new(size: ModelSize, prompt: &[u32], options: &Options, config: &DecodingConfig) -> Result<Self> {
        options.validate()?;
        let ModelSize { vocabulary, context_length: context } = size;
        if prompt.is_empty() {
            bail!(
                BadOption,
                "the prompt has no tokens, and this model has no start token to put there: give some text"
            );
        }
        if let Some((index, id)) = prompt.iter().enumerate().find(|&(_, &id)| id as usize >= vocabulary) {
            bail!(BadOption, "token {id} at index {index} of the prompt is outside the vocabulary of {vocabulary}");
        }
        let mask_token = config.diffusion.map(|diffusion| diffusion.mask_token);
        if let Some(index) = prompt.iter().position(|&id| Some(id) == mask_token) {
            let id = prompt[index];
            bail!(BadOption, "token {id} at index {index} of the prompt is the mask token: leave it out");
        }
        let mode = match (options.mode, &config.diffusion) {
            (Mode::Auto, Some(settings)) => config.auto.as_ref().map_or(settings.block_mode(), |auto| auto.mode),
            (Mode::Auto, None) => Mode::Ar,
            (mode, _) => mode,
        };
        if mode == Mode::Ar {
            let (max_tokens, room) = fit(prompt.len(), options.max_tokens, 1, context)?;
            let attention = Attention::Causal;
            return Ok(Self { mode, attention, max_tokens, room, diffusion: None, speculation: None });
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
        if mode == Mode::Speculative {
            return Self::speculative(trained, prompt.len(), options, context);
        }
        let block = options.block_size.unwrap_or(trained.block_size);
        if !(1..=context).contains(&block) {
            return Err(refuse("blockSize", block));
        }
        let acceptance = match mode {
            Mode::Greedy => Acceptance::Threshold,
            _ => options.acceptance.or(trained.acceptance).unwrap_or_default(),
        };
        let divides = |sub: &usize| block.is_multiple_of(*sub);
        let sub_block = match options.sub_block_size {
            Some(sub) if divides(&sub) => sub,
            Some(sub) => return Err(refuse("subBlockSize", format_args!("{sub} with blocks of {block}"))),
            None if acceptance == Acceptance::Threshold => (1..=8.min(block)).rev().find(divides).unwrap_or(1),
            None => block,
        };
        let steps = match options.steps {
            Some(steps) if steps > sub_block => {
                return Err(refuse("steps", format_args!("{steps} with sub-blocks of {sub_block}")));
            }
            Some(steps) => steps,
            None => trained.steps.unwrap_or(sub_block).min(sub_block),
        };
        let diffusion = DiffusionPlan {
            mask,
            threshold: options.threshold.or(trained.threshold).unwrap_or(0.9),
            block,
            sub_block,
            dual_cache: options.dual_cache,
            acceptance,
            steps,
            shift_logits: trained.shift_logits,
        };
        let (max_tokens, room) = fit(prompt.len(), options.max_tokens, block, context)?;
        let attention = trained.attention.of_blocks(block);
        Ok(Self { mode, attention, max_tokens, room, diffusion: Some(diffusion), speculation: None })
    }

    /// Drafts need logits that predict the next position, as the verifying rows do.
    fn speculative(trained: &DiffusionSettings, prompt: usize, options: &Options, context: usize) -> Result<Self> {
        if !trained.shift_logits {
            bail!(
                BadOption,
                "mode speculative is for models that decode autoregressively too; the rows of this one predict their own \
                 positions: use `auto`"
            );
        }
        if let Some(window) = options.block_size.filter(|window| !(2..=context).contains(window)) {
            return Err(refuse("blockSize", format_args!("{window} in mode speculative, which needs 2")));
        }
        let (max_tokens, room) = fit(prompt, options.max_tokens, 1, context)?;
        let speculation = SpeculationPlan { mask: trained.mask_token, window: options.block_size };
        Ok(Self {
            mode: Mode::Speculative,
            attention: Attention::Causal,
            max_tokens,
            room,
            diffusion: None,
            speculation: Some(speculation),
        })
    }
}

/// How many tokens to make after a prompt and how many there is room for, given that positions are
/// used in whole blocks.
fn fit(prompt: usize, asked: Option<usize>, block: usize, context: usize) -> Result<(usize, usize)> {
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
        Some(new) => Ok((new, room)),
        None => Ok((room.min(Options::DEFAULT_MAX_TOKENS), room)),
    }
}
