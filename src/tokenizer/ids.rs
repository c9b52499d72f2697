//! Token ids with a role: which begin a text, which end an answer, which one masks.

#![forbid(unsafe_code)]

use super::text::TokenTable;
use super::vocabulary::{Model, TokenType, Vocabulary};
use crate::Result;
use crate::gguf::Metadata;

/// Control tokens of these names end an answer, whatever the id keys say.
const STOP_NAMES: [&str; 5] = ["<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<|end_of_text|>", "</s>"];

/// Control tokens of these names end a turn of a chat, the first that exists.
const EOT_NAMES: [&str; 2] = ["<|eot_id|>", "<|im_end|>"];

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
    /// Stands for what the vocabulary cannot express.
    pub unk: Option<u32>,
    /// Fills up a batch.
    pub pad: Option<u32>,
    /// `tokenizer.ggml.mask_token_id`; see [`super::Tokenizer::mask_token`] for the mask token to use.
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

impl SpecialIds {
    pub(super) fn from_metadata(
        metadata: &Metadata,
        model: Model,
        tokens: &[String],
        types: &[TokenType],
    ) -> Result<Self> {
        // Sentencepiece models have these ids unless the file says otherwise.
        let usual = |id: u32| (model == Model::Spm && (id as usize) < tokens.len()).then_some(id);
        let required = |key: &str| -> Result<Option<u32>> {
            let id = metadata.u32(key)?.filter(|&id| id != u32::MAX);
            if let Some(id) = id.filter(|&id| id as usize >= tokens.len()) {
                bail!(Malformed, "{key} is {id}, but the vocabulary has {} tokens", tokens.len());
            }
            Ok(id)
        };
        // Many files point these past the vocabulary to say that there is none.
        let lenient = |key: &str| Ok(metadata.u32(key)?.filter(|&id| (id as usize) < tokens.len()));
        let control = |name: &str| {
            let found = tokens.iter().zip(types).position(|(token, &kind)| kind == TokenType::Control && token == name);
            found.map(|id| id as u32)
        };
        Ok(Self {
            bos: required("tokenizer.ggml.bos_token_id")?.or(usual(1)),
            eos: required("tokenizer.ggml.eos_token_id")?.or(usual(2)),
            eot: required("tokenizer.ggml.eot_token_id")?.or_else(|| EOT_NAMES.iter().find_map(|name| control(name))),
            unk: lenient("tokenizer.ggml.unknown_token_id")?.or(usual(0)),
            pad: lenient("tokenizer.ggml.padding_token_id")?,
            mask: required("tokenizer.ggml.mask_token_id")?,
        })
    }

    pub(super) fn stop_ids(&self, vocabulary: &Vocabulary) -> Vec<u32> {
        let named =
            vocabulary.entries().filter(|&(_, text, kind)| kind == TokenType::Control && STOP_NAMES.contains(&text));
        let mut ids: Vec<u32> = named.map(|(id, ..)| id).chain(self.eos).chain(self.eot).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
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
