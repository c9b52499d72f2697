//! What a caller may choose about a conversion.

#![forbid(unsafe_code)]

use crate::decode::DiffusionOverrides;
use crate::error::Result;
use crate::gguf::GgmlType;
use serde::{Deserialize, Deserializer};

/// The types that can be written.
const WRITABLE: [GgmlType; 10] = [
    GgmlType::Q2_0,
    GgmlType::Pq2_0,
    GgmlType::Tq1_0,
    GgmlType::Tq2_0,
    GgmlType::I2S,
    GgmlType::Q8_0,
    GgmlType::Q4_0,
    GgmlType::F16,
    GgmlType::Bf16,
    GgmlType::F32,
];

/// A type to write, or none: what suits the checkpoint. (Under its own name, because clap makes
/// every `Option` optional.)
type ChosenType = Option<GgmlType>;

/// Choices; [`ConvertOptions::default`] suits most checkpoints. In JSON: camel case, unknown names
/// refused.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct ConvertOptions {
    /// Type of the linear layers: auto, q2_0, pq2_0, tq1_0, tq2_0, i2_s, q8_0, q4_0, f16, bf16 or
    /// f32. auto is q2_0 for ternary layers, 16-bit floats for others.
    #[serde(rename = "type", deserialize_with = "type_name")]
    #[cfg_attr(feature = "cli", arg(long = "type", default_value = "auto", value_name = "TYPE", value_parser = type_or_auto))]
    pub ty: ChosenType,
    /// Type of the embedding and the output head [default: as --type unless that is ternary (q8_0
    /// for q4_0), else the checkpoint's own]
    #[serde(deserialize_with = "type_name")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TYPE", value_parser = output_type))]
    pub embedding_type: Option<GgmlType>,
    /// What to do with SubLN norms. drop makes a file for runtimes that cannot run them: it
    /// computes another function, and a worse one.
    #[cfg_attr(feature = "cli", arg(long, default_value = "keep", value_name = "KEEP|DROP"))]
    pub subln: SubLn,
    /// Ternarize the linear layers of a model that does not say that it is BitNet.
    #[cfg_attr(feature = "cli", arg(long))]
    pub ternarize: bool,
    /// How the scales of ternary linear layers with one scale are written: f32 in tensors of their
    /// own, exactly, or f16 in every block, for runtimes that refuse unknown tensors.
    #[cfg_attr(feature = "cli", arg(long, default_value = "f32", value_name = "F32|F16"))]
    pub scales: Scales,
    /// `general.name`.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub name: Option<String>,
    /// Positions decoded together, whatever the checkpoint says.
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..)))]
    pub block_size: Option<u32>,
    /// What the caller knows better about diffusion decoding.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub diffusion: DiffusionOverrides,
}

/// How the scale of a ternary layer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Scales {
    /// As f32, in a tensor `*.scale` that the output of the layer is multiplied with; the scales of
    /// blocks are 1.
    #[default]
    F32,
    /// In every block, rounded to f16.
    F16,
}

/// What to do with SubLN norms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum SubLn {
    /// Write them.
    #[default]
    Keep,
    /// Leave them out.
    Drop,
}

/// The type that an option such as `q2_0` names.
///
/// # Errors
///
/// `bad-option`, with the list of types that can be written.
pub fn output_type(name: &str) -> Result<GgmlType> {
    WRITABLE.into_iter().find(|ty| ty.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
        let names = WRITABLE.map(|ty| ty.name().to_lowercase()).join(", ");
        err!(BadOption, "type \"{name}\" cannot be written; these can: {names}")
    })
}

#[cfg(feature = "cli")]
fn type_or_auto(name: &str) -> Result<ChosenType> {
    if name == "auto" { Ok(None) } else { output_type(name).map(Some) }
}

fn type_name<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<GgmlType>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    name.as_deref().map(output_type).transpose().map_err(serde::de::Error::custom)
}

impl ConvertOptions {
    /// Checks what can be checked without a checkpoint.
    pub(super) fn validate(&self) -> Result<()> {
        for (option, ty) in [("type", self.ty), ("embedding type", self.embedding_type)] {
            if let Some(ty) = ty {
                output_type(ty.name()).map_err(|error| error.at(option))?;
            }
        }
        if let Some(ty) = self.embedding_type.filter(|ty| ty.is_ternary()) {
            bail!(BadOption, "embedding type {ty}: the embedding is not ternary; choose q8_0 or a float type");
        }
        if self.block_size == Some(0) {
            bail!(BadOption, "the block size is 0");
        }
        Ok(())
    }
}
