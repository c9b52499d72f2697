//! The tokens of a checkpoint, in the order of their ids.

#![forbid(unsafe_code)]

use std::collections::HashMap;

use serde_json::Value;

use super::schema::AddedToken;
use super::{CONTROL, UNKNOWN, UNUSED, USER_DEFINED};
use crate::Result;
use crate::findings::{self, Finding};

/// Ids of this size are refused: no vocabulary in use has as many tokens, and every id up to the
/// largest takes memory.
pub(super) const MAX_ID: u32 = 1 << 20;

/// The tokens in the order of their ids.
pub(super) struct Vocabulary {
    pub(super) tokens: Vec<String>,
    pub(super) types: Vec<i32>,
    /// The id of each token as the checkpoint spells it.
    pub(super) ids: HashMap<String, u32>,
}

impl Vocabulary {
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }
}

/// A vocabulary being filled.
pub(super) struct Slots {
    /// The file that it comes from, for messages.
    file: &'static str,
    slots: Vec<Option<(String, i32)>>,
    ids: HashMap<String, u32>,
}

impl Slots {
    /// Room for as many tokens as the embedding has rows, and at least for ids up to `largest`.
    pub(super) fn new(file: &'static str, largest: u32, config: &Value) -> Result<Self> {
        let rows = config["vocab_size"].as_u64().unwrap_or(u64::from(largest) + 1);
        if largest >= MAX_ID {
            bail!(Limits, "{file} has a token {largest}; ids below {MAX_ID} are supported");
        }
        if rows > u64::from(MAX_ID) {
            bail!(Limits, "config.json: vocab_size is {rows}; at most {MAX_ID} is supported");
        }
        if u64::from(largest) >= rows {
            bail!(
                Malformed,
                "{file} has a token {largest}, but vocab_size in config.json is {rows}: they come from different versions of the \
                 checkpoint, often from before and after a mask token was added; put together what belongs together"
            );
        }
        Ok(Self { file, slots: vec![None; rows as usize], ids: HashMap::new() })
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// A token of the model.
    pub(super) fn set(&mut self, id: u32, token: &str, kind: i32) -> Result<()> {
        if let Some((other, _)) = self.slots[id as usize].replace((token.to_owned(), kind)) {
            bail!(Malformed, "{}: {other:?} and {token:?} have the same id, {id}", self.file);
        }
        self.ids.insert(token.to_owned(), id);
        Ok(())
    }

    /// A token beside the model, or a role for one of its own. In sentencepiece vocabularies `▁` is
    /// a blank.
    pub(super) fn add(&mut self, added: &AddedToken, sentencepiece: bool, findings: &mut Vec<Finding>) -> Result<()> {
        let AddedToken { id, content, .. } = added;
        if added.lstrip || added.rstrip || added.single_word {
            let message = format!(
                "{}: the added token {content:?} is recognized with the blanks around it (lstrip, rstrip) or as a whole word only \
                 (single_word). GGUF cannot say so: in the file these blanks are tokens of their own, and parts of words are recognized",
                self.file
            );
            findings::add(findings, Finding::warning("added-token-blanks", message));
        }
        let slot = &mut self.slots[*id as usize];
        match slot {
            Some((other, _)) if other != content => {
                bail!(Malformed, "{}: {other:?} and {content:?} have the same id, {id}", self.file);
            }
            Some((_, UNKNOWN)) => {}
            _ if added.special => *slot = Some((content.clone(), CONTROL)),
            _ if sentencepiece => *slot = Some((content.replace('▁', " "), USER_DEFINED)),
            _ => *slot = Some((content.clone(), USER_DEFINED)),
        }
        self.ids.insert(content.clone(), *id);
        Ok(())
    }

    /// The vocabulary. Ids without a token become unused tokens.
    pub(super) fn finish(self) -> Vocabulary {
        let unused = |id: usize| (format!("[PAD{id}]"), UNUSED);
        let filled = self.slots.into_iter().enumerate().map(|(id, slot)| slot.unwrap_or_else(|| unused(id)));
        let (tokens, types) = filled.unzip();
        Vocabulary { tokens, types, ids: self.ids }
    }
}
