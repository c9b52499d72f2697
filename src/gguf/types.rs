//! The tensor types of ggml: ids, names, and how many weights share how many bytes.
//!
//! Block sizes are those of `ggml-common.h`; what the bytes mean is in [`crate::quant`].

#![forbid(unsafe_code)]

use crate::error::Result;
use std::fmt;

/// A tensor type that webtern reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are ggml's own names, described in `quant`")]
pub enum GgmlType {
    F32,
    F16,
    Bf16,
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    Tq1_0,
    Tq2_0,
    Q2_0,
    I2S,
}

/// One row a type: type, ggml id, name, weights in a block, bytes of a block.
///
/// `I2_S` packs 4 weights a byte over the whole tensor and adds a 32-byte tail, see [`GgmlType::tensor_bytes`].
const TYPES: [(GgmlType, u32, &str, usize, usize); 17] = [
    (GgmlType::F32, 0, "F32", 1, 4),
    (GgmlType::F16, 1, "F16", 1, 2),
    (GgmlType::Q4_0, 2, "Q4_0", 32, 18),
    (GgmlType::Q4_1, 3, "Q4_1", 32, 20),
    (GgmlType::Q5_0, 6, "Q5_0", 32, 22),
    (GgmlType::Q5_1, 7, "Q5_1", 32, 24),
    (GgmlType::Q8_0, 8, "Q8_0", 32, 34),
    (GgmlType::Q2K, 10, "Q2_K", 256, 84),
    (GgmlType::Q3K, 11, "Q3_K", 256, 110),
    (GgmlType::Q4K, 12, "Q4_K", 256, 144),
    (GgmlType::Q5K, 13, "Q5_K", 256, 176),
    (GgmlType::Q6K, 14, "Q6_K", 256, 210),
    (GgmlType::Bf16, 30, "BF16", 1, 2),
    (GgmlType::Tq1_0, 34, "TQ1_0", 256, 54),
    (GgmlType::Tq2_0, 35, "TQ2_0", 256, 66),
    (GgmlType::I2S, 36, "I2_S", 128, 32),
    (GgmlType::Q2_0, 42, "Q2_0", 64, 18),
];

/// Types that exist and are refused by name.
const REFUSED: [(u32, &str); 25] = [
    (4, "Q4_2 (removed)"),
    (5, "Q4_3 (removed)"),
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (37, "I8_S or IQ4_NL_4_8"),
    (38, "TL1 or IQ4_NL_8_8"),
    (39, "MXFP4 or TL2"),
    (40, "NVFP4"),
    (41, "Q1_0"),
    (142, "PQ2_0"),
    (143, "PTQ1_0"),
];

impl GgmlType {
    /// Every type webtern reads, by ggml id.
    pub fn all() -> impl Iterator<Item = Self> {
        TYPES.iter().map(|row| row.0)
    }

    /// The type with ggml id `id`; other ids are refused with their name.
    pub fn from_id(id: u32) -> Result<Self> {
        if let Some(row) = TYPES.iter().find(|row| row.1 == id) {
            return Ok(row.0);
        }
        let name = REFUSED.iter().find(|row| row.0 == id).map_or("unknown to ggml", |row| row.1);
        let known = TYPES.map(|row| row.2).join(", ");
        bail!(UnsupportedType, "tensor type {id} ({name}) is not supported; webtern reads {known}")
    }

    fn row(self) -> &'static (Self, u32, &'static str, usize, usize) {
        TYPES.iter().find(|row| row.0 == self).expect("every variant has a row in TYPES")
    }

    /// The ggml id, as written in files.
    pub fn id(self) -> u32 {
        self.row().1
    }

    /// The name ggml uses, such as `Q4_K`.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// Weights in one block.
    pub fn block_len(self) -> usize {
        self.row().3
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        self.row().4
    }

    /// Whether the type can only hold `{-s, 0, +s}` (and, in `Q2_0`, `+2s`): the BitNet types.
    pub fn is_ternary(self) -> bool {
        matches!(self, Self::Tq1_0 | Self::Tq2_0 | Self::Q2_0 | Self::I2S)
    }

    /// Bytes of a tensor of `rows` rows of `cols` weights, or `None` when a row is not a whole number of blocks or the
    /// product overflows.
    ///
    /// Rows are contiguous runs of blocks, except for `I2_S`, whose blocks run over the flattened tensor and are followed
    /// by 32 bytes that begin with the f32 scale.
    pub fn tensor_bytes(self, rows: u64, cols: u64) -> Option<u64> {
        let (block, bytes) = (self.block_len() as u64, self.block_bytes() as u64);
        let weights = rows.checked_mul(cols)?;
        let whole = if self == Self::I2S { weights } else { cols };
        if !whole.is_multiple_of(block) {
            return None;
        }
        let size = (weights / block).checked_mul(bytes)?;
        if self == Self::I2S { size.checked_add(32) } else { Some(size) }
    }
}

impl fmt::Display for GgmlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn every_type_finds_itself_by_id() {
        for ty in GgmlType::all() {
            assert_eq!(GgmlType::from_id(ty.id()), Ok(ty), "{ty}");
        }
    }

    #[test]
    fn refuses_other_types_by_name() {
        let error = GgmlType::from_id(16).unwrap_err();
        assert_eq!(error.code(), crate::ErrorCode::UnsupportedType, "{error}");
        assert!(error.message().contains("IQ2_XXS"), "{error}");
    }

    #[test]
    fn sizes_follow_the_block_structure() {
        assert_eq!(GgmlType::Q2_0.tensor_bytes(576, 576), Some(576 * 9 * 18));
        assert_eq!(GgmlType::Tq2_0.tensor_bytes(576, 576), None, "576 is not a multiple of 256");
        assert_eq!(GgmlType::I2S.tensor_bytes(576, 576), Some(576 * 576 / 4 + 32));
        assert_eq!(GgmlType::F32.tensor_bytes(u64::MAX, 2), None, "overflow");
    }
}
