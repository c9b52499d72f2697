//! The relaxed dot products, which multiply 16 pairs of int8.
//!
//! Engines agree on the result while the second operand is in 0..=127. Which of the two is faster
//! depends on the processor. On x86-64 with VNNI and on arm64 with the dot product extension, the
//! 4-way sum in i32 is one instruction and does twice the work of the other. Elsewhere it is
//! several, and the pairwise sum in i16 wins.

#![forbid(unsafe_code)]

use core::arch::wasm32::*;

/// A relaxed dot product with the operations on lanes as wide as its results.
pub(super) trait RelaxedDot: Copy {
    /// `sum + x codes`.
    fn dot_add(self, sum: v128, x: v128, codes: v128) -> v128;
    /// `sum` and the products of one vector of a tile: of `low` and `high` masked with `even`, and
    /// a quarter of those masked with `odd`, with the activations of steps 0 to 3.
    fn tile(self, sum: v128, low: v128, high: v128, even: v128, odd: v128, x: [v128; 4]) -> v128;
    /// The sum of each row in i32.
    fn widen(self, sum: v128) -> v128;
}

/// Pairwise: `i16x8.relaxed_dot_i8x16_i7x16_s`.
#[derive(Clone, Copy)]
pub(super) struct DotI16;

impl RelaxedDot for DotI16 {
    fn dot_add(self, sum: v128, x: v128, codes: v128) -> v128 {
        i16x8_add(sum, i16x8_relaxed_dot_i8x16_i7x16(x, codes))
    }

    fn tile(self, sum: v128, low: v128, high: v128, even: v128, odd: v128, x: [v128; 4]) -> v128 {
        let dot = |x, codes, mask| i16x8_relaxed_dot_i8x16_i7x16(x, v128_and(codes, mask));
        let evens = i16x8_add(dot(x[0], low, even), dot(x[2], high, even));
        let odds = i16x8_add(dot(x[1], low, odd), dot(x[3], high, odd));
        i16x8_add(sum, i16x8_add(evens, i16x8_shr(odds, 2)))
    }

    fn widen(self, sum: v128) -> v128 {
        i32x4_extadd_pairwise_i16x8(sum)
    }
}

/// 4-way: `i32x4.relaxed_dot_i8x16_i7x16_add_s`.
#[derive(Clone, Copy)]
pub(super) struct DotI32;

impl RelaxedDot for DotI32 {
    fn dot_add(self, sum: v128, x: v128, codes: v128) -> v128 {
        i32x4_relaxed_dot_i8x16_i7x16_add(x, codes, sum)
    }

    fn tile(self, sum: v128, low: v128, high: v128, even: v128, odd: v128, x: [v128; 4]) -> v128 {
        let dot_add = |sum, x, codes, mask| self.dot_add(sum, x, v128_and(codes, mask));
        let odds = dot_add(dot_add(i32x4_splat(0), x[1], low, odd), x[3], high, odd);
        let evens = dot_add(dot_add(sum, x[0], low, even), x[2], high, even);
        i32x4_add(evens, i32x4_shr(odds, 2))
    }

    fn widen(self, sum: v128) -> v128 {
        sum
    }
}
