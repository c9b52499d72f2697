//! How a model decodes by diffusion: what its file says, what a caller overrides, what is assumed.

#![forbid(unsafe_code)]

use super::mode::Acceptance;
use super::mode::Mode;
use crate::error::{Error, ErrorCode, Result};
use crate::gguf::Metadata;
use crate::model::Attention;
use crate::tokenizer::{MaskChoice, Tokenizer};
use serde::{Deserialize, Serialize};

/// GGUF keys. The first and the last are llama.cpp's, the others webtern's own.
const MASK_TOKEN: &str = "tokenizer.ggml.mask_token_id";
const BLOCK_SIZE: &str = "diffusion.block_size";
const ATTENTION: &str = "diffusion.attention";
const THRESHOLD: &str = "diffusion.threshold";
const ACCEPTANCE: &str = "diffusion.acceptance";
const STEPS: &str = "diffusion.steps";
const AUTOREGRESSIVE: &str = "diffusion.autoregressive";
const TOKENS_PER_PASS: &str = "diffusion.tokens_per_pass";
const SHIFT_LOGITS: &str = "diffusion.shift_logits";

/// Which positions a position of a block sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum AttentionKind {
    /// A position sees its whole block and everything before.
    Block,
    /// A position sees what is before it.
    Causal,
}

impl AttentionKind {
    /// As in files and options.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Causal => "causal",
        }
    }

    /// The attention of a pass over blocks of `size` positions.
    pub(crate) const fn of_blocks(self, size: usize) -> Attention {
        match self {
            Self::Block => Attention::Block { size },
            Self::Causal => Attention::Causal,
        }
    }

    fn from_metadata(metadata: &Metadata) -> Result<Option<Self>> {
        match metadata.string(ATTENTION)? {
            None => Ok(None),
            Some("block") => Ok(Some(Self::Block)),
            Some("causal") => Ok(Some(Self::Causal)),
            Some(other) => bail!(
                UnsupportedArchitecture,
                "{ATTENTION} \"{other}\" is not supported; webtern runs block and causal"
            ),
        }
    }
}

/// How a block-diffusion model was trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiffusionSettings {
    /// The token that stands for "not known yet". It is never chosen, in any mode.
    pub mask_token: u32,
    /// Positions in a block.
    pub block_size: usize,
    /// Which positions a position of a block sees.
    pub attention: AttentionKind,
    /// Whether the logits of a row predict the next position, as in an autoregressive model, or the
    /// row's own.
    pub shift_logits: bool,
    /// Whether the weights were trained to decode one token after the other too.
    pub autoregressive: bool,
    /// The rule of acceptance that the model's authors recommend.
    pub acceptance: Option<Acceptance>,
    /// Passes over a block, for rules with a schedule; as many as it has positions when `None`.
    pub steps: Option<usize>,
    /// The threshold that the model's authors recommend.
    pub threshold: Option<f64>,
    /// New tokens a pass to expect of a block mode, commits not counted.
    pub tokens_per_pass: Option<f64>,
}

/// Settings of a model that a caller knows better than its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct DiffusionOverrides {
    /// The mask token, whatever the file says.
    #[cfg_attr(feature = "cli", arg(long, value_name = "ID"))]
    pub mask_token_id: Option<u32>,
    /// Accept a mask token that also ends answers.
    #[cfg_attr(feature = "cli", arg(long))]
    pub force_mask_token: bool,
    /// Which positions a position of a block sees, whatever the file says.
    #[cfg_attr(feature = "cli", arg(long))]
    pub attention: Option<AttentionKind>,
    /// Whether the logits of a row predict the next position (true) or the row's own (false),
    /// whatever the file says.
    #[cfg_attr(feature = "cli", arg(long, value_name = "BOOL"))]
    pub shift_logits: Option<bool>,
}

/// Settings that neither file nor caller gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Assumed {
    pub(crate) block_size: bool,
    pub(crate) attention: bool,
    pub(crate) shift_logits: bool,
}

/// Whether a model decodes by diffusion.
#[derive(Debug)]
pub(crate) enum Diffusion {
    /// It does.
    Supported(DiffusionSettings, Assumed),
    /// No token is known to be a mask token.
    NoMaskToken,
    /// The file's mask token also ends answers, as the error says. The model decodes
    /// autoregressively.
    MaskTokenStops(Error),
}

impl Diffusion {
    /// Reads the `diffusion.*` keys of `metadata`; `tokenizer` knows the mask token.
    ///
    /// # Errors
    ///
    /// `bad-option` for a mask token of the caller that is outside the vocabulary or ends answers,
    /// `malformed` for values out of range, `unsupported-architecture` for another attention and
    /// for logits that are not shifted.
    pub(crate) fn read(metadata: &Metadata, tokenizer: &Tokenizer, overrides: DiffusionOverrides) -> Result<Self> {
        let choice = MaskChoice { id: overrides.mask_token_id, force: overrides.force_mask_token };
        let mask_token = match tokenizer.mask_token(choice) {
            Ok(None) => return Ok(Self::NoMaskToken),
            Err(error) if error.code() == ErrorCode::NoMaskToken => return Ok(Self::MaskTokenStops(error)),
            Ok(Some(mask_token)) => mask_token,
            Err(error) => return Err(error),
        };
        let shift_logits = overrides.shift_logits.or(metadata.bool(SHIFT_LOGITS)?);
        let block_size = metadata.u32(BLOCK_SIZE)?.map(|size| size as usize);
        if block_size == Some(0) {
            bail!(Malformed, "{BLOCK_SIZE} is 0");
        }
        let threshold = metadata.f32(THRESHOLD)?.map(f64::from);
        if let Some(threshold) = threshold.filter(|&threshold| !(threshold > 0.0 && threshold <= 1.0)) {
            bail!(Malformed, "{THRESHOLD} is {threshold}; it must be a number above 0 and at most 1");
        }
        let tokens_per_pass = metadata.f32(TOKENS_PER_PASS)?.map(f64::from);
        if let Some(tokens) = tokens_per_pass.filter(|&tokens| !(tokens > 0.0 && tokens.is_finite())) {
            bail!(Malformed, "{TOKENS_PER_PASS} is {tokens}; it must be a number above 0");
        }
        // An attention that webtern does not run is an error even where the caller knows better.
        let stated = AttentionKind::from_metadata(metadata)?;
        let attention = overrides.attention.or(stated);
        let acceptance = match metadata.string(ACCEPTANCE)? {
            None => None,
            Some(name) => Some(named_acceptance(name)?),
        };
        let steps = metadata.u32(STEPS)?.map(|steps| steps as usize);
        if steps == Some(0) {
            bail!(Malformed, "{STEPS} is 0");
        }
        let assumed = Assumed {
            block_size: block_size.is_none(),
            attention: attention.is_none(),
            shift_logits: shift_logits.is_none(),
        };
        let settings = DiffusionSettings {
            mask_token,
            block_size: block_size.unwrap_or(DiffusionSettings::DEFAULT_BLOCK_SIZE),
            attention: attention.unwrap_or(AttentionKind::Block),
            shift_logits: shift_logits.unwrap_or(true),
            autoregressive: metadata.bool(AUTOREGRESSIVE)?.unwrap_or(false),
            acceptance,
            steps,
            threshold,
            tokens_per_pass,
        };
        Ok(Self::Supported(settings, assumed))
    }
}

fn named_acceptance(name: &str) -> Result<Acceptance> {
    let found = Acceptance::ALL.into_iter().find(|rule| rule.as_str() == name);
    found.ok_or_else(|| {
        let known = Acceptance::ALL.map(Acceptance::as_str).join(", ");
        err!(UnsupportedArchitecture, "{ACCEPTANCE} \"{name}\" is not supported; webtern runs {known}")
    })
}

impl DiffusionSettings {
    /// Where a file does not say: that of Fast-dLLM v2 (arXiv:2509.26328).
    pub const DEFAULT_BLOCK_SIZE: usize = 32;

    /// Tokens a pass where neither file nor experience says: what Fast-dLLM v2 reports.
    pub(crate) const DEFAULT_TOKENS_PER_PASS: f64 = 2.6;

    /// The block mode of `auto`: the schedule of a model that recommends one is not to be relaxed.
    pub(crate) fn block_mode(&self) -> Mode {
        if self.acceptance.is_some_and(Acceptance::has_schedule) { Mode::Iterative } else { Mode::Adaptive }
    }

    /// Writes the keys that [`Diffusion::read`] reads.
    pub(crate) fn write(&self, metadata: &mut Metadata) {
        metadata.insert(MASK_TOKEN, self.mask_token);
        metadata.insert(BLOCK_SIZE, self.block_size as u32);
        metadata.insert(ATTENTION, self.attention.as_str());
        metadata.insert(SHIFT_LOGITS, self.shift_logits);
        if self.autoregressive {
            metadata.insert(AUTOREGRESSIVE, true);
        }
        if let Some(acceptance) = self.acceptance {
            metadata.insert(ACCEPTANCE, acceptance.as_str());
        }
        if let Some(steps) = self.steps {
            metadata.insert(STEPS, steps as u32);
        }
        if let Some(tokens) = self.tokens_per_pass {
            metadata.insert(TOKENS_PER_PASS, tokens as f32);
        }
        if let Some(threshold) = self.threshold {
            metadata.insert(THRESHOLD, threshold as f32);
        }
    }
}

/// The decode modes that make sense for a model, the one that `auto` chooses first. Weights that
/// were trained to predict their own positions do not decode autoregressively.
pub(crate) fn decode_modes(diffusion: Option<&DiffusionSettings>) -> &'static [&'static str] {
    let Some(settings) = diffusion else { return &["ar"] };
    let scheduled = settings.acceptance.is_some_and(Acceptance::has_schedule);
    match (settings.shift_logits || settings.autoregressive, scheduled) {
        (true, _) => &["adaptive", "iterative", "greedy", "ar"],
        (false, true) => &["iterative", "adaptive", "greedy"],
        (false, false) => &["adaptive", "iterative", "greedy"],
    }
}
