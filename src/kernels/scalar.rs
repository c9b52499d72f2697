//! The specification: what every backend computes, in the plainest loops.

#![forbid(unsafe_code)]

use super::{Kernels, LANES, Q8_BLOCK, Q8_BLOCK_BYTES};
use crate::tensor::{TILE, TILE_BYTES};
use half::f16;

/// The smallest absolute maximum that an activation row is scaled by.
pub(super) const MIN_ABSMAX: f32 = 1e-5;

/// The backend of plain loops.
pub struct Scalar;

impl Kernels for Scalar {
    fn name(&self) -> &'static str {
        "scalar"
    }

    fn quantize_row(&self, x: &[f32], out: &mut [i8]) -> (f32, i32) {
        let absmax = x.iter().fold(MIN_ABSMAX, |max, x| max.max(x.abs()));
        let scale = 127.0 / absmax;
        let (values, padding) = out.split_at_mut(x.len());
        for (q, x) in values.iter_mut().zip(x) {
            *q = (x * scale).round_ties_even().clamp(-127.0, 127.0) as i8;
        }
        padding.fill(0);
        (scale, total(values))
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

    fn quantize_q8(&self, x: &[f32], out: &mut [i8], scales: &mut [f32]) {
        for ((x, out), scale) in x.chunks_exact(Q8_BLOCK).zip(out.chunks_exact_mut(Q8_BLOCK)).zip(scales) {
            let absmax = x.iter().fold(0.0f32, |max, x| max.max(x.abs()));
            *scale = absmax / 127.0;
            let inverse = if absmax > 0.0 { 127.0 / absmax } else { 0.0 };
            for (q, x) in out.iter_mut().zip(x) {
                *q = (x * inverse).round_ties_even().clamp(-127.0, 127.0) as i8;
            }
        }
    }

    fn dot_q8_0(&self, blocks: &[u8], x: &[i8], scales: &[f32]) -> f32 {
        let mut total = 0.0;
        for ((block, x), scale) in blocks.chunks_exact(Q8_BLOCK_BYTES).zip(x.chunks_exact(Q8_BLOCK)).zip(scales) {
            let (head, weights) = block.split_at(2);
            let sum: i32 = weights.iter().zip(x).map(|(&w, &x)| i32::from(w as i8) * i32::from(x)).sum();
            total += sum as f32 * (f16::from_le_bytes([head[0], head[1]]).to_f32() * scale);
        }
        total
    }

    fn dot_f32(&self, a: &[f32], b: &[f32]) -> f32 {
        let mut lanes = [0.0; LANES];
        let (a_whole, a_rest) = a.as_chunks::<LANES>();
        let (b_whole, b_rest) = b.as_chunks::<LANES>();
        for (a, b) in a_whole.iter().zip(b_whole) {
            for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
                *lane += a * b;
            }
        }
        let [l0, l1, l2, l3, l4, l5, l6, l7] = lanes;
        let mut sum = ((l0 + l4) + (l2 + l6)) + ((l1 + l5) + (l3 + l7));
        for (a, b) in a_rest.iter().zip(b_rest) {
            sum += a * b;
        }
        sum
    }

    fn add_scaled(&self, y: &mut [f32], a: f32, x: &[f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y += a * x;
        }
    }
}

pub(super) fn total(values: &[i8]) -> i32 {
    values.iter().map(|&x| i32::from(x)).sum()
}

/// The 16 rows of 16 weights of a tile.
fn weights(tile: &[u8]) -> [[i8; TILE]; TILE] {
    let code = |row: usize, col: usize| tile[row * 4 + col % 4] >> (col / 4 * 2) & 3;
    std::array::from_fn(|row| std::array::from_fn(|col| code(row, col) as i8 - 1))
}
