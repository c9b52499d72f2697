//! What a vocabulary says about its tokens: their types, and the ids that have a role.

#![forbid(unsafe_code)]

use super::words::PreTokenizer;
use crate::Result;
use crate::gguf::Metadata;

/// `tokenizer.ggml.token_type` of one token, after sentencepiece's piece types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenType {
    /// Part of ordinary text.
    #[default]
    Normal,
    /// Stands for what the vocabulary cannot express.
    Unknown,
    /// Steers the model and is no text: BOS, `<|im_end|>`, the mask.
    Control,
    /// Text that is always one token.
    UserDefined,
    /// A row of the embedding without a meaning.
    Unused,
    /// One raw byte, written `<0x0A>`.
    Byte,
}

impl TokenType {
    pub(super) fn from_id(id: i32) -> Result<Self> {
        Ok(match id {
            0 | 1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => bail!(Malformed, "tokenizer.ggml.token_type: {id} is no token type (1 to 6)"),
        })
    }
}

/// Which algorithm tokenizes text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    /// Byte-level BPE, `tokenizer.ggml.model` = `gpt2`.
    Bpe(PreTokenizer),
    /// Sentencepiece with merges ordered by score, `tokenizer.ggml.model` = `llama`.
    Spm,
}

/// The ids that the file gives a role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpecialIds {
    /// Begins a text.
    pub bos: Option<u32>,
    /// Ends a text.
    pub eos: Option<u32>,
    /// Ends a turn of a chat.
    pub eot: Option<u32>,
    /// Ends a message to a tool.
    pub eom: Option<u32>,
    /// Stands for what the vocabulary cannot express.
    pub unk: Option<u32>,
    /// Fills up a batch.
    pub pad: Option<u32>,
    /// `tokenizer.ggml.mask_token_id`; see [`super::Tokenizer::mask_token`] for the mask token to
    /// use.
    pub mask: Option<u32>,
}

impl SpecialIds {
    /// The ids of the keys; [`super::end`] completes those that end something.
    pub(super) fn from_metadata(
        metadata: &Metadata,
        model: Model,
        tokens: usize,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self> {
        // Sentencepiece models have these ids unless the file says otherwise.
        let usual = |id: u32| (model == Model::Spm && (id as usize) < tokens).then_some(id);
        let mut key = |key| id_of(metadata, key, tokens, warnings);
        Ok(Self {
            bos: key("tokenizer.ggml.bos_token_id")?.or(usual(1)),
            eos: key("tokenizer.ggml.eos_token_id")?.or(usual(2)),
            eot: None,
            eom: None,
            unk: key("tokenizer.ggml.unknown_token_id")?.or(usual(0)),
            pad: key("tokenizer.ggml.padding_token_id")?,
            mask: key("tokenizer.ggml.mask_token_id")?,
        })
    }
}

/// The id that `key` gives a role. Files say that there is none by -1 or an id beyond the
/// vocabulary; the latter may also be a mistake.
pub(super) fn id_of(
    metadata: &Metadata,
    key: &'static str,
    tokens: usize,
    warnings: &mut Vec<Warning>,
) -> Result<Option<u32>> {
    let Some(id) = metadata.i64(key)?.filter(|&id| id >= 0 && id != i64::from(u32::MAX)) else { return Ok(None) };
    let inside = u32::try_from(id).ok().filter(|&id| (id as usize) < tokens);
    if inside.is_none() {
        warnings.push(Warning::outside(key, id, tokens));
    }
    Ok(inside)
}

/// Something in a tokenizer's metadata that was not taken at its word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Which it is, for programs.
    pub code: &'static str,
    /// What it is, in a sentence.
    pub message: String,
}

impl Warning {
    pub(super) fn outside(key: &str, id: i64, tokens: usize) -> Self {
        let message = format!("{key} has the id {id}, but the vocabulary has {tokens} tokens: it is ignored");
        Self { code: "special-token-ignored", message }
    }
}
