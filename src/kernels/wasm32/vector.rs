//! 128-bit registers. A module with these instructions is rejected by an engine without them, so
//! that no value has to prove that they exist.

use crate::kernels::isa::Isa;
use crate::tensor::{CHUNK_BYTES, PANEL_ROWS, TILE, TILE_BYTES};
use core::arch::wasm32::*;

/// The instructions of fixed-width SIMD.
#[derive(Clone, Copy)]
pub(super) struct Simd128;

fn load_16(bytes: &[u8; 16]) -> v128 {
    // SAFETY: the reference covers the 16 bytes read, and unaligned loads are allowed.
    unsafe { v128_load(bytes.as_ptr().cast()) }
}

fn store_16(v: v128, bytes: &mut [u8; 16]) {
    // SAFETY: the reference covers the 16 bytes written, and unaligned stores are allowed.
    unsafe { v128_store(bytes.as_mut_ptr().cast(), v) }
}

pub(super) fn load_32(bytes: &[u8; 32]) -> [v128; 2] {
    bytemuck::cast_ref::<_, [[u8; 16]; 2]>(bytes).each_ref().map(load_16)
}

/// Eight int8 in i16.
pub(super) fn load_extended(bytes: &[u8; 8]) -> v128 {
    // SAFETY: the reference covers the 8 bytes read, and unaligned loads are allowed.
    unsafe { i16x8_load_extend_i8x8(bytes.as_ptr().cast()) }
}

/// Four activations in each 32-bit lane.
pub(super) fn splat(quad: [i8; 4]) -> v128 {
    i32x4_splat(i32::from_le_bytes(bytemuck::cast(quad)))
}

/// The sums of adjacent i32, first those of `a`, then those of `b`.
pub(super) fn add_pairs(a: v128, b: v128) -> v128 {
    i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b))
}

/// Adds 16 i32 to `out`.
pub(super) fn add_to(sums: [v128; 4], out: &mut [i32; TILE]) {
    let out = bytemuck::cast_mut(out);
    let old = Simd128.load(out);
    Simd128.store(std::array::from_fn(|i| i32x4_add(old[i], sums[i])), out);
}

impl Isa for Simd128 {
    type Tile = [v128; 4];
    type Ints = [v128; 2];
    type Floats = [v128; 2];

    fn load(self, bytes: &[u8; TILE_BYTES]) -> [v128; 4] {
        bytemuck::cast_ref::<_, [[u8; 16]; 4]>(bytes).each_ref().map(load_16)
    }

    fn store(self, tile: [v128; 4], bytes: &mut [u8; TILE_BYTES]) {
        for (bytes, v) in bytemuck::cast_mut::<_, [[u8; 16]; 4]>(bytes).iter_mut().zip(tile) {
            store_16(v, bytes);
        }
    }

    fn load_floats(self, floats: &[f32; PANEL_ROWS]) -> [v128; 2] {
        load_32(bytemuck::cast_ref(floats))
    }

    fn store_floats(self, floats: [v128; 2]) -> [f32; PANEL_ROWS] {
        let mut bytes = [[0; 16]; 2];
        bytes.iter_mut().zip(floats).for_each(|(bytes, v)| store_16(v, bytes));
        bytemuck::cast(bytes)
    }

    fn add_scaled(
        self,
        floats: [v128; 2],
        sums: [v128; 2],
        offset: i32,
        weight_scales: &[u8; CHUNK_BYTES],
        scale: f32,
    ) -> [v128; 2] {
        let weight_scales = load_32(weight_scales);
        std::array::from_fn(|i| {
            let sums = f32x4_convert_i32x4(i32x4_sub(sums[i], i32x4_splat(offset)));
            f32x4_add(floats[i], f32x4_mul(sums, f32x4_mul(weight_scales[i], f32x4_splat(scale))))
        })
    }

    fn sub_min(self, floats: [v128; 2], x_sum: i32, mins: &[u8; CHUNK_BYTES], scale: f32) -> [v128; 2] {
        let mins = load_32(mins);
        let x_sum = f32x4_splat(x_sum as f32);
        std::array::from_fn(|i| f32x4_sub(floats[i], f32x4_mul(x_sum, f32x4_mul(mins[i], f32x4_splat(scale)))))
    }
}

/// [`TernaryDot::peak`](crate::kernels::ternary::TernaryDot::peak) for an instruction that adds 16
/// products to `sum`.
#[cfg(feature = "bench")]
#[inline(always)]
pub(super) fn peak(rounds: usize, step: impl Fn(v128) -> v128) -> u64 {
    use crate::kernels::ternary::PEAK_SUMS;
    let mut sums: [v128; PEAK_SUMS] = std::array::from_fn(|i| i32x4_splat(i as i32));
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = step(*sum);
        }
    }
    std::hint::black_box(sums);
    (rounds * PEAK_SUMS * 16) as u64
}
