//! The specification: what every backend computes, in plain loops. The floating-point operations
//! are the defaults of [`Kernels`], the same code for all backends.

#![forbid(unsafe_code)]

use super::{Kernels, Q8_BLOCK, Q8Rows};
use crate::tensor::{GroupLayout, PANEL_ROWS, RowPanel, TILE, TILE_BYTES, TernaryPanel};

/// The backend of plain loops.
pub(crate) struct Scalar;

impl Kernels for Scalar {
    fn name(&self) -> &'static str {
        "scalar"
    }

    fn ternary_tile(&self, tiles: &[u8], x: &[i8], _x_sums: &[i32], sums: &mut [[i32; TILE]]) {
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

    fn group_panel(&self, panel: &RowPanel<'_>, x: &Q8Rows, out: &mut [[f32; PANEL_ROWS]]) {
        for (index, out) in out.iter_mut().enumerate() {
            for (row, out) in out.iter_mut().enumerate() {
                *out = group_dot(panel, row, x, index);
            }
        }
    }

    fn ternary_panel(&self, panel: &TernaryPanel<'_>, x: &Q8Rows, out: &mut [[f32; TILE]]) {
        for (index, out) in out.iter_mut().enumerate() {
            for (row, out) in out.iter_mut().enumerate() {
                *out = ternary_dot(panel, row, x, index);
            }
        }
    }
}

/// The 16 rows of 16 weights of a tile.
fn weights(tile: &[u8]) -> [[i8; TILE]; TILE] {
    let code = |row: usize, col: usize| tile[row * 4 + col % 4] >> (col / 4 * 2) & 3;
    std::array::from_fn(|row| std::array::from_fn(|col| code(row, col) as i8 - 1))
}

/// The dot product of row `row` of a group-wise ternary panel and row `x_row` of `x`.
fn ternary_dot(panel: &TernaryPanel<'_>, row: usize, x: &Q8Rows, x_row: usize) -> f32 {
    let blocks = x.blocks() / panel.scales.len();
    let weights: Vec<_> = panel.tiles.chunks_exact(TILE_BYTES).map(weights).collect();
    let mut product = 0.0;
    for (group, scales) in panel.scales.iter().enumerate() {
        let mut sum = 0.0;
        for block in group * blocks..(group + 1) * blocks {
            let (scale, values) = x.get(x_row, block);
            let weights = weights[block * Q8_BLOCK / TILE..].iter().flat_map(|tile| tile[row]);
            let products = weights.zip(values).map(|(w, x)| i32::from(w) * i32::from(x));
            sum += products.sum::<i32>() as f32 * scale;
        }
        product += sum * scales[row];
    }
    product
}

/// The dot product of row `row` of a panel and row `x_row` of `x`.
fn group_dot(panel: &RowPanel<'_>, row: usize, x: &Q8Rows, x_row: usize) -> f32 {
    let (group, head) = (panel.layout.group(), 1 + usize::from(panel.mins));
    let mut product = 0.0;
    for (at, chunks) in panel.chunks.chunks_exact(panel.group_chunks).enumerate() {
        let cell = |chunk: usize| <[u8; 4]>::try_from(&chunks[chunk][row * 4..][..4]).expect("a cell has 4 bytes");
        let code = |col: usize| match panel.layout {
            GroupLayout::Bytes32 | GroupLayout::Bytes16 => i32::from(cell(head + col / 4)[col % 4].cast_signed()),
            GroupLayout::Nibbles32 => i32::from(cell(head + col / 8)[col % 4] >> (col / 4 % 2 * 4) & 15),
        };
        let first = at * group;
        let (scale, values) = x.get(x_row, first / Q8_BLOCK);
        let values = &values[first % Q8_BLOCK..][..group];
        let products = values.iter().enumerate().map(|(col, &x)| (code(col) - panel.zero) * i32::from(x));
        product += products.sum::<i32>() as f32 * (f32::from_le_bytes(cell(0)) * scale);
        if panel.mins {
            let x_sum: i32 = values.iter().map(|&x| i32::from(x)).sum();
            product -= x_sum as f32 * (f32::from_le_bytes(cell(1)) * scale);
        }
    }
    product
}
