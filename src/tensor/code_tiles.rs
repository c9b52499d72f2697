//! Codes of two bits in the order in which the kernels read them.
//!
//! The matrix is cut into tiles of 16 rows by 16 columns, one cache line each, stored row-tile
//! after row-tile and within a row-tile from left to right, so that a matrix-vector product reads
//! memory strictly forwards. Inside a tile:
//!
//! ```text
//! byte 16 g + 4 r + k, bits 2 s .. 2 s + 1   =   code of row 4 g + r, column 4 s + k      (g, r, s, k in 0..4)
//! ```
//!
//! A code is the weight plus one (0, 1, 2 for -1, 0, +1). Shifting the 16 bytes of a group `g`
//! right by `2 s` and keeping two bits of each byte thus gives 4 rows of 4 adjacent columns, which
//! is the operand shape of the dot-product instructions. Rows and columns beyond the matrix are
//! padded with zero weights (code 1).

#![forbid(unsafe_code)]

use super::aligned::AlignedBytes;
use crate::error::Result;

/// Rows and columns of a tile.
pub(crate) const TILE: usize = 16;

/// Bytes of a tile: 256 weights of 2 bits.
pub(crate) const TILE_BYTES: usize = 64;

/// Four codes of 1: zero weights.
const ZERO_WEIGHTS: u8 = 0b01_01_01_01;

/// The tiles of a `rows` by `cols` matrix.
pub(super) struct CodeTiles {
    rows: usize,
    cols: usize,
    bytes: AlignedBytes,
}

impl CodeTiles {
    /// Zero weights.
    ///
    /// # Errors
    ///
    /// `out-of-memory` when the tiles cannot be allocated.
    pub(super) fn zeros(rows: usize, cols: usize) -> Result<Self> {
        let mut bytes = AlignedBytes::zeroed(rows.div_ceil(TILE) * cols.div_ceil(TILE) * TILE_BYTES)?;
        bytes.fill(ZERO_WEIGHTS);
        Ok(Self { rows, cols, bytes })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn cols(&self) -> usize {
        self.cols
    }

    fn col_tiles(&self) -> usize {
        self.cols.div_ceil(TILE)
    }

    /// The tiles of the `index`-th 16 rows, left to right.
    pub(super) fn row_tile(&self, index: usize) -> &[u8] {
        let bytes = self.col_tiles() * TILE_BYTES;
        &self.bytes[index * bytes..][..bytes]
    }

    /// Sets a row to `codes`, one for each column.
    pub(super) fn set_row(&mut self, row: usize, codes: &[u8]) {
        let bytes = self.col_tiles() * TILE_BYTES;
        let row_tile = &mut self.bytes[row / TILE * bytes..][..bytes];
        let words = row_tile.as_chunks_mut::<4>().0.iter_mut().skip(row % TILE).step_by(TILE);
        let (whole, rest) = codes.as_chunks::<TILE>();
        let mut last = [1; TILE];
        last[..rest.len()].copy_from_slice(rest);
        for (word, codes) in words.zip(whole.iter().chain((!rest.is_empty()).then_some(&last))) {
            *word = pack_row(codes);
        }
    }

    /// The codes of a row, one for each column.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = u8> {
        let words = self.row_tile(row / TILE).as_chunks::<4>().0.iter().skip(row % TILE).step_by(TILE);
        words.flat_map(|word| (0..TILE).map(|col| word[col % 4] >> (col / 4 * 2) & 3)).take(self.cols)
    }

    /// Weights of zero.
    pub(super) fn zero_count(&self) -> usize {
        // Code 1: the lower bit is set, the upper is not.
        let ones = |byte: &u8| (byte & !(byte >> 1) & ZERO_WEIGHTS).count_ones() as usize;
        let padding = self.bytes.len() * 4 - self.rows * self.cols;
        self.bytes.iter().map(ones).sum::<usize>() - padding
    }
}

/// The 16 codes of a row of a tile in 4 bytes: of each 4 adjacent ones, two bits higher than of the
/// 4 before.
fn pack_row(codes: &[u8; TILE]) -> [u8; 4] {
    let quads = codes.as_chunks::<4>().0.iter().map(|quad| u32::from_le_bytes(*quad));
    quads.rev().fold(0, |word, quad| word << 2 | quad).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn every_weight_is_where_the_layout_says() {
        let (rows, cols) = (19, 37);
        let codes: Vec<u8> = (0..rows * cols).map(|i| (i * 7 % 11 % 4) as u8).collect();
        let mut packed = CodeTiles::zeros(rows, cols).unwrap();
        codes.chunks_exact(cols).enumerate().for_each(|(row, codes)| packed.set_row(row, codes));
        for tile_row in 0..2 {
            let tiles = packed.row_tile(tile_row);
            assert_eq!(tiles.len(), 3 * TILE_BYTES);
            for row in 0..TILE {
                for col in 0..3 * TILE {
                    let (g, r, s, k) = (row / 4, row % 4, col % TILE / 4, col % 4);
                    let code = tiles[col / TILE * TILE_BYTES + 16 * g + 4 * r + k] >> (2 * s) & 3;
                    let row = tile_row * TILE + row;
                    let expected = if row < rows && col < cols { codes[row * cols + col] } else { 1 };
                    assert_eq!(code, expected, "row {row} column {col}");
                }
            }
        }
        assert!((0..rows).flat_map(|row| packed.row(row)).eq(codes.iter().copied()));
        assert_eq!(packed.zero_count(), codes.iter().filter(|&&code| code == 1).count());
    }
}
