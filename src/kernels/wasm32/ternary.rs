//! Ternary weights by `i32x4.dot_i16x8_s`, two rows in one i16 (SIMD within a register).
//!
//! A lane holds `w = a + 2^S b` for the weights `a`, `b` of two rows. A sum of `w x` is
//! `A + 2^S B`, and the two parts can be separated while `|A| < 2^(S - 1)`. So each instruction
//! multiplies 16 weights instead of 8. Weights of -1, 0 and 1 leave room for `S = 14` and 64
//! products with int8; where there is +2 too, `w` fits i16 with `S = 13`, for 16 products.

use super::vector::{Simd128, add_pairs, add_to, splat};
use crate::kernels::isa::Isa;
use crate::kernels::ternary::TernaryDot;
use crate::tensor::{TILE, TILE_BYTES};
use core::arch::wasm32::*;

/// Two rows in one i16, the second `2^S` times as large.
#[derive(Clone, Copy)]
pub(super) struct Swar<const S: u32>;

/// Lanes of `w`: rows `r` and `r + 4` of columns `4 F..4 F + 4`, two rows `r` per vector.
fn interleave<const S: u32, const F: usize>(a: v128, b: v128) -> [v128; 2] {
    // Codes of `a` in the lowest two bits of each byte, of `b` at bit S - 8 of the upper one.
    let (from, to) = (2 * F as u32, S - 8);
    let a = v128_and(u16x8_shr(a, from), u8x16_splat(0x03));
    let b = if to < from { u16x8_shr(b, from - to) } else { u16x8_shl(b, to - from) };
    let b = v128_and(b, u8x16_splat(3 << to));
    let low = i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b);
    let high = i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(a, b);
    [low, high].map(|codes| i16x8_sub(codes, i16x8_splat((1 << S) + 1)))
}

impl<const S: u32> TernaryDot for Swar<S> {
    type Isa = Simd128;
    type Sums = [v128; 4];
    /// An i32 lane takes two products per step.
    const MAX_STEPS: usize = if S == 14 { 32 } else { 16 };
    const ZERO_CODE: i32 = 0;

    fn isa(self) -> Simd128 {
        Simd128
    }

    fn decode<const F: usize>(self, tile: &[u8; TILE_BYTES]) -> [v128; 4] {
        let [a, b, c, d] = Simd128.load(tile);
        let ([ab0, ab1], [cd0, cd1]) = (interleave::<S, F>(a, b), interleave::<S, F>(c, d));
        [ab0, ab1, cd0, cd1]
    }

    fn step(self, sums: [v128; 4], weights: [v128; 4], x: [i8; 4]) -> [v128; 4] {
        let x = i16x8_extend_low_i8x16(splat(x));
        std::array::from_fn(|i| i32x4_add(sums[i], i32x4_dot_i16x8(weights[i], x)))
    }

    fn reduce(self, sums: [v128; 4], out: &mut [i32; TILE]) {
        let low = sums.map(|sum| i32x4_shr(i32x4_shl(sum, 32 - S), 32 - S));
        let high: [v128; 4] = std::array::from_fn(|i| i32x4_shr(i32x4_sub(sums[i], low[i]), S));
        let rows = [[low[0], low[1]], [high[0], high[1]], [low[2], low[3]], [high[2], high[3]]];
        add_to(rows.map(|[a, b]| add_pairs(a, b)), out);
    }

    #[cfg(feature = "bench")]
    fn peak(self, rounds: usize) -> u64 {
        let weights = i16x8_splat((1 << S) + 1);
        super::vector::peak(rounds, |sum| i32x4_add(sum, i32x4_dot_i16x8(sum, weights)))
    }
}
