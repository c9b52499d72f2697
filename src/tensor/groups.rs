//! Matrices of small integers with a scale for every group of weights, in the order in which the kernels read them.
//!
//! Rows are cut into strips of 8, columns into groups of 16 or 32 that share a scale. A strip is stored group after group, so that a
//! matrix-vector product reads memory forwards; in a group, each line of 32 bytes holds 8 rows by 4 columns:
//!
//! ```text
//! byte 4 r + k of line l                    =   code of row r, column 4 l + k                8 bits
//! byte 4 r + k of line l, nibble f          =   code of row r, column 8 l + 4 f + k          4 bits, the low nibble first
//! ```
//!
//! A weight is `factor * (code - zero) - min`, with one factor (and min, where the type has them) for each row and group. Codes of
//! 8 bits are signed, those of 4 are not. Rows beyond the matrix have factors of zero.

#![forbid(unsafe_code)]

use super::aligned::{AlignedBytes, zeroed_f32};
use crate::error::Result;
use crate::gguf::GgmlType;
use crate::quant::{self, Groups};

/// Rows of a strip.
pub const STRIP: usize = 8;

/// Bytes of a line of codes.
pub const STRIP_LINE: usize = 32;

/// How wide codes are, and how many share a factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupLayout {
    /// 8 bits, groups of 32.
    Bytes32,
    /// 8 bits, groups of 16.
    Bytes16,
    /// 4 bits, groups of 32.
    Nibbles32,
}

impl GroupLayout {
    /// Weights that share a factor.
    pub fn group(self) -> usize {
        match self {
            Self::Bytes32 | Self::Nibbles32 => 32,
            Self::Bytes16 => 16,
        }
    }

    /// Weights in a byte.
    pub fn per_byte(self) -> usize {
        match self {
            Self::Bytes32 | Self::Bytes16 => 1,
            Self::Nibbles32 => 2,
        }
    }
}

/// Eight rows of a [`PackedGroups`].
#[derive(Clone, Copy)]
pub struct Strip<'a> {
    /// Width of codes and groups.
    pub layout: GroupLayout,
    /// The code of a weight of zero.
    pub zero: i32,
    /// Lines of codes.
    pub codes: &'a [[u8; STRIP_LINE]],
    /// For each group, the factor of each row.
    pub factors: &'a [[f32; STRIP]],
    /// For each group, what is subtracted from each weight of a row.
    pub mins: Option<&'a [[f32; STRIP]]>,
}

/// A `rows` by `cols` matrix of grouped integers.
pub struct PackedGroups {
    layout: GroupLayout,
    zero: i32,
    rows: usize,
    cols: usize,
    codes: AlignedBytes,
    factors: Vec<f32>,
    mins: Option<Vec<f32>>,
}

impl PackedGroups {
    /// Packs a tensor of `rows` whole rows of blocks; `None` for a type without such a form.
    ///
    /// # Errors
    ///
    /// `out-of-memory` when the packed form cannot be had.
    pub fn pack(ty: GgmlType, rows: usize, cols: usize, bytes: &[u8]) -> Result<Option<Self>> {
        let (layout, zero, has_mins) = match ty {
            GgmlType::Q8_0 => (GroupLayout::Bytes32, 0, false),
            GgmlType::Q5_0 => (GroupLayout::Bytes32, 0, false),
            GgmlType::Q5_1 | GgmlType::Q5K => (GroupLayout::Bytes32, 0, true),
            GgmlType::Q3K | GgmlType::Q6K => (GroupLayout::Bytes16, 0, false),
            GgmlType::Q2K => (GroupLayout::Bytes16, 0, true),
            GgmlType::Q4_0 => (GroupLayout::Nibbles32, 8, false),
            GgmlType::Q4_1 | GgmlType::Q4K => (GroupLayout::Nibbles32, 0, true),
            _ => return Ok(None),
        };
        let (strips, groups) = (rows.div_ceil(STRIP), cols / layout.group());
        let mut packed = Self {
            layout,
            zero,
            rows,
            cols,
            codes: AlignedBytes::zeroed(strips * STRIP * cols / layout.per_byte())?,
            factors: zeroed_f32(strips * groups * STRIP)?,
            mins: if has_mins { Some(zeroed_f32(strips * groups * STRIP)?) } else { None },
        };
        for (row, blocks) in bytes.chunks_exact(bytes.len() / rows).enumerate() {
            let mut col = 0;
            quant::groups(ty, blocks, |group| {
                packed.set(row, col, &group);
                col += group.codes.len();
            });
        }
        Ok(Some(packed))
    }

    /// Where a strip's share of something begins that is `len` long for all strips together.
    fn strip_at(&self, row: usize, len: usize) -> usize {
        row / STRIP * (len / self.rows.div_ceil(STRIP))
    }

    /// Byte and shift of a code.
    fn code_at(&self, row: usize, col: usize) -> (usize, usize) {
        let fields = self.layout.per_byte();
        let (line, field) = (col / 4 / fields, col / 4 % fields);
        (self.strip_at(row, self.codes.len()) + line * STRIP_LINE + row % STRIP * 4 + col % 4, field * 4)
    }

    fn factor_at(&self, row: usize, col: usize) -> usize {
        self.strip_at(row, self.factors.len()) + col / self.layout.group() * STRIP + row % STRIP
    }

    fn set(&mut self, row: usize, col: usize, group: &Groups<'_>) {
        let (at, _) = self.code_at(row, col);
        let (cells, _) = self.codes[at..].as_chunks_mut::<4>();
        let (quads, _) = group.codes.as_chunks::<4>();
        let word = |quad: &[i8; 4]| u32::from_le_bytes(quad.map(i8::cast_unsigned));
        let fields = self.layout.per_byte();
        for (cell, quads) in cells.iter_mut().step_by(STRIP_LINE / 4).zip(quads.chunks_exact(fields)) {
            *cell = quads.iter().rev().fold(0, |line, quad| line << 4 | word(quad)).to_le_bytes();
        }
        let at = self.factor_at(row, col);
        self.factors[at] = group.factor;
        if let Some(mins) = &mut self.mins {
            mins[at] = group.min;
        }
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The `index`-th 8 rows.
    pub fn strip(&self, index: usize) -> Strip<'_> {
        let (lines, groups) = (self.cols / self.layout.per_byte() / 4, self.cols / self.layout.group());
        Strip {
            layout: self.layout,
            zero: self.zero,
            codes: &self.codes.as_chunks().0[index * lines..][..lines],
            factors: &self.factors.as_chunks().0[index * groups..][..groups],
            mins: self.mins.as_ref().map(|mins| &mins.as_chunks().0[index * groups..][..groups]),
        }
    }

    /// Row `row` decoded to f32, in `out` of length [`PackedGroups::cols`]: the same bits as [`quant::dequantize`].
    pub fn decode_row(&self, row: usize, out: &mut [f32]) {
        for (col, out) in out.iter_mut().enumerate() {
            let (at, shift) = self.code_at(row, col);
            let code = match self.layout.per_byte() {
                1 => i32::from(self.codes[at].cast_signed()),
                _ => i32::from(self.codes[at] >> shift & 15),
            };
            let factor = self.factor_at(row, col);
            *out = (code - self.zero) as f32 * self.factors[factor];
            if let Some(mins) = &self.mins {
                *out -= mins[factor];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn rows_decode_to_the_bits_of_the_format() {
        let (rows, cols) = (11, 512);
        for ty in [
            GgmlType::Q8_0,
            GgmlType::Q4_0,
            GgmlType::Q4_1,
            GgmlType::Q5_0,
            GgmlType::Q5_1,
            GgmlType::Q2K,
            GgmlType::Q3K,
            GgmlType::Q4K,
            GgmlType::Q5K,
            GgmlType::Q6K,
        ] {
            // The upper byte of an f16 below 0x7C is that of a finite number, whatever the lower one.
            let size = rows * cols / ty.block_len() * ty.block_bytes();
            let bytes: Vec<u8> = (0..size).map(|i| (i * i * 31 % 251) as u8 & 0xBB).collect();
            let packed = PackedGroups::pack(ty, rows, cols, &bytes).unwrap().unwrap();
            for row in 0..rows {
                let (mut expected, mut got) = (vec![0.0; cols], vec![1.0; cols]);
                quant::dequantize(ty, &bytes[row * size / rows..][..size / rows], &mut expected).unwrap();
                packed.decode_row(row, &mut got);
                let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&got), bits(&expected), "{ty} row {row}");
            }
        }
        assert!(PackedGroups::pack(GgmlType::F16, 1, 32, &[0; 64]).unwrap().is_none());
    }
}
