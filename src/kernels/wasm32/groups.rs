//! Grouped integers by `i32x4.dot_i16x8_s`, which multiplies 8 pairs of i16 and adds adjacent
//! products in i32.

use super::vector::{Simd128, add_pairs, load_32, load_extended};
use crate::kernels::groups::GroupDot;
use crate::tensor::CHUNK_BYTES;
use core::arch::wasm32::*;

/// Codes of 8 bits, which are signed, or of 4 bits, which are not; widened to i16.
#[derive(Clone, Copy)]
pub(super) struct Codes<const BITS: u32>;

impl<const BITS: u32> GroupDot for Codes<BITS> {
    type Isa = Simd128;
    /// Four columns of two rows per vector.
    type Weights = [v128; 4];
    /// Two sums per row.
    type Sums = [v128; 4];
    type Quad = [i16; 4];
    type Batched = BatchedCodes<BITS>;

    fn isa(self) -> Simd128 {
        Simd128
    }

    fn decode<const F: usize>(self, chunk: &[u8; CHUNK_BYTES]) -> [v128; 4] {
        if BITS == 8 {
            return bytemuck::cast_ref::<_, [[u8; 8]; 4]>(chunk).each_ref().map(load_extended);
        }
        let [a, b] = load_32(chunk).map(|codes| v128_and(u16x8_shr(codes, 4 * F as u32), u8x16_splat(15)));
        [u16x8_extend_low_u8x16(a), u16x8_extend_high_u8x16(a), u16x8_extend_low_u8x16(b), u16x8_extend_high_u8x16(b)]
    }

    fn step(self, sums: [v128; 4], weights: [v128; 4], x: &[i16; 4]) -> [v128; 4] {
        dot_add(sums, weights, i64x2_splat(bytemuck::cast(*x)))
    }

    fn reduce(self, sums: [v128; 4]) -> [v128; 2] {
        [add_pairs(sums[0], sums[1]), add_pairs(sums[2], sums[3])]
    }
}

/// [`Codes`] for several activation rows. A vector of weights is two columns of four rows, so that
/// a row has one sum instead of two.
#[derive(Clone, Copy)]
pub(super) struct BatchedCodes<const BITS: u32>;

impl<const BITS: u32> From<Codes<BITS>> for BatchedCodes<BITS> {
    fn from(_: Codes<BITS>) -> Self {
        Self
    }
}

impl<const BITS: u32> GroupDot for BatchedCodes<BITS> {
    type Isa = Simd128;
    /// The first two columns of all rows, then the other two.
    type Weights = [v128; 4];
    type Sums = [v128; 2];
    type Quad = [[i16; 2]; 2];
    type Batched = Self;
    const HAS_STEP_HI: bool = true;

    fn isa(self) -> Simd128 {
        Simd128
    }

    fn decode<const F: usize>(self, chunk: &[u8; CHUNK_BYTES]) -> [v128; 4] {
        let [a, b, c, d] = Codes::<BITS>.decode::<F>(chunk);
        let even = |a, b| i32x4_shuffle::<0, 2, 4, 6>(a, b);
        let odd = |a, b| i32x4_shuffle::<1, 3, 5, 7>(a, b);
        [even(a, b), even(c, d), odd(a, b), odd(c, d)]
    }

    fn step(self, sums: [v128; 2], [a, b, ..]: [v128; 4], [even, _]: &[[i16; 2]; 2]) -> [v128; 2] {
        dot_add(sums, [a, b], i32x4_splat(bytemuck::cast(*even)))
    }

    fn step_hi(self, sums: [v128; 2], [.., c, d]: [v128; 4], [_, odd]: &[[i16; 2]; 2]) -> [v128; 2] {
        dot_add(sums, [c, d], i32x4_splat(bytemuck::cast(*odd)))
    }

    fn reduce(self, sums: [v128; 2]) -> [v128; 2] {
        sums
    }
}

/// `sums + weights x`.
fn dot_add<const N: usize>(sums: [v128; N], weights: [v128; N], x: v128) -> [v128; N] {
    std::array::from_fn(|i| i32x4_add(sums[i], i32x4_dot_i16x8(weights[i], x)))
}
