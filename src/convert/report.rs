//! What a conversion did.

#![forbid(unsafe_code)]

use super::weights::Origin;
use crate::engine::DiffusionInfo;
use serde::Serialize;

/// What became of a checkpoint.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The class in `config.json`.
    pub class: String,
    /// `general.architecture` of the file.
    pub architecture: &'static str,
    /// Why linear layers were taken for BitLinear ones; nothing when they were not.
    pub ternary_because: Option<&'static str>,
    /// SubLN norms in the file: `none`, `two` or `seven`.
    pub sub_norms: &'static str,
    /// How the file decodes by diffusion, if it does.
    pub diffusion: Option<DiffusionInfo>,
    /// Bytes of tensor data.
    pub bytes: u64,
    /// Every tensor of the file.
    pub tensors: Vec<TensorReport>,
    /// Tensors of the checkpoint that are not in the file, and why.
    pub dropped: Vec<Dropped>,
    /// Things the user should know that are not errors.
    pub notices: Vec<String>,
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
    /// For matrices, once written: the form of the weights in the checkpoint.
    pub origin: Option<Origin>,
    /// For ternary weights, once written: their scale.
    pub scale: Option<f32>,
    /// For ternary weights, once written: the share of zeros.
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
