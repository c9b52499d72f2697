//! Ternary matrices at 2 bits a weight, in the order in which the kernels read them.
//!
//! The matrix is cut into tiles of 16 rows by 16 columns, one cache line each, stored row-tile after row-tile and within a
//! row-tile from left to right, so that a matrix-vector product reads memory strictly forwards. Inside a tile:
//!
//! ```text
//! byte 16 g + 4 r + k, bits 2 s .. 2 s + 1   =   code of row 4 g + r, column 4 s + k      (g, r, s, k in 0..4)
//! ```
//!
//! A code is the weight plus one (0, 1, 2 for -1, 0, +1). Shifting the 16 bytes of a group `g` right by `2 s` and keeping two
//! bits of each byte thus gives 4 rows of 4 adjacent columns, which is the operand shape of the dot-product instructions.
//! Rows and columns beyond the matrix are padded with zero weights (code 1).

#![forbid(unsafe_code)]

use super::aligned::AlignedBytes;
use crate::error::Result;
use crate::quant::Ternary;

/// Rows and columns of a tile.
pub const TILE: usize = 16;

/// Bytes of a tile: 256 weights of 2 bits.
pub const TILE_BYTES: usize = 64;

/// Four codes of 1: zero weights.
const ZERO_WEIGHTS: u8 = 0b01_01_01_01;

/// A `rows` by `cols` matrix of `scale * {-1, 0, +1}`.
pub struct PackedTernary {
    rows: usize,
    cols: usize,
    scale: f32,
    tiles: AlignedBytes,
}

impl PackedTernary {
    /// Packs `rows * cols` row-major codes.
    ///
    /// # Errors
    ///
    /// `out-of-memory` when the packed form cannot be had.
    ///
    /// # Panics
    ///
    /// When `ternary` does not hold `rows * cols` codes.
    pub fn pack(ternary: &Ternary, rows: usize, cols: usize) -> Result<Self> {
        assert_eq!(ternary.codes.len(), rows * cols, "one code a weight");
        let row_tiles = rows.div_ceil(TILE);
        let col_tiles = cols.div_ceil(TILE);
        let mut tiles = AlignedBytes::zeroed(row_tiles * col_tiles * TILE_BYTES)?;
        tiles.fill(ZERO_WEIGHTS);
        for (row, codes) in ternary.codes.chunks_exact(cols).enumerate() {
            let row_tile = &mut tiles[row / TILE * col_tiles * TILE_BYTES..][..col_tiles * TILE_BYTES];
            let words = row_tile.as_chunks_mut::<4>().0.iter_mut().skip(row % TILE).step_by(TILE);
            let (whole, rest) = codes.as_chunks::<TILE>();
            let mut last = [1; TILE];
            last[..rest.len()].copy_from_slice(rest);
            for (word, codes) in words.zip(whole.iter().chain((!rest.is_empty()).then_some(&last))) {
                *word = pack_row(codes);
            }
        }
        Ok(Self { rows, cols, scale: ternary.scale, tiles })
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Input features rounded up to whole tiles: the length the kernels want of an activation row.
    pub fn padded_cols(&self) -> usize {
        self.cols.next_multiple_of(TILE)
    }

    /// The magnitude of every non-zero weight.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// The tiles of the `index`-th 16 rows, left to right.
    pub fn row_tile(&self, index: usize) -> &[u8] {
        let bytes = self.padded_cols() / TILE * TILE_BYTES;
        &self.tiles[index * bytes..][..bytes]
    }
}

/// The 16 codes of a row of a tile in 4 bytes: of each 4 adjacent ones, two bits higher than of the 4 before.
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
        let codes: Vec<u8> = (0..rows * cols).map(|i| (i * 7 % 11 % 3) as u8).collect();
        let packed = PackedTernary::pack(&Ternary { codes: codes.clone(), scale: 0.5 }, rows, cols).unwrap();
        assert_eq!(packed.padded_cols(), 48);
        for tile_row in 0..2 {
            let tiles = packed.row_tile(tile_row);
            for row in 0..TILE {
                for col in 0..packed.padded_cols() {
                    let (g, r, s, k) = (row / 4, row % 4, col % TILE / 4, col % 4);
                    let code = tiles[col / TILE * TILE_BYTES + 16 * g + 4 * r + k] >> (2 * s) & 3;
                    let row = tile_row * TILE + row;
                    let expected = if row < rows && col < cols { codes[row * cols + col] } else { 1 };
                    assert_eq!(code, expected, "row {row} column {col}");
                }
            }
        }
    }
}
