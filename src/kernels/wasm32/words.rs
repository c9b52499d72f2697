//! Grouped integers by `i32x4.dot_i16x8_s`, eight multiplications an instruction, on operands widened to i16.

use super::vector::{load, load_floats, lower, rows, scale, splat};
use crate::kernels::groups::Group;
use crate::tensor::{STRIP, STRIP_LINE};
use core::arch::wasm32::*;

/// Codes of 8 bits, or of 4 when `NIBBLES`.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Words<const NIBBLES: bool>;

impl<const NIBBLES: bool> Group for Words<NIBBLES> {
    /// Two rows a vector.
    type Weights = [v128; 4];
    type Sums = [v128; 4];
    type Floats = [v128; 2];
    const OFFSET: i32 = 0;

    fn decode<const F: usize>(self, line: &[u8; STRIP_LINE]) -> [v128; 4] {
        let [a, b] = bytemuck::cast_ref::<_, [[u8; 16]; 2]>(line).each_ref().map(load);
        if NIBBLES {
            let [a, b] = [a, b].map(|bytes| v128_and(u16x8_shr(bytes, 4 * F as u32), u8x16_splat(15)));
            [
                u16x8_extend_low_u8x16(a),
                u16x8_extend_high_u8x16(a),
                u16x8_extend_low_u8x16(b),
                u16x8_extend_high_u8x16(b),
            ]
        } else {
            [
                i16x8_extend_low_i8x16(a),
                i16x8_extend_high_i8x16(a),
                i16x8_extend_low_i8x16(b),
                i16x8_extend_high_i8x16(b),
            ]
        }
    }

    fn zero(self) -> ([v128; 4], [v128; 2]) {
        ([i32x4_splat(0); 4], [f32x4_splat(0.0); 2])
    }

    fn step(self, sums: [v128; 4], weights: [v128; 4], x: [i8; 4]) -> [v128; 4] {
        let x = i16x8_extend_low_i8x16(splat(x));
        std::array::from_fn(|i| i32x4_add(sums[i], i32x4_dot_i16x8(weights[i], x)))
    }

    fn scale(self, floats: [v128; 2], sums: [v128; 4], offset: i32, factors: &[f32; STRIP], by: f32) -> [v128; 2] {
        let fold = |a, b| i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b));
        scale(floats, [fold(sums[0], sums[1]), fold(sums[2], sums[3])], offset, factors, by)
    }

    fn lower(self, floats: [v128; 2], total: i32, mins: &[f32; STRIP], by: f32) -> [v128; 2] {
        lower(floats, total, mins, by)
    }

    fn floats(self, rows: &[f32; STRIP]) -> [v128; 2] {
        load_floats(rows)
    }

    fn rows(self, floats: [v128; 2]) -> [f32; STRIP] {
        rows(floats)
    }
}
