//! What a conversion does, and did.

#![forbid(unsafe_code)]

use super::weights::Origin;
use crate::decode::DiffusionSettings;
use crate::findings::Finding;
use serde::Serialize;

/// What a checkpoint is, and what becomes of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The class in `config.json`.
    pub class: String,
    /// `general.architecture` of the file.
    pub architecture: &'static str,
    /// Why linear layers were taken for BitLinear ones; nothing when they were not.
    pub ternary_because: Option<&'static str>,
    /// What is done with the `weight_scale` beside packed weights, where there is one: `multiply`
    /// or `divide`.
    pub weight_scale: Option<&'static str>,
    /// SubLN norms in the file: `none`, `two` or `seven`.
    pub sub_norms: &'static str,
    /// Kind of tokenizer, its pre-tokenizer and size.
    pub tokenizer: String,
    /// Whether the checkpoint brings its own chat template.
    pub chat_template: bool,
    /// How the file decodes by diffusion, if it does.
    pub diffusion: Option<DiffusionSettings>,
    /// The mask token as the vocabulary spells it.
    pub mask_token_text: Option<String>,
    /// The decode modes that make sense, the one that `auto` chooses first.
    pub modes: &'static [&'static str],
    /// Bytes of tensor data.
    pub bytes: u64,
    /// Every tensor of the file.
    pub tensors: Vec<TensorReport>,
    /// Tensors of the checkpoint that are not in the file, and why.
    pub dropped: Vec<Dropped>,
    /// Things to know that are not errors, the worst first.
    pub findings: Vec<Finding>,
}

/// One tensor of the file.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TensorReport {
    /// Its name.
    pub name: String,
    /// The tensor of the checkpoint that it was made from; nothing for computed ones.
    pub source: Option<String>,
    /// That tensor's type.
    pub source_type: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: &'static str,
    /// Its dimensions, the fastest first.
    pub dims: Vec<u64>,
    /// Why it has another type than was asked for.
    pub fallback: Option<String>,
    /// For matrices, once read: the form of the weights in the checkpoint. [`super::Plan::sample`]
    /// reads those of the first layer.
    pub origin: Option<Origin>,
    /// For ternary weights, once read: their scale, where they have one.
    pub scale: Option<f32>,
    /// For weights that are three-valued in groups, once read: the columns of a group.
    pub group: Option<usize>,
    /// For ternary weights, once read: the share of zeros, from 0 to 1.
    pub zeros: Option<f64>,
}

/// A tensor that was left out.
#[derive(Clone, Debug, Serialize)]
pub struct Dropped {
    /// Its name in the checkpoint.
    pub name: String,
    /// Why.
    pub reason: &'static str,
}
