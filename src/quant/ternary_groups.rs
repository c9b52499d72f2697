//! Rows that are three-valued in groups: ternary models whose weights have a scale for every 64,
//! 128 or 256 columns, for each row, or for each of some bands of rows.

#![forbid(unsafe_code)]

use super::float::to_f16;
use super::ternary as blocks;
use super::{Ternary, detect_ternary};
use crate::error::Result;
use crate::gguf::GgmlType;
use half::f16;

/// Columns of the smallest group that is looked for.
const SMALLEST: usize = 64;

/// The weights `scale * (code - 1)` of a matrix, a scale for each group of columns of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct TernaryGroups {
    /// One code a weight, row after row.
    pub codes: Vec<u8>,
    /// One scale for every 64 weights; 0 only where all are zero.
    scales: Vec<f32>,
    /// Columns that share a scale in every row: 64, 128, 256, or whole rows.
    pub group: usize,
}

impl TernaryGroups {
    /// Recognizes weights, rows of `cols`, that are `{-s, 0, +s}` for one finite s in each group.
    /// `None` when 64 columns are not, or rows are not whole groups of them.
    pub fn detect(weights: &[f32], cols: usize) -> Option<Self> {
        if cols == 0 || !cols.is_multiple_of(SMALLEST) {
            return None;
        }
        let mut found = Self { codes: Vec::with_capacity(weights.len()), scales: Vec::new(), group: SMALLEST };
        for weights in weights.chunks_exact(SMALLEST) {
            let Ternary { codes, scale } = detect_ternary(weights)?;
            found.codes.extend(codes);
            found.scales.push(scale);
        }
        let wider = [128, 256, cols].into_iter().filter(|group| cols.is_multiple_of(*group));
        found.group = wider.filter(|&group| found.fits(group)).max().unwrap_or(SMALLEST);
        Some(found)
    }

    /// Whether every `group` columns of a row have one scale.
    fn fits(&self, group: usize) -> bool {
        self.scales.chunks(group / SMALLEST).all(|scales| common(scales).is_some())
    }

    /// The codes of every 64 weights, with their scale.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (&[u8], f32)> {
        self.codes.chunks_exact(SMALLEST).zip(self.scales.iter().copied())
    }

    /// Whether blocks of type `ty` hold the weights exactly: they are no larger than the groups,
    /// and f16 has the scales.
    pub fn fit(&self, ty: GgmlType) -> bool {
        let exact = |scale: &f32| to_f16(*scale).is_some_and(|d| d.to_f32() == *scale);
        self.group.is_multiple_of(ty.block_len()) && self.scales.iter().all(exact)
    }

    /// The weights as f32.
    pub fn weights(&self) -> impl Iterator<Item = f32> {
        self.blocks().flat_map(|(codes, scale)| codes.iter().map(move |code| scale * (f32::from(*code) - 1.0)))
    }

    /// Appends the blocks, of type `ty`.
    ///
    /// # Errors
    ///
    /// `unsupported-type` for other types than Q2_0, PQ2_0, TQ1_0 and TQ2_0; `malformed` when they
    /// do not [fit](Self::fit).
    pub fn encode(&self, ty: GgmlType, dst: &mut Vec<u8>) -> Result<()> {
        if !self.fit(ty) {
            bail!(
                Malformed,
                "these weights have a scale for every {} weights of a row, which blocks of {ty} cannot hold exactly",
                self.group
            );
        }
        match ty {
            GgmlType::Q2_0 => self.pack(dst, blocks::pack_q2_0),
            GgmlType::Pq2_0 => self.pack(dst, blocks::pack_pq2_0),
            GgmlType::Tq1_0 => self.pack(dst, blocks::pack_tq1_0),
            GgmlType::Tq2_0 => self.pack(dst, blocks::pack_tq2_0),
            _ => bail!(
                UnsupportedType,
                "{ty} is not written for group-wise ternary weights; q2_0, pq2_0, tq1_0, tq2_0 are"
            ),
        }
        Ok(())
    }

    fn pack<const L: usize, const B: usize>(&self, dst: &mut Vec<u8>, pack: impl Fn(&[u8; L], f16) -> [u8; B]) {
        let scales = self.scales.chunks(L / SMALLEST);
        for (codes, scales) in self.codes.as_chunks().0.iter().zip(scales) {
            let scale = common(scales).expect("blocks are no larger than groups");
            dst.extend_from_slice(&pack(codes, f16::from_f32(scale)));
        }
    }
}

/// The one scale among `scales` that are not 0; 0 when all are.
fn common(scales: &[f32]) -> Option<f32> {
    let scale = scales.iter().copied().find(|&scale| scale != 0.0).unwrap_or(0.0);
    scales.iter().all(|&other| other == 0.0 || other == scale).then_some(scale)
}

#[cfg(test)]
mod tests {
    use super::super::{TernaryStats, dequantize, quantize};
    use super::*;
    use crate::testing::test;

    /// Two rows of 512 columns; `scale` of row and 64 columns.
    fn weights(scale: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        (0..1024).map(|i| scale(i / 512, i % 512 / 64) * ((i * 7 % 3) as f32 - 1.0)).collect()
    }

    #[test]
    fn groups_are_as_wide_as_the_scales_say() {
        for (scale, group) in [
            (&(|row: usize, at: usize| (1 + row * 8 + at) as f32) as &dyn Fn(usize, usize) -> f32, 64),
            (&|row, at| (1 + row * 8 + at / 2) as f32, 128),
            (&|row, at| if at % 2 == 0 { 0.0 } else { (1 + row * 8 + at / 2) as f32 }, 128),
            (&|row, at| (1 + row * 8 + at / 4) as f32, 256),
            (&|row, _| (1 + row) as f32, 512),
        ] {
            let weights = weights(scale);
            let found = TernaryGroups::detect(&weights, 512).unwrap();
            assert_eq!(found.group, group);
            assert!(found.weights().eq(weights.iter().copied()));
            for ty in [GgmlType::Q2_0, GgmlType::Pq2_0, GgmlType::Tq1_0, GgmlType::Tq2_0] {
                assert_eq!(found.fit(ty), ty.block_len() <= group, "{ty}");
                let mut bytes = Vec::new();
                assert_eq!(found.encode(ty, &mut bytes).is_ok(), found.fit(ty), "{ty}");
                if found.fit(ty) {
                    let (mut decoded, mut quantized) = (vec![f32::NAN; 1024], Vec::new());
                    dequantize(ty, &bytes, &mut decoded).unwrap();
                    assert_eq!(decoded, weights, "{ty}");
                    quantize(ty, &weights, &mut quantized).unwrap();
                    assert_eq!(bytes, quantized, "{ty}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_ternary_or_not_exact_is_told() {
        assert_eq!(TernaryGroups::detect(&weights(|_, _| 1.0), 96), None);
        let mut other = weights(|_, _| 1.0);
        other[700] = 0.5;
        assert_eq!(TernaryGroups::detect(&other, 512), None);
        let odd = TernaryGroups::detect(&weights(|row, _| if row == 0 { 0.1 } else { 1.0 }), 512).unwrap();
        assert!(!odd.fit(GgmlType::Q2_0), "f16 has no 0.1");
        let stats = TernaryStats::from(&odd);
        assert_eq!((stats.weights, stats.scales), (1024, Some((0.1, 1.0))));
        assert!((stats.zero_share() - 1.0 / 3.0).abs() < 0.01);
        let error = odd.encode(GgmlType::Q2_0, &mut Vec::new()).unwrap_err();
        assert_eq!(error.code(), crate::ErrorCode::Malformed);
        let fine = TernaryGroups::detect(&weights(|_, _| 1.0), 512).unwrap();
        let error = fine.encode(GgmlType::Q8_0, &mut Vec::new()).unwrap_err();
        assert_eq!(error.code(), crate::ErrorCode::UnsupportedType);
    }
}
