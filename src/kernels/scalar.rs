//! The specification: what every backend computes, in the plainest loops. The floating-point operations are in
//! `float`, the same for all.

#![forbid(unsafe_code)]

use super::{Kernels, Q8_BLOCK, Q8_TOTAL, Q8Rows};
use crate::tensor::{GroupLayout, STRIP, Strip, TILE, TILE_BYTES};

/// The backend of plain loops.
pub struct Scalar;

impl Kernels for Scalar {
    fn name(&self) -> &'static str {
        "scalar"
    }

    fn ternary_tile(&self, tiles: &[u8], x: &[i8], _totals: &[i32], sums: &mut [[i32; TILE]]) {
        let cols = tiles.len() / TILE_BYTES * TILE;
        sums.fill([0; TILE]);
        for (index, tile) in tiles.chunks_exact(TILE_BYTES).enumerate() {
            let weights = weights(tile);
            for (x, sums) in x.chunks_exact(cols).zip(sums.iter_mut()) {
                let x = &x[index * TILE..][..TILE];
                for (sum, weights) in sums.iter_mut().zip(&weights) {
                    *sum += weights.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum::<i32>();
                }
            }
        }
    }

    fn strip(&self, strip: &Strip<'_>, x: Q8Rows<'_>, out: &mut [[f32; STRIP]]) {
        for (index, out) in out.iter_mut().enumerate() {
            let x = x.row(index);
            for (row, out) in out.iter_mut().enumerate() {
                *out = dot(strip, row, x);
            }
        }
    }
}

/// The 16 rows of 16 weights of a tile.
fn weights(tile: &[u8]) -> [[i8; TILE]; TILE] {
    let code = |row: usize, col: usize| tile[row * 4 + col % 4] >> (col / 4 * 2) & 3;
    std::array::from_fn(|row| std::array::from_fn(|col| code(row, col) as i8 - 1))
}

/// Dot product of one row of a strip.
fn dot(strip: &Strip<'_>, row: usize, x: Q8Rows<'_>) -> f32 {
    let code = |col: usize| match strip.layout {
        GroupLayout::Bytes32 | GroupLayout::Bytes16 => i32::from(strip.codes[col / 4][row * 4 + col % 4].cast_signed()),
        GroupLayout::Nibbles32 => i32::from(strip.codes[col / 8][row * 4 + col % 4] >> (col / 4 % 2 * 4) & 15),
    };
    let mut product = 0.0;
    for (group, x_values) in x.values.chunks_exact(strip.layout.group()).enumerate() {
        let first = group * strip.layout.group();
        let scale = x.scales[first / Q8_BLOCK];
        let products = (first..).zip(x_values).map(|(col, &x)| (code(col) - strip.zero) * i32::from(x));
        product += products.sum::<i32>() as f32 * (strip.factors[group][row] * scale);
        if let Some(mins) = strip.mins {
            let total: i32 = x.totals[first / Q8_TOTAL..][..strip.layout.group() / Q8_TOTAL].iter().sum();
            product -= total as f32 * (mins[group][row] * scale);
        }
    }
    product
}
