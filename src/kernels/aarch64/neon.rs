//! 128-bit SIMD, which every aarch64 processor has: `smlal` multiplies 8 pairs of int8 and adds the products to i16.

use super::groups::Codes;
use crate::kernels::ternary::{self, PEAK_SUMS, TernaryDot};
use crate::kernels::{Kernels, Q8Rows, groups};
use crate::tensor::{PANEL_ROWS, RowPanel, TILE, TILE_BYTES};
use core::arch::aarch64::*;

/// The NEON backend.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Neon;

pub(super) fn load(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: the reference covers the 16 bytes read, and NEON is part of every aarch64.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

fn store(bytes: &mut [u8; 16], v: uint8x16_t) {
    // SAFETY: the reference covers the 16 bytes written, and NEON is part of every aarch64.
    unsafe { vst1q_u8(bytes.as_mut_ptr(), v) }
}

pub(super) fn splat(quad: [i8; 4]) -> int8x16_t {
    // SAFETY: NEON is part of every aarch64.
    unsafe { vreinterpretq_s8_s32(vdupq_n_s32(i32::from_le_bytes(bytemuck::cast(quad)))) }
}

impl TernaryDot for Neon {
    type Weights = [uint8x16_t; 4];
    /// The lower, then the upper half of each vector of weights: one product a lane.
    type Sums = [[int16x8_t; 2]; 4];
    /// A lane grows by at most `2 * 127` a step: there would be room for twice as many.
    const LIMIT: usize = 64;
    const ZERO_CODE: i32 = 1;

    #[inline(always)]
    fn decode<const S: usize>(self, tile: &[u8; TILE_BYTES]) -> [uint8x16_t; 4] {
        // SAFETY: NEON is part of every aarch64.
        self.load(tile).map(|codes| unsafe { vandq_u8(vshlq_u8(codes, vdupq_n_s8(-2 * S as i8)), vdupq_n_u8(3)) })
    }

    #[inline(always)]
    fn store(self, weights: [uint8x16_t; 4], to: &mut [u8; TILE_BYTES]) {
        for (bytes, v) in bytemuck::cast_mut::<_, [[u8; 16]; 4]>(to).iter_mut().zip(weights) {
            store(bytes, v);
        }
    }

    #[inline(always)]
    fn load(self, from: &[u8; TILE_BYTES]) -> [uint8x16_t; 4] {
        let [a, b, c, d] = bytemuck::cast_ref::<_, [[u8; 16]; 4]>(from);
        [load(a), load(b), load(c), load(d)]
    }

    #[inline(always)]
    fn zero(self) -> Self::Sums {
        // SAFETY: NEON is part of every aarch64.
        unsafe { [[vdupq_n_s16(0); 2]; 4] }
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
    fn add(self, sums: Self::Sums, out: &mut [i32; TILE]) {
        for (out, [low, high]) in out.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
            // SAFETY: the reference covers the 16 bytes read and written, and NEON is part of every aarch64.
            unsafe {
                let sums = vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
                vst1q_s32(out.as_mut_ptr(), vaddq_s32(vld1q_s32(out.as_ptr()), sums));
            }
        }
    }

    fn peak(self, rounds: usize) -> u64 {
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

impl Kernels for Neon {
    fn name(&self) -> &'static str {
        "aarch64-neon"
    }

    fn ternary_tile(&self, tiles: &[u8], x: &[i8], x_sums: &[i32], sums: &mut [[i32; TILE]]) {
        ternary::tile::<_, 2>(*self, tiles, x, x_sums, sums);
    }

    fn group_panel(&self, panel: &RowPanel<'_>, x: &Q8Rows, out: &mut [[f32; PANEL_ROWS]]) {
        groups::group_panel(Codes::<false>, Codes::<true>, panel, x, out);
    }

    fn peak(&self, rounds: usize) -> u64 {
        TernaryDot::peak(*self, rounds)
    }
}
