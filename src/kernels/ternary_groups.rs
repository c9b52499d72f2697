//! Group-wise ternary matrix times int8 activations, written once for every vector instruction set.
//!
//! Weights are codes of two bits with a scale per row and group of columns, activations int8 with a
//! scale per block of 32 ([`Q8Rows`]). The products of a block are summed as integers by the steps
//! of [`TernaryDot`], multiplied with the scale of its activations and added up over the group, and
//! the sum is multiplied with the scale of the weights:
//!
//! ```text
//! out = sum over groups( weight_scale * sum over blocks( scale * sum((code - 1) x) ) )
//! ```
//!
//! A lane is a row, so nothing is added across lanes, and the order of the additions is the same on
//! every instruction set. As with one scale, one activation row takes weights that are decoded in
//! registers, and several rows share the decoded weights of a group.

#![forbid(unsafe_code)]

use super::isa::Isa;
use super::q8::{Q8_BLOCK, Q8_ROWS, Q8Block, Q8Rows};
use super::ternary::{Decoded, Quad, TernaryDot};
use crate::tensor::{TILE, TILE_BYTES, TernaryPanel};
use bytemuck::Zeroable;

/// Steps in a block of activations.
const BLOCK_STEPS: usize = Q8_BLOCK / 4;

/// Tiles beside a block of activations.
const BLOCK_TILES: usize = Q8_BLOCK / TILE;

/// Steps of the largest group, 256 columns.
const GROUP_STEPS: usize = 64;

type Tile = [u8; TILE_BYTES];

/// [`super::Kernels::ternary_panel`], `N` activation rows at a time.
#[inline(always)]
pub(super) fn ternary_panel<D: TernaryDot, const N: usize>(
    dot: D,
    panel: &TernaryPanel<'_>,
    x: &Q8Rows,
    out: &mut [[f32; TILE]],
) {
    // A step adds at most twice what it does where codes are 0 to 2.
    const { assert!(2 * BLOCK_STEPS <= D::MAX_STEPS) };
    let (tiles, _) = panel.tiles.as_chunks::<TILE_BYTES>();
    out.fill([0.0; TILE]);
    match out {
        [] => {}
        [out] => matrix_vector(dot, tiles, panel.scales, &x.x1, out),
        out => matrix_matrix::<D, N>(dot, tiles, panel.scales, x, out),
    }
}

/// Adds the products of one activation row to `out`.
#[inline(always)]
fn matrix_vector<D: TernaryDot>(
    dot: D,
    tiles: &[Tile],
    scales: &[[f32; TILE]],
    x: &[Q8Block<1>],
    out: &mut [f32; TILE],
) {
    let group_blocks = x.len() / scales.len();
    let (blocks, _) = tiles.as_chunks::<BLOCK_TILES>();
    let groups = blocks.chunks_exact(group_blocks).zip(x.chunks_exact(group_blocks));
    for (weight_scales, (blocks, x)) in scales.iter().zip(groups) {
        let mut partial = [0.0; TILE];
        for (tiles, x) in blocks.iter().zip(x) {
            let quads: &[[Quad; TILE / 4]; BLOCK_TILES] = bytemuck::cast_ref(&x.values);
            let sums = dot.tile(D::Sums::zeroed(), &tiles[0], &quads[0]);
            let sums = dot.tile(sums, &tiles[1], &quads[1]);
            add_block(dot, sums, x, 0, &mut partial);
        }
        add_group(&partial, weight_scales, out);
    }
}

/// Adds the products of several activation rows to `out`.
#[inline(always)]
fn matrix_matrix<D: TernaryDot, const N: usize>(
    dot: D,
    tiles: &[Tile],
    scales: &[[f32; TILE]],
    x: &Q8Rows,
    out: &mut [[f32; TILE]],
) {
    let width = x.blocks();
    let group_blocks = width / scales.len();
    let mut decoded = Decoded([[0; TILE_BYTES]; GROUP_STEPS]);
    for (group, (tiles, scales)) in tiles.chunks_exact(group_blocks * BLOCK_TILES).zip(scales).enumerate() {
        let (weights, _) = decoded.0.split_at_mut(tiles.len() * TILE / 4);
        for (tile, weights) in tiles.iter().zip(weights.as_chunks_mut::<{ TILE / 4 }>().0) {
            dot.isa().store(dot.decode::<0>(tile), &mut weights[0]);
            dot.isa().store(dot.decode::<1>(tile), &mut weights[1]);
            dot.isa().store(dot.decode::<2>(tile), &mut weights[2]);
            dot.isa().store(dot.decode::<3>(tile), &mut weights[3]);
        }
        let (weights, _) = weights.as_chunks();
        let (out4, out1) = out.as_chunks_mut::<Q8_ROWS>();
        for (x, out) in x.x4.chunks_exact(width).zip(out4) {
            let x = &x[group * group_blocks..][..group_blocks];
            for (index, out) in out.as_chunks_mut::<N>().0.iter_mut().enumerate() {
                multiply::<D, Q8_ROWS, N>(dot, weights, scales, x, index * N, out);
            }
        }
        for (x, out) in x.x1.chunks_exact(width).zip(out1.as_chunks_mut().0) {
            let x = &x[group * group_blocks..][..group_blocks];
            multiply::<D, 1, 1>(dot, weights, scales, x, 0, out);
        }
    }
}

/// Adds the products of a group's decoded weights and the rows `first..first + N` of blocks of `R`
/// rows to `out`.
#[inline(always)]
fn multiply<D: TernaryDot, const R: usize, const N: usize>(
    dot: D,
    weights: &[[Tile; BLOCK_STEPS]],
    weight_scales: &[f32; TILE],
    x: &[Q8Block<R>],
    first: usize,
    out: &mut [[f32; TILE]; N],
) {
    let mut partial = [[0.0; TILE]; N];
    for (weights, x) in weights.iter().zip(x) {
        let mut sums = [D::Sums::zeroed(); N];
        for (weights, quads) in weights.iter().zip(&x.values) {
            let weights = dot.isa().load(weights);
            for n in 0..N {
                sums[n] = dot.step(sums[n], weights, quads[first + n]);
            }
        }
        for n in 0..N {
            add_block(dot, sums[n], x, first + n, &mut partial[n]);
        }
    }
    for n in 0..N {
        add_group(&partial[n], weight_scales, &mut out[n]);
    }
}

/// Adds the sums of a block with row `n` of its activations to the sum over the group.
#[inline(always)]
fn add_block<D: TernaryDot, const R: usize>(
    dot: D,
    sums: D::Sums,
    x: &Q8Block<R>,
    n: usize,
    partial: &mut [f32; TILE],
) {
    let x_sum: i32 = x.x_sums.iter().map(|sums| sums[n]).sum();
    let mut ints = [-D::ZERO_CODE * x_sum; TILE];
    dot.reduce(sums, &mut ints);
    for (partial, int) in partial.iter_mut().zip(ints) {
        *partial += int as f32 * x.scales[n];
    }
}

/// Adds the sum over a group to `out`.
#[inline(always)]
fn add_group(partial: &[f32; TILE], weight_scales: &[f32; TILE], out: &mut [f32; TILE]) {
    for ((out, partial), scale) in out.iter_mut().zip(partial).zip(weight_scales) {
        *out += partial * scale;
    }
}
