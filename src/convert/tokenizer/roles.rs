//! Which tokens have a role.

#![forbid(unsafe_code)]

use serde_json::Value;

use super::Parts;
use crate::Result;

/// Which tokens have a role, and whether BOS and EOS are added to texts.
pub(super) struct Roles {
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) eot: Option<u32>,
    pub(super) unk: Option<u32>,
    pub(super) pad: Option<u32>,
    pub(super) mask: Option<u32>,
    pub(super) add_bos: bool,
    pub(super) add_eos: bool,
}

impl Roles {
    pub(super) fn new(parts: &Parts, tokenizer_config: &Value, config: &Value) -> Result<Self> {
        let Parts { file, vocabulary, template, .. } = parts;
        let by_token = |role: &str| -> Result<Option<u32>> {
            let token = match &tokenizer_config[role] {
                Value::Object(token) => token.get("content").and_then(Value::as_str),
                token => token.as_str(),
            };
            let Some(token) = token else { return Ok(None) };
            match vocabulary.ids.get(token) {
                Some(&id) => Ok(Some(id)),
                None => bail!(Malformed, "tokenizer_config.json: {role} {token:?} is not in {file}"),
            }
        };
        // One id, or a list of them.
        let in_config = |key: &str| -> Result<Vec<u32>> {
            let ids = match &config[key] {
                Value::Array(ids) => ids.as_slice(),
                Value::Null => &[],
                id => std::slice::from_ref(id),
            };
            let checked = ids.iter().map(|id| match id.as_u64() {
                Some(id) if id < vocabulary.len() as u64 => Ok(id as u32),
                _ => {
                    bail!(Malformed, "config.json: {key} {id} is no id of a vocabulary of {} tokens", vocabulary.len())
                }
            });
            checked.collect()
        };
        let or_config = |role: &str, key: &str| -> Result<Option<u32>> {
            Ok(match by_token(role)? {
                Some(id) => Some(id),
                None => in_config(key)?.first().copied(),
            })
        };
        let bos = or_config("bos_token", "bos_token_id")?.or(parts.bos);
        let eos = or_config("eos_token", "eos_token_id")?.or(parts.eos);

        let added = |flag: &str, role: Option<u32>, end: &Option<String>, default: bool| -> Result<bool> {
            let add = match (tokenizer_config[flag].as_bool(), end, template.given) {
                (Some(add), ..) => add,
                (None, Some(token), _) if role.is_some() && vocabulary.ids.get(token) == role.as_ref() => true,
                (None, Some(token), _) => bail!(
                    UnsupportedArchitecture,
                    "{file}: post_processor adds {token:?}, which is neither BOS in front nor EOS behind; GGUF cannot express it"
                ),
                (None, None, true) => false,
                (None, None, false) => default,
            };
            Ok(add && role.is_some())
        };
        Ok(Self {
            bos,
            eos,
            eot: in_config("eos_token_id")?.into_iter().find(|&id| Some(id) != eos),
            unk: by_token("unk_token")?.or(parts.unknown),
            pad: or_config("pad_token", "pad_token_id")?.or(parts.pad),
            mask: by_token("mask_token")?,
            add_bos: added("add_bos_token", bos, &template.first, parts.sentencepiece)?,
            add_eos: added("add_eos_token", eos, &template.last, false)?,
        })
    }
}
