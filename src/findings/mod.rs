//! What somebody should know about a model, and what to do about it.
//!
//! An [`Error`] ends what was asked for; a [`Finding`] comes with the answer. Inspecting,
//! converting and verifying report the same findings, so that a defect has one name wherever it is
//! seen:
//!
//! | code | of | what it says |
//! |---|---|---|
//! | `sub-norms` | `model` | there are SubLN norms, and who runs them |
//! | `sub-norms-missing` | `model` | the architecture wants SubLN norms, and the file has none |
//! | `sub-norms-dropped` | `convert` | they were left out, as asked |
//! | `no-mask-token` | `model` | nothing says which token masks |
//! | `mask-token-stops` | `model` | the mask token ends answers too |
//! | `block-size-assumed`, `attention-assumed`, `shift-assumed` | `model` | the block size or kind of attention is not said |
//! | `chat-template` | `model` | the chat template does not compile |
//! | `pre-tokenizer-assumed`, `special-token-ignored` | `tokenizer` | what is missing or impossible in a tokenizer's metadata |
//! | `causal-attention` | `model` | blocks see only what is before them |
//! | `vocabulary-mismatch` | `inspect` | tokens and rows of the embedding differ in number |
//! | `activation-assumed` | `inspect` | architecture `bitnet` without a word on its activation |
//! | `block-size-changed`, `block-diffusion-assumed` | `convert` | another block size than that of training; bd3lm or mdlm |
//! | `fallback-type` | `model` | rows do not fit the blocks of a ternary type |
//! | `raw-weights` | `weights` | a ternary type made from weights that were not ternary |
//! | `unused-code` | `weights` | code 3, which no ternary weight has |
//! | `two-bit-weights` | `weights` | code 3 where each block has its scale: weights of two bits |
//! | `all-zero` | `weights` | nothing but zeros |
//! | `lost-scale`, `collapsed-scale`, `implausible-scale` | `weights` | scales of 1, those of ternarizing twice, others that training does not give |
//! | `no-zeros`, `implausible-zeros` | `weights` | shares of zeros that ternarizing does not give |
//! | `lossy-type`, `float-ternary` | `convert` | what the type asked for does to ternary weights |
//! | `role-ignored`, `added-token-blanks` | `convert` | what a checkpoint says of tokens that do not exist, and what GGUF cannot say |
//! | `head-kept`, `stop-token-lost`, `other-weights` | `convert` | contradictions in the checkpoint, and how they were settled |
//! | `architecture`, `metadata`, `missing-tensor`, `extra-tensor`, `shape`, `product`, `vector`, `not-ternary` | `verify` | where a file differs from its checkpoint |
//! | `tokenizer-ids`, `tokenizer-text`, `tokenizer-normalization`, `tokenizer-prefix`, `special-tokens`, `chat-template` | `verify` | where its tokenizer does |
//!
//! What keeps a model from running has the code of the error that running it would end with.

#![forbid(unsafe_code)]

pub(crate) mod model;
pub(crate) mod weights;

use crate::error::Error;
use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The model does not run, or what it computes is wrong.
    Problem,
    /// Something is likely wrong, or worse than it could be.
    Warning,
    /// Nothing is wrong.
    Note,
}

impl Severity {
    /// As in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One thing to know about a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which finding it is, for programs: see [the module](self).
    pub code: &'static str,
    /// What was found, in sentences. Figures are those of the first tensor.
    pub message: String,
    /// What to do about it, where there is something to do that the message does not say.
    pub remedy: Option<String>,
    /// The tensors that it is about; empty when it is about the model.
    pub tensors: Vec<String>,
}

impl Finding {
    fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        Self { severity, code, message: message.into(), remedy: None, tensors: Vec::new() }
    }

    pub(crate) fn problem(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Problem, code, message)
    }

    pub(crate) fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    pub(crate) fn note(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, message)
    }

    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    pub(crate) fn about(mut self, tensor: impl Into<String>) -> Self {
        self.tensors.push(tensor.into());
        self
    }
}

impl From<Error> for Finding {
    fn from(error: Error) -> Self {
        Self::problem(error.code().as_str(), error.message())
    }
}

/// Adds a finding, the worst first. Where there is one of its code about tensors, it only adds its
/// tensors to that.
pub(crate) fn add(findings: &mut Vec<Finding>, new: Finding) {
    let same = |old: &&mut Finding| old.code == new.code && !old.tensors.is_empty() && !new.tensors.is_empty();
    if let Some(old) = findings.iter_mut().find(same) {
        let more = new.tensors.into_iter().filter(|tensor| !old.tensors.contains(tensor)).collect::<Vec<_>>();
        old.tensors.extend(more);
    } else {
        let place = findings.partition_point(|old| old.severity <= new.severity);
        findings.insert(place, new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn findings_come_worst_first_and_once_for_many_tensors() {
        let mut findings = Vec::new();
        add(&mut findings, Finding::note("a", "1"));
        add(&mut findings, Finding::problem("b", "2").about("x"));
        add(&mut findings, Finding::warning("c", "3").remedy("do"));
        add(&mut findings, Finding::problem("b", "4").about("y"));
        add(&mut findings, Finding::note("a", "5"));
        let seen: Vec<_> = findings.iter().map(|finding| (finding.code, finding.message.as_str())).collect();
        assert_eq!(seen, [("b", "2"), ("c", "3"), ("a", "1"), ("a", "5")]);
        assert_eq!(findings[0].tensors, ["x", "y"]);
        let json =
            serde_json::json!({ "severity": "warning", "code": "c", "message": "3", "remedy": "do", "tensors": [] });
        assert_eq!(serde_json::json!(findings[1]), json);
    }
}
