//! What the bytes of a ternary tensor hold, counted: enough to tell a BitNet matrix from one that
//! went wrong.

#![forbid(unsafe_code)]

use super::ternary::Ternary;
use super::{TernaryGroups, check_finite, code_blocks, i2_s};
use crate::error::Result;
use crate::gguf::GgmlType;

/// Counts over the weights of one tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TernaryStats {
    /// All of them.
    pub weights: u64,
    /// Those that are zero, by their code or because their block has scale 0.
    pub zeros: u64,
    /// Those of code 3, which stands for `+2 d` and is no ternary weight.
    pub unused: u64,
    /// The smallest and the largest scale of a block that is not 0; `None` when all are.
    pub scales: Option<(f32, f32)>,
}

impl TernaryStats {
    /// The share of zeros above which blocks were likely quantized from raw weights: rounding each
    /// by its largest magnitude leaves 75 to 90% zeros of normally distributed weights, training
    /// with a scale for each group 30 to 50%.
    pub const RAW_ZEROS: f64 = 0.65;

    /// Counts the tensor in `src`, which is of a ternary type. It counts implausible `I2_S` tensors
    /// too.
    ///
    /// # Errors
    ///
    /// `unsupported-type` for other types; `malformed` when `src` is not whole blocks or has a
    /// scale that is NaN or infinite.
    pub fn new(ty: GgmlType, src: &[u8]) -> Result<Self> {
        if !ty.is_ternary() {
            bail!(UnsupportedType, "{ty} is not a ternary type");
        }
        check_finite(ty, src)?;
        let mut stats = Self { weights: 0, zeros: 0, unused: 0, scales: None };
        if ty == GgmlType::I2S {
            let Ternary { codes, scale } = i2_s::unpack_unchecked(src);
            stats.add(&codes, scale);
        } else {
            code_blocks(ty, src, |codes, scale| stats.add(codes, scale));
        }
        Ok(stats)
    }

    /// The share of zeros, from 0 to 1.
    pub fn zero_share(&self) -> f64 {
        self.zeros as f64 / self.weights.max(1) as f64
    }

    /// The scale, when there is just one.
    pub fn scale(&self) -> Option<f32> {
        self.scales.filter(|(least, most)| least == most).map(|(scale, _)| scale)
    }

    /// The same with scales `factor` times as large: of a layer whose output is multiplied with it.
    #[must_use]
    pub fn times(self, factor: f32) -> Self {
        Self { scales: self.scales.map(|(least, most)| (least * factor, most * factor)), ..self }
    }

    /// Whether blocks have different scales.
    pub fn is_grouped(&self) -> bool {
        self.scales.is_some_and(|(least, most)| least != most)
    }

    fn add(&mut self, codes: &[u8], scale: f32) {
        let count = |wanted: u8| codes.iter().filter(|code| **code == wanted).count() as u64;
        self.weights += codes.len() as u64;
        if scale == 0.0 {
            self.zeros += codes.len() as u64;
            return;
        }
        self.zeros += count(1);
        self.unused += count(3);
        let (least, most) = self.scales.unwrap_or((scale, scale));
        self.scales = Some((least.min(scale), most.max(scale)));
    }
}

impl From<&Ternary> for TernaryStats {
    fn from(Ternary { codes, scale }: &Ternary) -> Self {
        let mut stats = Self { weights: 0, zeros: 0, unused: 0, scales: None };
        stats.add(codes, *scale);
        stats
    }
}

impl From<&TernaryGroups> for TernaryStats {
    fn from(groups: &TernaryGroups) -> Self {
        let mut stats = Self { weights: 0, zeros: 0, unused: 0, scales: None };
        groups.blocks().for_each(|(codes, scale)| stats.add(codes, scale));
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::super::{encode_ternary, quantize};
    use super::*;
    use crate::testing::test;

    const TYPES: [GgmlType; 4] = [GgmlType::Tq1_0, GgmlType::Tq2_0, GgmlType::Q2_0, GgmlType::I2S];

    #[test]
    fn every_type_is_counted_alike() {
        let codes: Vec<u8> = (0..1024).map(|i| (i * i % 7 % 3) as u8).collect();
        let zeros = codes.iter().filter(|code| **code == 1).count() as u64;
        let tensor = Ternary { codes, scale: 0.25 };
        let expected = TernaryStats { weights: 1024, zeros, unused: 0, scales: Some((0.25, 0.25)) };
        assert_eq!(TernaryStats::from(&tensor), expected);
        for ty in TYPES {
            let mut bytes = Vec::new();
            encode_ternary(ty, &tensor, 512, &mut bytes).unwrap();
            assert_eq!(TernaryStats::new(ty, &bytes), Ok(expected), "{ty}");
        }
        assert_eq!((expected.scale(), expected.zero_share()), (Some(0.25), zeros as f64 / 1024.0));
    }

    #[test]
    fn blocks_of_raw_weights_show_by_their_scales_and_zero_blocks_are_zeros() {
        let weights: Vec<f32> = (0..768).map(|i| if i < 256 { 0.0 } else { (i as f32).sin() * i as f32 }).collect();
        for ty in [GgmlType::Tq1_0, GgmlType::Tq2_0, GgmlType::Q2_0] {
            let mut bytes = Vec::new();
            quantize(ty, &weights, &mut bytes).unwrap();
            let stats = TernaryStats::new(ty, &bytes).unwrap();
            let (least, most) = stats.scales.unwrap();
            assert!(stats.zeros >= 256 && least < most && stats.scale().is_none(), "{ty} {stats:?}");
        }
    }

    #[test]
    fn unused_codes_are_counted_and_other_types_refused() {
        let mut block = vec![0b11_00_01_10; 18];
        block[..2].copy_from_slice(&[0x00, 0x34]);
        let stats = TernaryStats::new(GgmlType::Q2_0, &block).unwrap();
        assert_eq!((stats.weights, stats.zeros, stats.unused, stats.scale()), (64, 16, 16, Some(0.25)));
        let mut tail = [0; 32];
        tail[..4].copy_from_slice(&1.5f32.to_le_bytes());
        let bytes = [[0xFF; 32], tail].concat();
        assert_eq!(TernaryStats::new(GgmlType::I2S, &bytes).unwrap().unused, 128);
        assert_eq!(TernaryStats::new(GgmlType::F16, &[]).unwrap_err().code(), crate::ErrorCode::UnsupportedType);
        block[1] = 0x7C;
        assert_eq!(TernaryStats::new(GgmlType::Q2_0, &block).unwrap_err().code(), crate::ErrorCode::Malformed);
    }
}
