//! Grouped integers by `smull`: products in i16, added in pairs to i32.

use super::neon::{load, splat};
use crate::kernels::groups::{Accumulators, GroupDot};
use crate::kernels::q8::Q8Block;
use crate::tensor::{CHUNK_BYTES, PANEL_ROWS};
use core::arch::aarch64::*;

/// Codes of 8 bits, or of 4 when `NIBBLES`.
#[derive(Clone, Copy)]
pub(super) struct Codes<const NIBBLES: bool>;

impl<const NIBBLES: bool> GroupDot for Codes<NIBBLES> {
    type Weights = [int8x16_t; 2];
    /// Two sums a row.
    type Sums = [int32x4_t; 4];
    type Accumulators = RowFloats;
    type Quad = [i8; 4];
    type Batched = Self;
    const OFFSET: i32 = 0;

    #[inline(always)]
    fn batched(self) -> Self {
        self
    }

    #[inline(always)]
    fn decode<const F: usize>(self, chunk: &[u8; CHUNK_BYTES]) -> [int8x16_t; 2] {
        bytemuck::cast_ref::<_, [[u8; 16]; 2]>(chunk).each_ref().map(|bytes| {
            let bytes = load(bytes);
            // SAFETY: NEON is part of every aarch64.
            unsafe {
                if NIBBLES {
                    vreinterpretq_s8_u8(vandq_u8(vshlq_u8(bytes, vdupq_n_s8(-4 * F as i8)), vdupq_n_u8(15)))
                } else {
                    vreinterpretq_s8_u8(bytes)
                }
            }
        })
    }

    #[inline(always)]
    fn quads<const N: usize>(x: &Q8Block<N>) -> &[[[i8; 4]; N]; 8] {
        bytemuck::cast_ref(&x.values)
    }

    #[inline(always)]
    fn zero(self) -> Self::Sums {
        // SAFETY: NEON is part of every aarch64.
        unsafe { [vdupq_n_s32(0); 4] }
    }

    #[inline(always)]
    fn step(self, sums: Self::Sums, weights: [int8x16_t; 2], x: &[i8; 4]) -> Self::Sums {
        let x = splat(*x);
        // SAFETY: NEON is part of every aarch64.
        std::array::from_fn(|i| unsafe {
            let weights = weights[i / 2];
            let products = match i % 2 {
                0 => vmull_s8(vget_low_s8(weights), vget_low_s8(x)),
                _ => vmull_high_s8(weights, x),
            };
            vpadalq_s16(sums[i], products)
        })
    }

    #[inline(always)]
    fn fold(self, sums: Self::Sums) -> [int32x4_t; 2] {
        // SAFETY: NEON is part of every aarch64.
        unsafe { [vpaddq_s32(sums[0], sums[1]), vpaddq_s32(sums[2], sums[3])] }
    }

    #[inline(always)]
    fn floats(self, rows: &[f32; PANEL_ROWS]) -> RowFloats {
        RowFloats(load_floats(bytemuck::cast_ref(rows)))
    }
}

/// Eight f32.
#[derive(Clone, Copy)]
pub(super) struct RowFloats([float32x4_t; 2]);

impl Accumulators for RowFloats {
    type Sums = [int32x4_t; 2];

    #[inline(always)]
    fn add(self, sums: [int32x4_t; 2], offset: i32, weight_scales: &[u8; CHUNK_BYTES], scale: f32) -> Self {
        let weight_scales = load_floats(weight_scales);
        // SAFETY: NEON is part of every aarch64.
        Self(std::array::from_fn(|i| unsafe {
            let sums = vcvtq_f32_s32(vsubq_s32(sums[i], vdupq_n_s32(offset)));
            vaddq_f32(self.0[i], vmulq_f32(sums, vmulq_n_f32(weight_scales[i], scale)))
        }))
    }

    #[inline(always)]
    fn sub_min(self, sum_of: i32, mins: &[u8; CHUNK_BYTES], scale: f32) -> Self {
        let mins = load_floats(mins);
        // SAFETY: NEON is part of every aarch64.
        Self(std::array::from_fn(|i| unsafe {
            vsubq_f32(self.0[i], vmulq_f32(vdupq_n_f32(sum_of as f32), vmulq_n_f32(mins[i], scale)))
        }))
    }

    #[inline(always)]
    fn rows(self) -> [f32; PANEL_ROWS] {
        let mut rows = [0.0; PANEL_ROWS];
        for (rows, floats) in rows.as_chunks_mut::<4>().0.iter_mut().zip(self.0) {
            // SAFETY: the reference covers the 16 bytes written, and NEON is part of every aarch64.
            unsafe { vst1q_f32(rows.as_mut_ptr(), floats) };
        }
        rows
    }
}

#[inline(always)]
fn load_floats(chunk: &[u8; CHUNK_BYTES]) -> [float32x4_t; 2] {
    // SAFETY: the reference covers the 32 bytes read, and NEON is part of every aarch64.
    [0, 16].map(|at| unsafe { vld1q_f32(chunk[at..].as_ptr().cast()) })
}
