//! Backends on the relaxed dot products, and ternary products by these, which multiply 16 pairs of int8 in one instruction.
//!
//! Their second operand must be in 0..=127, or engines may differ: the codes 0..=2 are, and so the results are exact on every
//! engine. Which of the two is faster depends on the processor. On x86-64 without VNNI and on arm64 without the dot product
//! extension the four-fold sum is several instructions, and the two-fold one into i16 ([`Pairs`]) wins; where it is one
//! instruction, [`Quads`] does twice the work in it.

use super::dots::{NIBBLES, PairDots, QuadDots, SIGNED, UNSIGNED};
use super::simd128::Backend;
use super::vector::{add_lanes, load_line, peak, splat, store_line};
use super::words::Words;
use crate::kernels::Kernels;
use crate::kernels::ternary::TernaryDot;
use crate::tensor::{TILE, TILE_BYTES};
use core::arch::wasm32::*;

/// Every backend of relaxed instructions, see [`QuadDots`] for what distinguishes the first three.
pub(in crate::kernels) const BACKENDS: [&dyn Kernels; 4] = [
    &Backend {
        name: "wasm32-relaxed-u8",
        ternary: Quads(MASKS),
        bytes: QuadDots::<UNSIGNED>,
        nibbles: QuadDots::<NIBBLES>,
    },
    &Backend {
        name: "wasm32-relaxed-i8",
        ternary: Quads(MASKS),
        bytes: QuadDots::<SIGNED>,
        nibbles: QuadDots::<NIBBLES>,
    },
    &Backend { name: "wasm32-relaxed-i7", ternary: Quads(MASKS), bytes: Words::<false>, nibbles: QuadDots::<NIBBLES> },
    &Backend { name: "wasm32-relaxed-i7x2", ternary: Pairs(MASKS), bytes: Words::<false>, nibbles: PairDots },
];

/// What [`Step::tile`] keeps of each byte: codes, and codes times four, which are as good an operand and need no shift.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Masks {
    even: v128,
    odd: v128,
}

const MASKS: Masks = Masks {
    even: u8x16(3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3),
    odd: u8x16(12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12),
};

fn codes<const S: usize>(tile: &[u8; TILE_BYTES]) -> [v128; 4] {
    load_line(tile).map(|bytes| v128_and(u16x8_shr(bytes, 2 * S as u32), u8x16_splat(3)))
}

/// Sums of two products in i16.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Pairs(Masks);

impl TernaryDot for Pairs {
    type Weights = [v128; 4];
    type Sums = [v128; 4];
    /// A lane grows by at most `2 * 2 * 127` a step.
    const LIMIT: usize = 64;
    const ZERO_CODE: i32 = 1;

    fn decode<const S: usize>(self, tile: &[u8; TILE_BYTES]) -> [v128; 4] {
        codes::<S>(tile)
    }

    fn store(self, weights: [v128; 4], to: &mut [u8; TILE_BYTES]) {
        store_line(to, weights);
    }

    fn load(self, from: &[u8; TILE_BYTES]) -> [v128; 4] {
        load_line(from)
    }

    fn zero(self) -> [v128; 4] {
        [i16x8_splat(0); 4]
    }

    fn step(self, sums: [v128; 4], weights: [v128; 4], x: [i8; 4]) -> [v128; 4] {
        let x = splat(x);
        std::array::from_fn(|i| i16x8_add(sums[i], i16x8_relaxed_dot_i8x16_i7x16(x, weights[i])))
    }

    fn tile(self, sums: [v128; 4], tile: &[u8; TILE_BYTES], x: &[[i8; 4]; 4]) -> [v128; 4] {
        let Masks { even, odd } = self.0;
        let (x, chunk) = (x.map(splat), load_line(tile));
        std::array::from_fn(|i| {
            let (low, high) = (chunk[i], u16x8_shr(chunk[i], 4));
            let dot = |x, bytes, mask| i16x8_relaxed_dot_i8x16_i7x16(x, v128_and(bytes, mask));
            let evens = i16x8_add(dot(x[0], low, even), dot(x[2], high, even));
            let odds = i16x8_add(dot(x[1], low, odd), dot(x[3], high, odd));
            i16x8_add(sums[i], i16x8_add(evens, i16x8_shr(odds, 2)))
        })
    }

    fn add(self, sums: [v128; 4], out: &mut [i32; TILE]) {
        add_lanes(sums.map(|pairs| i32x4_extadd_pairwise_i16x8(pairs)), out);
    }

    fn peak(self, rounds: usize) -> u64 {
        let weights = i8x16_splat(2);
        peak(rounds, |sum| i16x8_add(sum, i16x8_relaxed_dot_i8x16_i7x16(sum, weights)))
    }
}

/// Sums of four products in i32.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Quads(Masks);

impl TernaryDot for Quads {
    type Weights = [v128; 4];
    type Sums = [v128; 4];
    const LIMIT: usize = 64;
    const ZERO_CODE: i32 = 1;

    fn decode<const S: usize>(self, tile: &[u8; TILE_BYTES]) -> [v128; 4] {
        codes::<S>(tile)
    }

    fn store(self, weights: [v128; 4], to: &mut [u8; TILE_BYTES]) {
        store_line(to, weights);
    }

    fn load(self, from: &[u8; TILE_BYTES]) -> [v128; 4] {
        load_line(from)
    }

    fn zero(self) -> [v128; 4] {
        [i32x4_splat(0); 4]
    }

    fn step(self, sums: [v128; 4], weights: [v128; 4], x: [i8; 4]) -> [v128; 4] {
        let x = splat(x);
        std::array::from_fn(|i| i32x4_relaxed_dot_i8x16_i7x16_add(x, weights[i], sums[i]))
    }

    fn tile(self, sums: [v128; 4], tile: &[u8; TILE_BYTES], x: &[[i8; 4]; 4]) -> [v128; 4] {
        let Masks { even, odd } = self.0;
        let (x, chunk) = (x.map(splat), load_line(tile));
        std::array::from_fn(|i| {
            let (low, high) = (chunk[i], u16x8_shr(chunk[i], 4));
            let dot = |x, bytes, mask, sum| i32x4_relaxed_dot_i8x16_i7x16_add(x, v128_and(bytes, mask), sum);
            let odds = dot(x[3], high, odd, dot(x[1], low, odd, i32x4_splat(0)));
            i32x4_add(dot(x[2], high, even, dot(x[0], low, even, sums[i])), i32x4_shr(odds, 2))
        })
    }

    fn add(self, sums: [v128; 4], out: &mut [i32; TILE]) {
        add_lanes(sums, out);
    }

    fn peak(self, rounds: usize) -> u64 {
        let weights = i8x16_splat(2);
        peak(rounds, |sum| i32x4_relaxed_dot_i8x16_i7x16_add(sum, weights, sum))
    }
}
