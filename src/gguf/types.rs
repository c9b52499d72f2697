//! The tensor types of ggml: ids, names, and how many weights share how many bytes.
//!
//! Block sizes are those of `ggml-common.h`; what the bytes mean is in [`crate::quant`].

#![forbid(unsafe_code)]

use crate::error::Result;
use std::fmt;

/// A tensor type that webtern reads, in the order of the ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the variants are ggml's own names, described in `quant`")]
pub enum GgmlType {
    F32,
    F16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    Iq2Xxs,
    Iq2Xs,
    Iq3Xxs,
    Iq1S,
    Iq4Nl,
    Iq3S,
    Iq2S,
    Iq4Xs,
    Iq1M,
    Bf16,
    Tq1_0,
    Tq2_0,
    I2S,
    Mxfp4,
    Q1_0,
    Q2_0,
    Pq2_0,
    Ptq1_0,
}

/// One row a type: type, ggml id, name, weights in a block, bytes of a block.
///
/// `I2_S` packs 4 weights a byte over the whole tensor and adds a 32-byte tail, see
/// [`GgmlType::tensor_bytes`]. The ids of `PQ2_0` and `PTQ1_0` are those of PrismML's llama.cpp.
const TYPES: [(GgmlType, u32, &str, usize, usize); 30] = [
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
    (GgmlType::Iq2Xxs, 16, "IQ2_XXS", 256, 66),
    (GgmlType::Iq2Xs, 17, "IQ2_XS", 256, 74),
    (GgmlType::Iq3Xxs, 18, "IQ3_XXS", 256, 98),
    (GgmlType::Iq1S, 19, "IQ1_S", 256, 50),
    (GgmlType::Iq4Nl, 20, "IQ4_NL", 32, 18),
    (GgmlType::Iq3S, 21, "IQ3_S", 256, 110),
    (GgmlType::Iq2S, 22, "IQ2_S", 256, 82),
    (GgmlType::Iq4Xs, 23, "IQ4_XS", 256, 136),
    (GgmlType::Iq1M, 29, "IQ1_M", 256, 56),
    (GgmlType::Bf16, 30, "BF16", 1, 2),
    (GgmlType::Tq1_0, 34, "TQ1_0", 256, 54),
    (GgmlType::Tq2_0, 35, "TQ2_0", 256, 66),
    (GgmlType::I2S, 36, "I2_S", 128, 32),
    (GgmlType::Mxfp4, 39, "MXFP4", 32, 17),
    (GgmlType::Q1_0, 41, "Q1_0", 128, 18),
    (GgmlType::Q2_0, 42, "Q2_0", 64, 18),
    (GgmlType::Pq2_0, 142, "PQ2_0", 128, 34),
    (GgmlType::Ptq1_0, 143, "PTQ1_0", 128, 28),
];

/// Types that exist and are refused by name.
const REFUSED: [(u32, &str); 12] = [
    (4, "Q4_2 (removed)"),
    (5, "Q4_3 (removed)"),
    (9, "Q8_1"),
    (15, "Q8_K"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (37, "I8_S or IQ4_NL_4_8"),
    (38, "TL1 or IQ4_NL_8_8"),
    (40, "NVFP4"),
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

    /// Whether the type can only hold `{-s, 0, +s}` (and, in some types, `+2s`) with one scale `s`
    /// for each block.
    pub fn is_ternary(self) -> bool {
        matches!(self, Self::Tq1_0 | Self::Tq2_0 | Self::Q2_0 | Self::Pq2_0 | Self::Ptq1_0 | Self::I2S)
    }

    /// Whether a weight is a code of two bits or less, minus one, times the scale of its block.
    pub fn has_ternary_blocks(self) -> bool {
        self == Self::Q1_0 || (self.is_ternary() && self != Self::I2S)
    }

    /// Whether the type is one float for each weight.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::Bf16)
    }

    /// Bytes of a tensor of `rows` rows of `cols` weights, or `None` when a row is not a whole
    /// number of blocks or the product overflows.
    ///
    /// Rows are contiguous runs of blocks, except for `I2_S`, whose blocks run over the flattened
    /// tensor and are followed by 32 bytes that begin with the f32 scale.
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
        assert!(GgmlType::all().is_sorted_by_key(GgmlType::id) && GgmlType::all().is_sorted());
    }

    #[test]
    fn refuses_other_types_by_name() {
        let error = GgmlType::from_id(40).unwrap_err();
        assert_eq!(error.code(), crate::ErrorCode::UnsupportedType, "{error}");
        assert!(error.message().contains("NVFP4"), "{error}");
    }

    #[test]
    fn sizes_follow_the_block_structure() {
        assert_eq!(GgmlType::Q2_0.tensor_bytes(576, 576), Some(576 * 9 * 18));
        assert_eq!(GgmlType::Tq2_0.tensor_bytes(576, 576), None, "576 is not a multiple of 256");
        assert_eq!(GgmlType::I2S.tensor_bytes(576, 576), Some(576 * 576 / 4 + 32));
        assert_eq!(GgmlType::F32.tensor_bytes(u64::MAX, 2), None, "overflow");
    }
}
