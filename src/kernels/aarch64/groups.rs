//! Grouped integers by `smull`: products in i16, added in pairs to i32.

use super::vector::{Neon, load_16, splat};
use crate::kernels::groups::GroupDot;
use crate::tensor::CHUNK_BYTES;
use core::arch::aarch64::*;

/// Codes of 8 bits, which are signed, or of 4 bits, which are not.
#[derive(Clone, Copy)]
pub(super) struct Codes<const BITS: u32>;

impl<const BITS: u32> GroupDot for Codes<BITS> {
    type Isa = Neon;
    type Weights = [int8x16_t; 2];
    /// Two sums per row.
    type Sums = [int32x4_t; 4];
    type Quad = [i8; 4];
    type Batched = Self;

    #[inline(always)]
    fn isa(self) -> Neon {
        Neon
    }

    #[inline(always)]
    fn decode<const F: usize>(self, chunk: &[u8; CHUNK_BYTES]) -> [int8x16_t; 2] {
        bytemuck::cast_ref::<_, [[u8; 16]; 2]>(chunk).each_ref().map(|bytes| {
            let codes = load_16(bytes);
            // SAFETY: NEON is part of every aarch64.
            unsafe {
                if BITS == 8 {
                    vreinterpretq_s8_u8(codes)
                } else {
                    vreinterpretq_s8_u8(vandq_u8(vshlq_u8(codes, vdupq_n_s8(-4 * F as i8)), vdupq_n_u8(15)))
                }
            }
        })
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
    fn reduce(self, sums: Self::Sums) -> [int32x4_t; 2] {
        // SAFETY: NEON is part of every aarch64.
        unsafe { [vpaddq_s32(sums[0], sums[1]), vpaddq_s32(sums[2], sums[3])] }
    }
}
