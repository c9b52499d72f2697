//! Ternary matrices at 2 bits a weight: one scale for the matrix, or one for every group of a row.
//!
//! BitNet models are trained with one scale a matrix, so that a product is one integer sum, scaled
//! once ([`PackedTernary`]). Others have a scale for every 64, 128 or 256 weights of a row
//! ([`GroupedTernary`]). Both have the same tiles, and the scales of groups stand beside them: 16
//! for each group of 16 rows, in the order in which the kernels use them.

#![forbid(unsafe_code)]

use super::aligned::AlignedBytes;
use super::code_tiles::{CodeTiles, TILE};
use crate::error::Result;
#[cfg(any(test, fuzzing, feature = "bench"))]
use crate::quant::Ternary;

/// A `rows` by `cols` matrix of `scale * {-1, 0, +1}`.
pub(crate) struct PackedTernary {
    tiles: CodeTiles,
    scale: f32,
}

impl PackedTernary {
    pub(super) fn new(tiles: CodeTiles, scale: f32) -> Self {
        Self { tiles, scale }
    }

    /// Packs `rows * cols` row-major codes.
    ///
    /// # Errors
    ///
    /// `out-of-memory` when the packed form cannot be allocated.
    ///
    /// # Panics
    ///
    /// When `ternary` does not hold `rows * cols` codes.
    #[cfg(any(test, fuzzing, feature = "bench"))]
    pub(crate) fn pack(ternary: &Ternary, rows: usize, cols: usize) -> Result<Self> {
        assert_eq!(ternary.codes.len(), rows * cols, "one code a weight");
        let mut tiles = CodeTiles::zeros(rows, cols)?;
        ternary.codes.chunks_exact(cols).enumerate().for_each(|(row, codes)| tiles.set_row(row, codes));
        Ok(Self { tiles, scale: ternary.scale })
    }

    /// Output features.
    pub(crate) fn rows(&self) -> usize {
        self.tiles.rows()
    }

    /// Input features.
    pub(crate) fn cols(&self) -> usize {
        self.tiles.cols()
    }

    /// Input features rounded up to whole tiles: the length the kernels want of an activation row.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn padded_cols(&self) -> usize {
        self.cols().next_multiple_of(TILE)
    }

    /// The magnitude of every non-zero weight.
    pub(crate) fn scale(&self) -> f32 {
        self.scale
    }

    /// The tiles of the `index`-th 16 rows, left to right.
    pub(crate) fn row_tile(&self, index: usize) -> &[u8] {
        self.tiles.row_tile(index)
    }

    /// Row `row` as f32, in `out` of length [`PackedTernary::cols`].
    pub(crate) fn decode_row(&self, row: usize, out: &mut [f32]) {
        out.iter_mut().zip(self.tiles.row(row)).for_each(|(out, code)| *out = self.scale * (f32::from(code) - 1.0));
    }
}

/// Sixteen rows of a [`GroupedTernary`].
#[derive(Clone, Copy)]
pub(crate) struct TernaryPanel<'a> {
    /// The scales of each group of columns: one for each row.
    pub scales: &'a [[f32; TILE]],
    /// The tiles, left to right: equally many for each group.
    pub tiles: &'a [u8],
}

/// A `rows` by `cols` matrix of `scale * {-1, 0, +1, +2}` with a scale for each group of columns of
/// a row.
pub(crate) struct GroupedTernary {
    tiles: CodeTiles,
    group: usize,
    /// Of each 16 rows: of each group 16 scales.
    scales: AlignedBytes,
    /// Whether a weight is +2.
    beyond: bool,
}

impl GroupedTernary {
    /// Zeros, with groups of `group` columns.
    ///
    /// # Errors
    ///
    /// `out-of-memory` when the matrix cannot be allocated.
    pub(super) fn zeros(rows: usize, cols: usize, group: usize) -> Result<Self> {
        let scales = AlignedBytes::zeroed(rows.div_ceil(TILE) * (cols / group) * size_of::<[f32; TILE]>())?;
        Ok(Self { tiles: CodeTiles::zeros(rows, cols)?, group, scales, beyond: false })
    }

    /// Sets a row from its codes and from the scale of each group. The codes of groups of scale 0
    /// become those of zeros.
    pub(super) fn set_row(&mut self, row: usize, codes: &mut [u8], scales: &[f32]) {
        let at = self.scales_at(row / TILE);
        let lines = &mut bytemuck::cast_slice_mut::<u8, [f32; TILE]>(&mut self.scales)[at..];
        for ((line, scale), codes) in lines.iter_mut().zip(scales).zip(codes.chunks_exact_mut(self.group)) {
            line[row % TILE] = *scale;
            if *scale == 0.0 {
                codes.fill(1);
            } else {
                self.beyond |= codes.contains(&3);
            }
        }
        self.tiles.set_row(row, codes);
    }

    fn scales_at(&self, row_tile: usize) -> usize {
        row_tile * (self.cols() / self.group)
    }

    fn scales(&self) -> &[[f32; TILE]] {
        bytemuck::cast_slice::<u8, _>(&self.scales)
    }

    /// The same matrix with one scale, where all groups that are not zero have the same, and no
    /// weight is +2.
    pub(super) fn with_one_scale(self) -> std::result::Result<PackedTernary, Self> {
        let mut scales = self.scales().as_flattened().iter().copied().filter(|&scale| scale != 0.0);
        let first = scales.next().unwrap_or(0.0);
        if !self.beyond && scales.all(|scale| scale == first) {
            return Ok(PackedTernary::new(self.tiles, first));
        }
        Err(self)
    }

    /// Output features.
    pub(crate) fn rows(&self) -> usize {
        self.tiles.rows()
    }

    /// Input features.
    pub(crate) fn cols(&self) -> usize {
        self.tiles.cols()
    }

    /// How many weights are zero.
    pub(crate) fn zero_count(&self) -> usize {
        self.tiles.zero_count()
    }

    /// The `index`-th 16 rows.
    pub(crate) fn panel(&self, index: usize) -> TernaryPanel<'_> {
        let groups = self.cols() / self.group;
        TernaryPanel { scales: &self.scales()[self.scales_at(index)..][..groups], tiles: self.tiles.row_tile(index) }
    }

    /// Row `row` as f32, in `out` of length [`GroupedTernary::cols`].
    pub(crate) fn decode_row(&self, row: usize, out: &mut [f32]) {
        let scales = self.panel(row / TILE).scales;
        for (col, (out, code)) in out.iter_mut().zip(self.tiles.row(row)).enumerate() {
            *out = scales[col / self.group][row % TILE] * (f32::from(code) - 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    /// Codes 0 to 3 in rows of two groups.
    fn grouped(scale: impl Fn(usize, usize) -> f32, code: impl Fn(usize) -> u8) -> GroupedTernary {
        let (rows, cols, group) = (19, 128, 64);
        let mut matrix = GroupedTernary::zeros(rows, cols, group).unwrap();
        for row in 0..rows {
            let mut codes: Vec<u8> = (0..cols).map(|col| code(row * cols + col)).collect();
            matrix.set_row(row, &mut codes, &[scale(row, 0), scale(row, 1)]);
        }
        matrix
    }

    #[test]
    fn each_group_of_a_row_has_its_scale() {
        let (scale, code) = (|row, group| (row * 2 + group) as f32, |i: usize| (i * 5 % 7 % 4) as u8);
        let matrix = grouped(scale, code);
        assert_eq!(matrix.panel(1).scales[1][..4], [33.0, 35.0, 37.0, 0.0], "rows beyond the matrix have scales of 0");
        let mut out = [f32::NAN; 128];
        for row in 0..19 {
            matrix.decode_row(row, &mut out);
            for (col, &out) in out.iter().enumerate() {
                assert_eq!(
                    out,
                    scale(row, col / 64) * (f32::from(code(row * 128 + col)) - 1.0),
                    "row {row} column {col}"
                );
            }
        }
        assert!(matrix.with_one_scale().is_err());
    }

    #[test]
    fn one_scale_is_found_past_groups_of_zeros() {
        let ternary = |i: usize| (i % 3) as u8;
        let scale = |row, _| if row == 0 { 0.0 } else { 0.5 };
        let one = grouped(scale, ternary).with_one_scale().ok().expect("one scale");
        assert_eq!((one.scale(), one.rows(), one.cols()), (0.5, 19, 128));
        assert!(one.tiles.row(0).all(|code| code == 1), "a group of scale 0 is zero whatever its codes");
        assert!(one.tiles.row(1).eq((128..256).map(ternary)));
        assert!(grouped(scale, |i| (i % 4) as u8).with_one_scale().is_err(), "+2 is not ternary");
        assert_eq!(grouped(|_, _| 0.0, ternary).with_one_scale().ok().expect("all zero").scale(), 0.0);
    }
}
