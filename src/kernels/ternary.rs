//! Products of 16 ternary rows with rows of int8 activations, written once for every vector instruction set.
//!
//! A [`Step`] multiplies 16 rows by 4 columns: 64 weights in registers with the same 4 activations, repeated. What differs
//! between instruction sets is the form of the weights and how many steps a sum can take before its lanes overflow; what is
//! the same is the order:
//!
//! - **One row** of activations: each tile is decoded in registers, field after field, and used once.
//! - **More rows**: up to [`CHUNK`] tiles are decoded into a scratch of 9 KiB on the stack, which stays in the first-level cache
//!   while `N` activation rows at a time pass over it. The sums of `N` rows fit the vector registers.
//!
//! Codes are the weights plus one, so sums start at minus the total of the activations where a step multiplies codes.

#![forbid(unsafe_code)]

use super::even_parts;
use crate::tensor::{TILE, TILE_BYTES};

/// Tiles decoded at a time, at most: 576 columns.
const CHUNK: usize = 36;

/// Steps in a tile.
const STEPS: usize = 4;

/// Four adjacent activations.
type Quad = [i8; 4];

/// How an instruction set multiplies 16 rows by 4 columns. A value of the type is proof that the instructions are there.
pub(super) trait Step: Copy {
    /// 64 weights in registers.
    type Weights: Copy;
    /// Sums of one activation row in the lanes of the multiplications.
    type Sums: Copy;
    /// Sums of one activation row in lanes that take a whole chunk.
    type Totals: Copy;
    /// Steps that [`Step::Sums`] can take: a multiple of 8.
    const LIMIT: usize;
    /// Sums that one row of activations needs, because each waits for its last multiplication: 1, 2 or 4. More of them would
    /// take registers from the weights.
    const CHAINS: usize;
    /// What a weight of zero is multiplied as.
    const ZERO: i32;

    /// Columns `4 S..4 S + 4` of a tile.
    fn decode<const S: usize>(self, tile: &[u8; TILE_BYTES]) -> Self::Weights;
    fn store(self, weights: Self::Weights, to: &mut [u8; TILE_BYTES]);
    fn load(self, from: &[u8; TILE_BYTES]) -> Self::Weights;
    fn zero(self) -> (Self::Sums, Self::Totals);
    /// `sums + weights x`.
    fn step(self, sums: Self::Sums, weights: Self::Weights, x: Quad) -> Self::Sums;
    /// `totals + sums`.
    fn settle(self, totals: Self::Totals, sums: Self::Sums) -> Self::Totals;
    fn rows(self, totals: Self::Totals) -> [i32; TILE];
    /// [`super::Kernels::peak`].
    fn peak(self, rounds: usize) -> u64;
}

/// Sums in registers of [`Step::peak`], each of which waits only for itself: enough to hide the latency of a multiplication and an
/// addition, few enough for 16 registers.
pub(super) const PEAK_SUMS: usize = 12;

/// [`super::Kernels::ternary_tile`], `N` activation rows at a time.
#[inline(always)]
pub(super) fn tile<S: Step, const N: usize>(step: S, tiles: &[u8], x: &[i8], totals: &[i32], sums: &mut [[i32; TILE]]) {
    let (tiles, _) = tiles.as_chunks::<TILE_BYTES>();
    for (sums, total) in sums.iter_mut().zip(totals) {
        *sums = [-S::ZERO * total; TILE];
    }
    let (x, _) = x.as_chunks();
    match sums {
        [] => {}
        [sums] => vector(step, tiles, x, sums),
        sums => matrix::<S, N>(step, tiles, x, sums),
    }
}

#[inline(always)]
fn add(sums: &mut [i32; TILE], more: [i32; TILE]) {
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

/// Products with one row.
#[inline(always)]
fn vector<S: Step>(step: S, tiles: &[[u8; TILE_BYTES]], x: &[Quad], out: &mut [i32; TILE]) {
    let (x, _) = x.as_chunks::<STEPS>();
    let (zero, none) = step.zero();
    let part = even_parts(tiles.len(), S::LIMIT * S::CHAINS / STEPS);
    for (tiles, x) in tiles.chunks(part).zip(x.chunks(part)) {
        let mut sums = [zero; STEPS];
        for (tile, x) in tiles.iter().zip(x) {
            sums[0] = step.step(sums[0], step.decode::<0>(tile), x[0]);
            sums[1 % S::CHAINS] = step.step(sums[1 % S::CHAINS], step.decode::<1>(tile), x[1]);
            sums[2 % S::CHAINS] = step.step(sums[2 % S::CHAINS], step.decode::<2>(tile), x[2]);
            sums[3 % S::CHAINS] = step.step(sums[3 % S::CHAINS], step.decode::<3>(tile), x[3]);
        }
        let totals = sums[..S::CHAINS].iter().fold(none, |totals, &sums| step.settle(totals, sums));
        add(out, step.rows(totals));
    }
}

#[inline(always)]
fn matrix<S: Step, const N: usize>(step: S, tiles: &[[u8; TILE_BYTES]], x: &[Quad], sums: &mut [[i32; TILE]]) {
    let width = tiles.len() * STEPS;
    let mut scratch = [[0; TILE_BYTES]; CHUNK * STEPS];
    let chunk = even_parts(tiles.len(), CHUNK);
    for (index, tiles) in tiles.chunks(chunk).enumerate() {
        let (weights, _) = scratch.split_at_mut(tiles.len() * STEPS);
        for (tile, weights) in tiles.iter().zip(weights.as_chunks_mut::<STEPS>().0) {
            step.store(step.decode::<0>(tile), &mut weights[0]);
            step.store(step.decode::<1>(tile), &mut weights[1]);
            step.store(step.decode::<2>(tile), &mut weights[2]);
            step.store(step.decode::<3>(tile), &mut weights[3]);
        }
        let part = |row: usize| &x[row * width + index * chunk * STEPS..][..weights.len()];
        let (whole, rest) = sums.as_chunks_mut::<N>();
        for (group, sums) in whole.iter_mut().enumerate() {
            let products = multiply(step, weights, std::array::from_fn::<_, N, _>(|n| part(group * N + n)));
            sums.iter_mut().zip(products).for_each(|(sums, products)| add(sums, products));
        }
        for (n, sums) in rest.iter_mut().enumerate() {
            let [products] = multiply(step, weights, [part(whole.len() * N + n)]);
            add(sums, products);
        }
    }
}

/// Products of decoded weights with `N` rows of as many quads.
#[inline(always)]
fn multiply<S: Step, const N: usize>(step: S, weights: &[[u8; TILE_BYTES]], x: [&[Quad]; N]) -> [[i32; TILE]; N] {
    let (zero, none) = step.zero();
    let mut totals = [none; N];
    let part = even_parts(weights.len(), S::LIMIT);
    for (index, weights) in weights.chunks(part).enumerate() {
        let x = x.map(|x| &x[index * part..][..weights.len()]);
        let mut sums = [zero; N];
        for (i, weights) in weights.iter().enumerate() {
            let weights = step.load(weights);
            for n in 0..N {
                sums[n] = step.step(sums[n], weights, x[n][i]);
            }
        }
        for n in 0..N {
            totals[n] = step.settle(totals[n], sums[n]);
        }
    }
    totals.map(|totals| step.rows(totals))
}
