//! What a caller may choose about a conversion.

#![forbid(unsafe_code)]

use crate::engine::AttentionKind;
use crate::error::Result;
use crate::gguf::GgmlType;

/// The types that can be written.
const WRITABLE: [GgmlType; 9] = [
    GgmlType::Q2_0,
    GgmlType::Tq1_0,
    GgmlType::Tq2_0,
    GgmlType::I2S,
    GgmlType::Q8_0,
    GgmlType::Q4_0,
    GgmlType::F16,
    GgmlType::Bf16,
    GgmlType::F32,
];

/// Choices; [`Options::default`] suits most checkpoints.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The type of linear layers. `None`: `Q2_0` for ternary ones, 16-bit floats for others.
    pub ty: Option<GgmlType>,
    /// The type of the token embedding and the output head. `None`: as `ty` where that is not a ternary type (`Q8_0` for
    /// `Q4_0`), else what the checkpoint has.
    pub embedding_type: Option<GgmlType>,
    /// Leave SubLN norms out, for runtimes that cannot run them. The result is another function, and worse.
    pub drop_sub_norms: bool,
    /// Ternarize linear layers although nothing in the checkpoint says that they are BitLinear.
    pub ternarize: bool,
    /// `general.name`.
    pub name: Option<String>,
    /// The mask token, whatever the checkpoint says.
    pub mask_token_id: Option<u32>,
    /// Accept a mask token that also ends answers.
    pub force_mask_token: bool,
    /// Positions decoded together, whatever the checkpoint says.
    pub block_size: Option<u32>,
    /// How blocks attend, whatever the checkpoint says.
    pub attention: Option<AttentionKind>,
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

impl Options {
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
