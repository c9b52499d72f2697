//! Which tokens have a role.

#![forbid(unsafe_code)]

use serde_json::Value;

use super::Parts;
use crate::Result;
use crate::findings::{self, Finding};

/// A role that a file gives to a token that does not exist, as it often gives padding to `[PAD]` or
/// -1: no token has it.
fn no_such_role(findings: &mut Vec<Finding>, message: String) {
    findings::add(findings, Finding::note("role-ignored", message));
}

/// Which tokens have a role, and whether BOS and EOS are added to texts.
pub(super) struct Roles {
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) eot: Option<u32>,
    pub(super) eom: Option<u32>,
    pub(super) unk: Option<u32>,
    pub(super) pad: Option<u32>,
    pub(super) mask: Option<u32>,
    pub(super) add_bos: bool,
    pub(super) add_eos: bool,
}

impl Roles {
    pub(super) fn new(
        parts: &Parts,
        tokenizer_config: &Value,
        config: &Value,
        findings: &mut Vec<Finding>,
    ) -> Result<Self> {
        let Parts { file, vocabulary, template, .. } = parts;
        let by_token = |role: &str, findings: &mut Vec<Finding>| -> Option<u32> {
            let token = match &tokenizer_config[role] {
                Value::Object(token) => token.get("content").and_then(Value::as_str),
                token => token.as_str(),
            }?;
            let id = vocabulary.ids.get(token).copied();
            if id.is_none() {
                let message =
                    format!("tokenizer_config.json: {role} {token:?} is not in {file}: no token has this role");
                no_such_role(findings, message);
            }
            id
        };
        // One id, or a list of them.
        let in_config = |key: &str, findings: &mut Vec<Finding>| -> Vec<u32> {
            let ids = match &config[key] {
                Value::Array(ids) => ids.as_slice(),
                Value::Null => &[],
                id => std::slice::from_ref(id),
            };
            let known = |id: &&Value| id.as_u64().is_some_and(|id| id < vocabulary.len() as u64);
            if let Some(id) = ids.iter().find(|id| !known(id)) {
                let message = format!(
                    "config.json: {key} {id} is no id of a vocabulary of {} tokens: no token has this role",
                    vocabulary.len()
                );
                no_such_role(findings, message);
            }
            ids.iter().filter(known).filter_map(|id| Some(id.as_u64()? as u32)).collect()
        };
        let or_config = |role: &str, key: &str, findings: &mut Vec<Finding>| {
            by_token(role, findings).or_else(|| in_config(key, findings).first().copied())
        };
        let bos = or_config("bos_token", "bos_token_id", findings).or(parts.bos);
        let eos = or_config("eos_token", "eos_token_id", findings).or(parts.eos);
        let mut ends = in_config("eos_token_id", &mut Vec::new()).into_iter().filter(|&id| Some(id) != eos);

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
            eot: ends.next(),
            eom: ends.next(),
            unk: by_token("unk_token", findings).or(parts.unknown),
            pad: or_config("pad_token", "pad_token_id", findings).or(parts.pad),
            mask: by_token("mask_token", findings),
            add_bos: added("add_bos_token", bos, &template.first, parts.sentencepiece)?,
            add_eos: added("add_eos_token", eos, &template.last, false)?,
        })
    }
}
