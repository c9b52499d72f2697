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
            let byte = row % TILE * 4;
            for (tile, codes) in row_tile.chunks_exact_mut(TILE_BYTES).zip(codes.chunks(TILE)) {
                for (col, &code) in codes.iter().enumerate() {
                    let (shift, k) = (col / 4 * 2, col % 4);
                    let cell = &mut tile[byte + k];
                    *cell = *cell & !(3 << shift) | code << shift;
                }
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

    /// The tiles of each group of 16 rows, left to right.
    pub fn row_tiles(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.tiles.chunks_exact(self.padded_cols() / TILE * TILE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_is_where_the_layout_says() {
        let (rows, cols) = (19, 37);
        let codes: Vec<u8> = (0..rows * cols).map(|i| (i * 7 % 11 % 3) as u8).collect();
        let packed = PackedTernary::pack(&Ternary { codes: codes.clone(), scale: 0.5 }, rows, cols).unwrap();
        assert_eq!(packed.padded_cols(), 48);
        for (tile_row, tiles) in packed.row_tiles().enumerate() {
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
