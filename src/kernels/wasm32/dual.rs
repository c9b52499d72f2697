//! Ternary products two rows at a time in one i16, for simd128 without the relaxed instructions.
//!
//! A lane holds `w = a + 2^14 b` for the weights `a`, `b` of two rows. A sum of `w x` is `A + 2^14 B`, and `A` can be told
//! from `B` while `|A| <= 2^13 - 1`: for 64 products with int8. So each `i32x4.dot_i16x8_s` multiplies 16 weights instead of 8.

use super::vector::{add_lanes, load_line, peak, splat, store_line};
use crate::kernels::ternary::TernaryDot;
use crate::tensor::{TILE, TILE_BYTES};
use core::arch::wasm32::*;

/// Two rows in one i16.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Dual;

/// Lanes of `w`: rows `r` and `r + 4` of columns `4 S..4 S + 4`, two rows `r` a vector.
fn interleave<const S: usize>(a: v128, b: v128) -> [v128; 2] {
    // Codes of a in the lowest two bits of each byte, of b in the highest.
    let a = v128_and(u16x8_shr(a, 2 * S as u32), u8x16_splat(0x03));
    let b = v128_and(u16x8_shl(b, 6 - 2 * S as u32), u8x16_splat(0xC0));
    let low = i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b);
    let high = i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(a, b);
    [low, high].map(|codes| i16x8_sub(codes, i16x8_splat((1 << 14) + 1)))
}

impl TernaryDot for Dual {
    type Weights = [v128; 4];
    type Sums = [v128; 4];
    /// A lane of i32 takes two products a step.
    const LIMIT: usize = 32;
    const ZERO_CODE: i32 = 0;

    fn decode<const S: usize>(self, tile: &[u8; TILE_BYTES]) -> [v128; 4] {
        let [a, b, c, d] = load_line(tile);
        let ([ab0, ab1], [cd0, cd1]) = (interleave::<S>(a, b), interleave::<S>(c, d));
        [ab0, ab1, cd0, cd1]
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
        let x = i16x8_extend_low_i8x16(splat(x));
        std::array::from_fn(|i| i32x4_add(sums[i], i32x4_dot_i16x8(weights[i], x)))
    }

    fn add(self, sums: [v128; 4], out: &mut [i32; TILE]) {
        let fold = |a, b| i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b));
        let low = sums.map(|sum| i32x4_shr(i32x4_shl(sum, 18), 18));
        let high: [v128; 4] = std::array::from_fn(|i| i32x4_shr(i32x4_sub(sums[i], low[i]), 14));
        let rows = [fold(low[0], low[1]), fold(high[0], high[1]), fold(low[2], low[3]), fold(high[2], high[3])];
        add_lanes(rows, out);
    }

    fn peak(self, rounds: usize) -> u64 {
        let weights = i16x8_splat((1 << 14) + 1);
        peak(rounds, |sum| i32x4_add(sum, i32x4_dot_i16x8(sum, weights)))
    }
}
