//! Products of 16 ternary rows with rows of int8 activations, written once for every vector instruction set.
//!
//! A [`Step`] multiplies 16 rows by 4 columns: 64 weights in registers with the same 4 activations, repeated. What differs
//! between instruction sets is the form of the weights and how many steps a sum can take before its lanes overflow; what is
//! the same is the order:
//!
//! - **One row** of activations: each tile is decoded in registers, field after field, and used once.
//! - **More rows**: as many tiles as sums can take are decoded into a scratch of up to 4 KiB on the stack, which stays in the
//!   first-level cache while `N` activation rows at a time pass over it. The sums of `N` rows fit the vector registers.
//!
//! Codes are the weights plus one, so sums start at minus the total of the activations where a step multiplies codes.

#![forbid(unsafe_code)]

use crate::tensor::{TILE, TILE_BYTES};

/// Steps decoded at a time, at most: no sums take more.
const SCRATCH: usize = 64;

/// Steps in a tile.
const STEPS: usize = 4;

/// Four adjacent activations.
type Quad = [i8; 4];

/// How an instruction set multiplies 16 rows by 4 columns. A value of the type is proof that the instructions are there.
pub(super) trait TernaryDot: Copy {
    /// 64 weights in registers.
    type Weights: Copy;
    /// Sums of one activation row in the lanes of the multiplications.
    type Sums: Copy;
    /// Steps that [`Step::Sums`] can take: a multiple of [`STEPS`], [`SCRATCH`] at most.
    const LIMIT: usize;
    /// What a weight of zero is multiplied as.
    const ZERO_CODE: i32;

    /// Columns `4 S..4 S + 4` of a tile.
    fn decode<const S: usize>(self, tile: &[u8; TILE_BYTES]) -> Self::Weights;
    fn store(self, weights: Self::Weights, to: &mut [u8; TILE_BYTES]);
    fn load(self, from: &[u8; TILE_BYTES]) -> Self::Weights;
    fn zero(self) -> Self::Sums;
    /// `sums + weights x`.
    fn step(self, sums: Self::Sums, weights: Self::Weights, x: Quad) -> Self::Sums;
    /// `sums` and the products of all columns of a tile: four steps, with as little decoding as there can be.
    #[inline(always)]
    fn tile(self, sums: Self::Sums, tile: &[u8; TILE_BYTES], x: &[Quad; STEPS]) -> Self::Sums {
        let sums = self.step(sums, self.decode::<0>(tile), x[0]);
        let sums = self.step(sums, self.decode::<1>(tile), x[1]);
        let sums = self.step(sums, self.decode::<2>(tile), x[2]);
        self.step(sums, self.decode::<3>(tile), x[3])
    }
    /// Adds the sums of each row to `out`.
    fn add(self, sums: Self::Sums, out: &mut [i32; TILE]);
    /// [`super::Kernels::peak`].
    fn peak(self, rounds: usize) -> u64;
}

/// Sums in registers of [`Step::peak`], each of which waits only for itself: enough to hide the latency of a multiplication and an
/// addition, few enough for 16 registers.
pub(super) const PEAK_SUMS: usize = 12;

/// [`super::Kernels::ternary_tile`], `N` activation rows at a time.
#[inline(always)]
pub(super) fn tile<S: TernaryDot, const N: usize>(
    step: S,
    tiles: &[u8],
    x: &[i8],
    x_sums: &[i32],
    sums: &mut [[i32; TILE]],
) {
    let (tiles, _) = tiles.as_chunks::<TILE_BYTES>();
    for (sums, sum_of) in sums.iter_mut().zip(x_sums) {
        *sums = [-S::ZERO_CODE * sum_of; TILE];
    }
    let (x, _) = x.as_chunks();
    match sums {
        [] => {}
        [sums] => vector(step, tiles, x, sums),
        sums => matrix::<S, N>(step, tiles, x, sums),
    }
}

/// How many of `tiles` at a time: no more than [`Step::Sums`] can take, and as good as equally many in every part, since a short one
/// costs nearly as much as a long one.
fn part<S: TernaryDot>(tiles: usize) -> usize {
    let parts = tiles.div_ceil(S::LIMIT / STEPS).max(1);
    tiles.div_ceil(parts).max(1)
}

/// Products with one row.
#[inline(always)]
fn vector<S: TernaryDot>(step: S, tiles: &[[u8; TILE_BYTES]], x: &[Quad], out: &mut [i32; TILE]) {
    let (x, _) = x.as_chunks::<STEPS>();
    // Masks that are constants are made anew for every tile by V8; those that come from somewhere stay in registers. And a part of
    // so many tiles would be unrolled.
    let (step, limit) = std::hint::black_box((step, S::LIMIT / STEPS));
    let (mut tiles, mut x) = (tiles, x);
    while !tiles.is_empty() {
        let (part, rest) = tiles.split_at(limit.min(tiles.len()));
        let (part_x, rest_x) = x.split_at(part.len());
        let sums = part.iter().zip(part_x).fold(step.zero(), |sums, (tile, x)| step.tile(sums, tile, x));
        step.add(sums, out);
        (tiles, x) = (rest, rest_x);
    }
}

#[inline(always)]
fn matrix<S: TernaryDot, const N: usize>(step: S, tiles: &[[u8; TILE_BYTES]], x: &[Quad], sums: &mut [[i32; TILE]]) {
    let width = tiles.len() * STEPS;
    let mut scratch = [[0; TILE_BYTES]; SCRATCH];
    let part = part::<S>(tiles.len());
    for (index, tiles) in tiles.chunks(part).enumerate() {
        let (weights, _) = scratch.split_at_mut(tiles.len() * STEPS);
        for (tile, weights) in tiles.iter().zip(weights.as_chunks_mut::<STEPS>().0) {
            step.store(step.decode::<0>(tile), &mut weights[0]);
            step.store(step.decode::<1>(tile), &mut weights[1]);
            step.store(step.decode::<2>(tile), &mut weights[2]);
            step.store(step.decode::<3>(tile), &mut weights[3]);
        }
        let x = |row: usize| &x[row * width + index * part * STEPS..][..weights.len()];
        let (whole, rest) = sums.as_chunks_mut::<N>();
        let count = whole.len() * N;
        for (group, sums) in whole.iter_mut().enumerate() {
            multiply(step, weights, std::array::from_fn(|n| x(group * N + n)), sums);
        }
        for (n, sums) in rest.as_chunks_mut().0.iter_mut().enumerate() {
            multiply::<S, 1>(step, weights, [x(count + n)], sums);
        }
    }
}

/// Adds products of decoded weights with `N` rows of as many quads.
#[inline(always)]
fn multiply<S: TernaryDot, const N: usize>(
    step: S,
    weights: &[[u8; TILE_BYTES]],
    x: [&[Quad]; N],
    out: &mut [[i32; TILE]; N],
) {
    let mut sums = [step.zero(); N];
    for (i, weights) in weights.iter().enumerate() {
        let weights = step.load(weights);
        for n in 0..N {
            sums[n] = step.step(sums[n], weights, x[n][i]);
        }
    }
    for n in 0..N {
        step.add(sums[n], &mut out[n]);
    }
}
