//! Ternary weights by `smlal`, which multiplies 8 pairs of int8 and adds the products to i16.

use super::vector::{Neon, splat};
use crate::kernels::isa::Isa;
use crate::kernels::ternary::TernaryDot;
use crate::tensor::{TILE, TILE_BYTES};
use core::arch::aarch64::*;

impl TernaryDot for Neon {
    type Isa = Self;
    /// The lower, then the upper half of each vector of weights: one product per lane.
    type Sums = [[int16x8_t; 2]; 4];
    /// An i16 lane grows by at most `2 * 127` per step, which would allow twice as many.
    const MAX_STEPS: usize = 64;
    const ZERO_CODE: i32 = 1;

    #[inline(always)]
    fn isa(self) -> Self {
        self
    }

    #[inline(always)]
    fn decode<const S: usize>(self, tile: &[u8; TILE_BYTES]) -> [uint8x16_t; 4] {
        // SAFETY: NEON is part of every aarch64.
        self.load(tile).map(|codes| unsafe { vandq_u8(vshlq_u8(codes, vdupq_n_s8(-2 * S as i8)), vdupq_n_u8(3)) })
    }

    #[inline(always)]
    fn step(self, sums: Self::Sums, weights: [uint8x16_t; 4], x: [i8; 4]) -> Self::Sums {
        let x = splat(x);
        // SAFETY: NEON is part of every aarch64.
        std::array::from_fn(|i| unsafe {
            let weights = vreinterpretq_s8_u8(weights[i]);
            [vmlal_s8(sums[i][0], vget_low_s8(weights), vget_low_s8(x)), vmlal_high_s8(sums[i][1], weights, x)]
        })
    }

    #[inline(always)]
    fn reduce(self, sums: Self::Sums, out: &mut [i32; TILE]) {
        for (out, [low, high]) in out.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
            // SAFETY: the reference covers the 16 bytes read and written, and NEON is part of every
            // aarch64.
            unsafe {
                let sums = vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
                vst1q_s32(out.as_mut_ptr(), vaddq_s32(vld1q_s32(out.as_ptr()), sums));
            }
        }
    }

    #[cfg(feature = "bench")]
    fn peak(self, rounds: usize) -> u64 {
        use crate::kernels::ternary::PEAK_SUMS;
        // SAFETY: NEON is part of every aarch64.
        unsafe {
            let weights = vdup_n_s8(2);
            let mut sums: [int16x8_t; PEAK_SUMS] = std::array::from_fn(|i| vdupq_n_s16(i as i16));
            for _ in 0..rounds {
                for sum in &mut sums {
                    *sum = vmlal_s8(*sum, weights, vget_low_s8(vreinterpretq_s8_s16(*sum)));
                }
            }
            std::hint::black_box(sums);
        }
        (rounds * PEAK_SUMS * 8) as u64
    }
}
