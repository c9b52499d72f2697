//! Token ids with a role: which begin a text, which end an answer, which one masks.

#![forbid(unsafe_code)]

use super::Warning;
use super::text::TokenTable;
use super::vocabulary::{Model, TokenType};
use crate::Result;
use crate::gguf::Metadata;

/// What diffusion models call their mask token, in the order in which they are tried.
pub(crate) const MASK_NAMES: [&str; 6] = ["|<MASK>|", "<|mask|>", "<|MASK|>", "<|mdm_mask|>", "[MASK]", "<mask>"];

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

/// What a caller says about the mask token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaskChoice {
    /// Use this id, whatever the file says.
    pub id: Option<u32>,
    /// Accept a mask token that also ends answers.
    pub force: bool,
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

    pub(super) fn mask_token(&self, choice: MaskChoice, table: &TokenTable, stop_ids: &[u32]) -> Result<Option<u32>> {
        let stops = |id: u32| !choice.force && stop_ids.contains(&id);
        if let Some(id) = choice.id {
            let Some(name) = table.raw(id) else {
                bail!(BadOption, "mask token id {id} is outside the vocabulary of {} tokens", table.len());
            };
            if stops(id) {
                bail!(BadOption, "mask token id {id} ({name}) also ends answers; choose another or force it");
            }
            return Ok(Some(id));
        }
        let Some(id) = self.mask.or_else(|| named_mask(table)) else {
            return Ok(None);
        };
        if stops(id) {
            let name = table.label(id);
            bail!(NoMaskToken, "the file's mask token, {id} ({name}), also ends answers; name another or force it");
        }
        Ok(Some(id))
    }
}

fn named_mask(table: &TokenTable) -> Option<u32> {
    let is_special = |id: u32| matches!(table.kind(id), TokenType::Control | TokenType::UserDefined);
    let named = |name: &str| (0..table.len() as u32).find(|&id| is_special(id) && table.raw(id) == Some(name));
    MASK_NAMES.into_iter().find_map(named)
}
