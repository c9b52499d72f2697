//! Ternary matrix times int8 activations, written once for every vector instruction set.
//!
//! A [`TernaryDot`] step multiplies 16 rows by 4 columns: 64 weights in registers by the same 4
//! activations, broadcast. Instruction sets differ in the form of the weights and in how many steps
//! an accumulator takes before its lanes overflow. The loop nest is the same:
//!
//! - **One activation row** (matrix-vector): each tile is decoded in registers and used once.
//! - **Several rows** (matrix-matrix): as many tiles as the accumulators can take are decoded into
//!   up to 4 KiB on the stack. They stay in the L1 cache while `N` activation rows at a time pass
//!   over them; the accumulators of `N` rows fit the vector registers.
//!
//! Codes are weights plus one. Where a step multiplies codes, sums start at minus the sum of the
//! activations.

#![forbid(unsafe_code)]

use super::isa::Isa;
use super::opaque::opaque;
use crate::tensor::{TILE, TILE_BYTES};
use bytemuck::Zeroable;

/// Steps decoded at a time, at most: no accumulator takes more.
const DECODED_STEPS: usize = 64;

/// Steps in a tile.
const TILE_STEPS: usize = 4;

/// Decoded weights on the stack. No load of them crosses a cache line.
#[repr(align(64))]
pub(super) struct Decoded<const STEPS: usize>(pub(super) [[u8; TILE_BYTES]; STEPS]);

/// Four adjacent activations.
pub(super) type Quad = [i8; 4];

/// The registers of [`TernaryDot::Isa`] that hold 64 weights.
type Weights<D> = <<D as TernaryDot>::Isa as Isa>::Tile;

/// How an instruction set multiplies 16 rows by 4 columns.
pub(super) trait TernaryDot: Copy {
    /// The registers that hold the weights.
    type Isa: Isa;
    /// Accumulators of one activation row.
    type Sums: Copy + Zeroable;
    /// Steps before [`TernaryDot::Sums`] may overflow: a multiple of [`TILE_STEPS`], and
    /// [`DECODED_STEPS`] at most.
    const MAX_STEPS: usize;
    /// What a weight of zero is multiplied as.
    const ZERO_CODE: i32;

    /// The proof that the instructions exist.
    fn isa(self) -> Self::Isa;
    /// Columns `4 S..4 S + 4` of a tile.
    fn decode<const S: usize>(self, tile: &[u8; TILE_BYTES]) -> Weights<Self>;
    /// `sums + weights x`.
    fn step(self, sums: Self::Sums, weights: Weights<Self>, x: Quad) -> Self::Sums;
    /// `sums` plus the products of all columns of a tile. Backends override it to decode less.
    #[inline(always)]
    fn tile(self, sums: Self::Sums, tile: &[u8; TILE_BYTES], x: &[Quad; TILE_STEPS]) -> Self::Sums {
        let sums = self.step(sums, self.decode::<0>(tile), x[0]);
        let sums = self.step(sums, self.decode::<1>(tile), x[1]);
        let sums = self.step(sums, self.decode::<2>(tile), x[2]);
        self.step(sums, self.decode::<3>(tile), x[3])
    }
    /// Adds the sums of each row to `out`.
    fn reduce(self, sums: Self::Sums, out: &mut [i32; TILE]);
    /// See [`super::Kernels::peak`].
    #[cfg(feature = "bench")]
    fn peak(self, rounds: usize) -> u64;
}

/// Accumulators of [`TernaryDot::peak`], each of which depends only on itself: enough to hide the
/// latency of a multiplication and an addition, few enough for 16 registers.
#[cfg(feature = "bench")]
pub(super) const PEAK_SUMS: usize = 12;

/// [`super::Kernels::ternary_tile`], `N` activation rows at a time.
#[inline(always)]
pub(super) fn ternary_tile<D: TernaryDot, const N: usize>(
    dot: D,
    tiles: &[u8],
    x: &[i8],
    x_sums: &[i32],
    sums: &mut [[i32; TILE]],
) {
    let (tiles, _) = tiles.as_chunks::<TILE_BYTES>();
    for (sums, x_sum) in sums.iter_mut().zip(x_sums) {
        *sums = [-D::ZERO_CODE * x_sum; TILE];
    }
    let (x, _) = x.as_chunks();
    match sums {
        [] => {}
        [sums] => matrix_vector(dot, tiles, x, sums),
        sums => matrix_matrix::<D, N>(dot, tiles, x, sums),
    }
}

/// Adds the products of one activation row to `out`.
#[inline(always)]
fn matrix_vector<D: TernaryDot>(dot: D, tiles: &[[u8; TILE_BYTES]], x: &[Quad], out: &mut [i32; TILE]) {
    let (x, _) = x.as_chunks::<TILE_STEPS>();
    // Masks of unknown origin stay in registers, and a block of unknown length is not unrolled.
    let (dot, max_tiles) = opaque((dot, D::MAX_STEPS / TILE_STEPS));
    let (mut tiles, mut x) = (tiles, x);
    while !tiles.is_empty() {
        let (block, rest) = tiles.split_at(max_tiles.min(tiles.len()));
        let (block_x, rest_x) = x.split_at(block.len());
        let mut sums = D::Sums::zeroed();
        for (tile, x) in block.iter().zip(block_x) {
            sums = dot.tile(sums, tile, x);
        }
        dot.reduce(sums, out);
        (tiles, x) = (rest, rest_x);
    }
}

/// Tiles in a block of columns: no more than [`TernaryDot::Sums`] can take, and about equally many
/// in every block, since a short one costs nearly as much as a long one.
fn block_tiles<D: TernaryDot>(tiles: usize) -> usize {
    let blocks = tiles.div_ceil(D::MAX_STEPS / TILE_STEPS).max(1);
    tiles.div_ceil(blocks).max(1)
}

/// Adds the products of several activation rows to `sums`.
#[inline(always)]
fn matrix_matrix<D: TernaryDot, const N: usize>(
    dot: D,
    tiles: &[[u8; TILE_BYTES]],
    x: &[Quad],
    sums: &mut [[i32; TILE]],
) {
    let width = tiles.len() * TILE_STEPS;
    let mut decoded = Decoded([[0; TILE_BYTES]; DECODED_STEPS]);
    let block_tiles = block_tiles::<D>(tiles.len());
    for (index, tiles) in tiles.chunks(block_tiles).enumerate() {
        let (weights, _) = decoded.0.split_at_mut(tiles.len() * TILE_STEPS);
        for (tile, weights) in tiles.iter().zip(weights.as_chunks_mut::<TILE_STEPS>().0) {
            dot.isa().store(dot.decode::<0>(tile), &mut weights[0]);
            dot.isa().store(dot.decode::<1>(tile), &mut weights[1]);
            dot.isa().store(dot.decode::<2>(tile), &mut weights[2]);
            dot.isa().store(dot.decode::<3>(tile), &mut weights[3]);
        }
        let x = |row: usize| &x[row * width + index * block_tiles * TILE_STEPS..][..weights.len()];
        let (whole, rest) = sums.as_chunks_mut::<N>();
        let count = whole.len() * N;
        for (group, sums) in whole.iter_mut().enumerate() {
            multiply(dot, weights, std::array::from_fn(|n| x(group * N + n)), sums);
        }
        for (n, sums) in rest.as_chunks_mut().0.iter_mut().enumerate() {
            multiply::<D, 1>(dot, weights, [x(count + n)], sums);
        }
    }
}

/// Adds the products of decoded weights and `N` activation rows to `out`.
#[inline(always)]
fn multiply<D: TernaryDot, const N: usize>(
    dot: D,
    weights: &[[u8; TILE_BYTES]],
    x: [&[Quad]; N],
    out: &mut [[i32; TILE]; N],
) {
    let mut sums = [D::Sums::zeroed(); N];
    for (i, weights) in weights.iter().enumerate() {
        let weights = dot.isa().load(weights);
        for n in 0..N {
            sums[n] = dot.step(sums[n], weights, x[n][i]);
        }
    }
    for n in 0..N {
        dot.reduce(sums[n], &mut out[n]);
    }
}
