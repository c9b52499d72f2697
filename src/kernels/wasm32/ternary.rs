//! Ternary weights by `i32x4.dot_i16x8_s`, two rows in one i16 (SIMD within a register).
//!
//! A lane holds `w = a + 2^14 b` for the weights `a`, `b` of two rows. A sum of `w x` is
//! `A + 2^14 B`, and the two parts can be separated while `|A| <= 2^13 - 1`: for 64 products with
//! int8. So each instruction multiplies 16 weights instead of 8.

use super::vector::{Simd128, add_pairs, add_to, splat};
use crate::kernels::isa::Isa;
use crate::kernels::ternary::TernaryDot;
use crate::tensor::{TILE, TILE_BYTES};
use core::arch::wasm32::*;

/// Two rows in one i16.
#[derive(Clone, Copy)]
pub(super) struct Swar;

/// Lanes of `w`: rows `r` and `r + 4` of columns `4 S..4 S + 4`, two rows `r` per vector.
fn interleave<const S: usize>(a: v128, b: v128) -> [v128; 2] {
    // Codes of `a` in the lowest two bits of each byte, of `b` in the highest.
    let a = v128_and(u16x8_shr(a, 2 * S as u32), u8x16_splat(0x03));
    let b = v128_and(u16x8_shl(b, 6 - 2 * S as u32), u8x16_splat(0xC0));
    let low = i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b);
    let high = i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(a, b);
    [low, high].map(|codes| i16x8_sub(codes, i16x8_splat((1 << 14) + 1)))
}

impl TernaryDot for Swar {
    type Isa = Simd128;
    type Sums = [v128; 4];
    /// An i32 lane takes two products per step.
    const MAX_STEPS: usize = 32;
    const ZERO_CODE: i32 = 0;

    fn isa(self) -> Simd128 {
        Simd128
    }

    fn decode<const S: usize>(self, tile: &[u8; TILE_BYTES]) -> [v128; 4] {
        let [a, b, c, d] = Simd128.load(tile);
        let ([ab0, ab1], [cd0, cd1]) = (interleave::<S>(a, b), interleave::<S>(c, d));
        [ab0, ab1, cd0, cd1]
    }

    fn step(self, sums: [v128; 4], weights: [v128; 4], x: [i8; 4]) -> [v128; 4] {
        let x = i16x8_extend_low_i8x16(splat(x));
        std::array::from_fn(|i| i32x4_add(sums[i], i32x4_dot_i16x8(weights[i], x)))
    }

    fn reduce(self, sums: [v128; 4], out: &mut [i32; TILE]) {
        let low = sums.map(|sum| i32x4_shr(i32x4_shl(sum, 18), 18));
        let high: [v128; 4] = std::array::from_fn(|i| i32x4_shr(i32x4_sub(sums[i], low[i]), 14));
        let rows = [[low[0], low[1]], [high[0], high[1]], [low[2], low[3]], [high[2], high[3]]];
        add_to(rows.map(|[a, b]| add_pairs(a, b)), out);
    }

    #[cfg(feature = "bench")]
    fn peak(self, rounds: usize) -> u64 {
        let weights = i16x8_splat((1 << 14) + 1);
        super::vector::peak(rounds, |sum| i32x4_add(sum, i32x4_dot_i16x8(sum, weights)))
    }
}
