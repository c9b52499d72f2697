//! Grouped integers by `i32x4.dot_i16x8_s`, eight multiplications an instruction, on operands widened to i16.

use super::vector::{RowFloats, extend, load_half};
use crate::kernels::groups::GroupDot;
use crate::kernels::q8::Q8Block;
use crate::tensor::{CHUNK_BYTES, PANEL_ROWS};
use core::arch::wasm32::*;

/// Codes of 8 bits, or of 4 when `NIBBLES`.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Words<const NIBBLES: bool>;

impl<const NIBBLES: bool> GroupDot for Words<NIBBLES> {
    /// Two rows a vector.
    type Weights = [v128; 4];
    type Sums = [v128; 4];
    type Accumulators = RowFloats;
    type Quad = [i16; 4];
    type Batched = WordPairs<NIBBLES>;
    const OFFSET: i32 = 0;

    fn batched(self) -> WordPairs<NIBBLES> {
        WordPairs
    }

    fn decode<const F: usize>(self, chunk: &[u8; CHUNK_BYTES]) -> [v128; 4] {
        if NIBBLES {
            let [a, b] = load_half(chunk).map(|bytes| v128_and(u16x8_shr(bytes, 4 * F as u32), u8x16_splat(15)));
            [
                u16x8_extend_low_u8x16(a),
                u16x8_extend_high_u8x16(a),
                u16x8_extend_low_u8x16(b),
                u16x8_extend_high_u8x16(b),
            ]
        } else {
            bytemuck::cast_ref::<_, [[u8; 8]; 4]>(chunk).each_ref().map(extend)
        }
    }

    fn quads<const N: usize>(x: &Q8Block<N>) -> &[[[i16; 4]; N]; 8] {
        bytemuck::cast_ref(&x.words)
    }

    fn zero(self) -> [v128; 4] {
        [i32x4_splat(0); 4]
    }

    fn step(self, sums: [v128; 4], weights: [v128; 4], x: &[i16; 4]) -> [v128; 4] {
        add(sums, weights, i64x2_splat(bytemuck::cast(*x)))
    }

    fn fold(self, sums: [v128; 4]) -> [v128; 2] {
        let fold = |a, b| i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b));
        [fold(sums[0], sums[1]), fold(sums[2], sums[3])]
    }

    fn floats(self, rows: &[f32; PANEL_ROWS]) -> RowFloats {
        RowFloats::load(rows)
    }
}

/// [`Words`] for several rows.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct WordPairs<const NIBBLES: bool>;

impl<const NIBBLES: bool> GroupDot for WordPairs<NIBBLES> {
    /// Two columns of four rows a vector: so a lane of the sums is a row.
    type Weights = [v128; 4];
    type Sums = [v128; 2];
    type Accumulators = RowFloats;
    type Quad = [[i16; 2]; 2];
    type Batched = Self;
    const OFFSET: i32 = 0;
    const HAS_STEP_HI: bool = true;

    fn batched(self) -> Self {
        self
    }

    fn decode<const F: usize>(self, chunk: &[u8; CHUNK_BYTES]) -> [v128; 4] {
        let [a, b, c, d] = Words::<NIBBLES>.decode::<F>(chunk);
        let even = |a, b| i32x4_shuffle::<0, 2, 4, 6>(a, b);
        let odd = |a, b| i32x4_shuffle::<1, 3, 5, 7>(a, b);
        [even(a, b), even(c, d), odd(a, b), odd(c, d)]
    }

    fn quads<const N: usize>(x: &Q8Block<N>) -> &[[[[i16; 2]; 2]; N]; 8] {
        bytemuck::cast_ref(&x.words)
    }

    fn zero(self) -> [v128; 2] {
        [i32x4_splat(0); 2]
    }

    fn step(self, sums: [v128; 2], [a, b, ..]: [v128; 4], [even, _]: &[[i16; 2]; 2]) -> [v128; 2] {
        add(sums, [a, b], i32x4_splat(bytemuck::cast(*even)))
    }

    fn step_hi(self, sums: [v128; 2], [.., c, d]: [v128; 4], [_, odd]: &[[i16; 2]; 2]) -> [v128; 2] {
        add(sums, [c, d], i32x4_splat(bytemuck::cast(*odd)))
    }

    fn fold(self, sums: [v128; 2]) -> [v128; 2] {
        sums
    }

    fn floats(self, rows: &[f32; PANEL_ROWS]) -> RowFloats {
        RowFloats::load(rows)
    }
}

/// `sums + weights x`.
fn add<const N: usize>(sums: [v128; N], weights: [v128; N], x: v128) -> [v128; N] {
    std::array::from_fn(|i| i32x4_add(sums[i], i32x4_dot_i16x8(weights[i], x)))
}
