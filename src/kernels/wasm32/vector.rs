//! Loads and stores by reference, which no safe intrinsic offers.

use crate::kernels::groups::Accumulators;
use crate::kernels::ternary::PEAK_SUMS;
use core::arch::wasm32::*;

pub(super) fn load(bytes: &[u8; 16]) -> v128 {
    // SAFETY: the reference covers the 16 bytes read, and the instruction has no alignment requirement.
    unsafe { v128_load(bytes.as_ptr().cast()) }
}

pub(super) fn store(bytes: &mut [u8; 16], v: v128) {
    // SAFETY: the reference covers the 16 bytes written, and the instruction has no alignment requirement.
    unsafe { v128_store(bytes.as_mut_ptr().cast(), v) }
}

/// Eight int8 in i16.
pub(super) fn extend(bytes: &[u8; 8]) -> v128 {
    // SAFETY: the reference covers the 8 bytes read, and the instruction has no alignment requirement.
    unsafe { i16x8_load_extend_i8x8(bytes.as_ptr().cast()) }
}

/// The four values in each 32-bit lane.
pub(super) fn splat(quad: [i8; 4]) -> v128 {
    i32x4_splat(i32::from_le_bytes(bytemuck::cast(quad)))
}

/// 64 bytes in registers.
pub(super) fn load_line(bytes: &[u8; 64]) -> [v128; 4] {
    let [a, b, c, d] = bytemuck::cast_ref::<_, [[u8; 16]; 4]>(bytes);
    [load(a), load(b), load(c), load(d)]
}

pub(super) fn store_line(bytes: &mut [u8; 64], chunk: [v128; 4]) {
    for (bytes, v) in bytemuck::cast_mut::<_, [[u8; 16]; 4]>(bytes).iter_mut().zip(chunk) {
        store(bytes, v);
    }
}

/// 32 bytes in registers.
pub(super) fn load_half(bytes: &[u8; 32]) -> [v128; 2] {
    bytemuck::cast_ref::<_, [[u8; 16]; 2]>(bytes).each_ref().map(load)
}

/// Eight f32.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct RowFloats([v128; 2]);

impl RowFloats {
    pub(super) fn load(rows: &[f32; 8]) -> Self {
        Self(load_half(bytemuck::cast_ref(rows)))
    }
}

impl Accumulators for RowFloats {
    type Sums = [v128; 2];

    fn add(self, sums: [v128; 2], offset: i32, weight_scales: &[u8; 32], scale: f32) -> Self {
        let weight_scales = load_half(weight_scales);
        Self(std::array::from_fn(|i| {
            let sums = f32x4_convert_i32x4(i32x4_sub(sums[i], i32x4_splat(offset)));
            f32x4_add(self.0[i], f32x4_mul(sums, f32x4_mul(weight_scales[i], f32x4_splat(scale))))
        }))
    }

    fn sub_min(self, sum_of: i32, mins: &[u8; 32], scale: f32) -> Self {
        let mins = load_half(mins);
        let sum_of = f32x4_splat(sum_of as f32);
        Self(std::array::from_fn(|i| f32x4_sub(self.0[i], f32x4_mul(sum_of, f32x4_mul(mins[i], f32x4_splat(scale))))))
    }

    fn rows(self) -> [f32; 8] {
        let mut bytes = [[0; 16]; 2];
        bytes.iter_mut().zip(self.0).for_each(|(bytes, v)| store(bytes, v));
        bytemuck::cast(bytes)
    }
}

/// Adds the lanes of four vectors of i32 to `sums`.
pub(super) fn add_lanes(chunk: [v128; 4], sums: &mut [i32; 16]) {
    let sums = bytemuck::cast_mut(sums);
    let old = load_line(sums);
    store_line(sums, std::array::from_fn(|i| i32x4_add(old[i], chunk[i])));
}

/// [`Step::peak`](crate::kernels::ternary::Step::peak) for an instruction that adds 16 products to `sum`.
#[inline(always)]
pub(super) fn peak(rounds: usize, step: impl Fn(v128) -> v128) -> u64 {
    let mut sums: [v128; PEAK_SUMS] = std::array::from_fn(|i| i32x4_splat(i as i32));
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = step(*sum);
        }
    }
    std::hint::black_box(sums);
    (rounds * PEAK_SUMS * 16) as u64
}
