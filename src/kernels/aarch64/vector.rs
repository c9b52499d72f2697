//! 128-bit registers. NEON is part of every aarch64 processor that Rust has a target for.

use crate::kernels::isa::Isa;
use crate::tensor::{CHUNK_BYTES, PANEL_ROWS, TILE_BYTES};
use core::arch::aarch64::*;

/// The NEON instructions.
#[derive(Clone, Copy)]
pub(super) struct Neon;

#[inline(always)]
pub(super) fn load_16(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: the reference covers the 16 bytes read, and NEON is part of every aarch64.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

#[inline(always)]
fn load_f32(bytes: &[u8; CHUNK_BYTES]) -> [float32x4_t; 2] {
    // SAFETY: each reference covers the 16 bytes read, and NEON is part of every aarch64.
    bytemuck::cast_ref::<_, [[u8; 16]; 2]>(bytes).each_ref().map(|bytes| unsafe { vld1q_f32(bytes.as_ptr().cast()) })
}

/// Four activations in each 32-bit lane.
#[inline(always)]
pub(super) fn splat(quad: [i8; 4]) -> int8x16_t {
    // SAFETY: NEON is part of every aarch64.
    unsafe { vreinterpretq_s8_s32(vdupq_n_s32(i32::from_le_bytes(bytemuck::cast(quad)))) }
}

impl Isa for Neon {
    type Tile = [uint8x16_t; 4];
    type Ints = [int32x4_t; 2];
    type Floats = [float32x4_t; 2];

    #[inline(always)]
    fn load(self, bytes: &[u8; TILE_BYTES]) -> [uint8x16_t; 4] {
        bytemuck::cast_ref::<_, [[u8; 16]; 4]>(bytes).each_ref().map(load_16)
    }

    #[inline(always)]
    fn store(self, tile: [uint8x16_t; 4], bytes: &mut [u8; TILE_BYTES]) {
        for (bytes, v) in bytemuck::cast_mut::<_, [[u8; 16]; 4]>(bytes).iter_mut().zip(tile) {
            // SAFETY: the reference covers the 16 bytes written, and NEON is part of every aarch64.
            unsafe { vst1q_u8(bytes.as_mut_ptr(), v) };
        }
    }

    #[inline(always)]
    fn load_floats(self, floats: &[f32; PANEL_ROWS]) -> [float32x4_t; 2] {
        load_f32(bytemuck::cast_ref(floats))
    }

    #[inline(always)]
    fn store_floats(self, floats: [float32x4_t; 2]) -> [f32; PANEL_ROWS] {
        let mut out = [0.0; PANEL_ROWS];
        for (out, floats) in out.as_chunks_mut::<4>().0.iter_mut().zip(floats) {
            // SAFETY: the reference covers the 16 bytes written, and NEON is part of every aarch64.
            unsafe { vst1q_f32(out.as_mut_ptr(), floats) };
        }
        out
    }

    #[inline(always)]
    fn add_scaled(
        self,
        floats: [float32x4_t; 2],
        sums: [int32x4_t; 2],
        offset: i32,
        weight_scales: &[u8; CHUNK_BYTES],
        scale: f32,
    ) -> [float32x4_t; 2] {
        let weight_scales = load_f32(weight_scales);
        // SAFETY: NEON is part of every aarch64.
        std::array::from_fn(|i| unsafe {
            let sums = vcvtq_f32_s32(vsubq_s32(sums[i], vdupq_n_s32(offset)));
            vaddq_f32(floats[i], vmulq_f32(sums, vmulq_n_f32(weight_scales[i], scale)))
        })
    }

    #[inline(always)]
    fn sub_min(self, floats: [float32x4_t; 2], x_sum: i32, mins: &[u8; CHUNK_BYTES], scale: f32) -> [float32x4_t; 2] {
        let mins = load_f32(mins);
        // SAFETY: NEON is part of every aarch64.
        std::array::from_fn(|i| unsafe {
            vsubq_f32(floats[i], vmulq_f32(vdupq_n_f32(x_sum as f32), vmulq_n_f32(mins[i], scale)))
        })
    }
}
