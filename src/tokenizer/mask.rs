//! Which token masks, for diffusion models.

#![forbid(unsafe_code)]

use super::text::TokenTable;
use super::types::{SpecialIds, TokenType};
use crate::Result;

/// What diffusion models call their mask token, in the order in which they are tried.
pub(crate) const MASK_NAMES: [&str; 6] = ["|<MASK>|", "<|mask|>", "<|MASK|>", "<|mdm_mask|>", "[MASK]", "<mask>"];

/// What a caller says about the mask token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaskChoice {
    /// Use this id, whatever the file says.
    pub id: Option<u32>,
    /// Accept a mask token that also ends answers.
    pub force: bool,
}

impl SpecialIds {
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
