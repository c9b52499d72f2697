//! The backends of 128-bit SIMD. They differ in how they multiply ternary weights; without the relaxed instructions that is
//! [`Dual`], and runs in every browser.

use super::dual::Dual;
use super::vector::load;
use crate::kernels::scalar::{MIN_ABSMAX, Scalar, total};
use crate::kernels::ternary::{self, Step};
use crate::kernels::{Kernels, LANES, Q8_BLOCK, Q8_BLOCK_BYTES};
use crate::tensor::TILE;
use core::arch::wasm32::*;
use half::f16;

/// The simd128 backend.
pub(in crate::kernels) static SIMD128: Backend<Dual> = Backend { name: "wasm32-simd128", ternary: Dual };

/// A backend that multiplies ternary weights with `S`.
pub(in crate::kernels) struct Backend<S> {
    pub(super) name: &'static str,
    pub(super) ternary: S,
}

fn load_f32(values: &[f32; 4]) -> v128 {
    load(bytemuck::cast_ref(values))
}

fn store_f32(values: &mut [f32; 4], v: v128) {
    // SAFETY: the reference covers the 16 bytes written, and the instruction has no alignment requirement.
    unsafe { v128_store(values.as_mut_ptr().cast(), v) }
}

fn lanes_i32(v: v128) -> [i32; 4] {
    [i32x4_extract_lane::<0>(v), i32x4_extract_lane::<1>(v), i32x4_extract_lane::<2>(v), i32x4_extract_lane::<3>(v)]
}

fn absmax(x: &[f32], least: f32) -> f32 {
    let (whole, rest) = x.as_chunks::<4>();
    let max = whole.iter().fold(f32x4_splat(least), |max, x| f32x4_pmax(max, f32x4_abs(load_f32(x))));
    let mut lanes = [0.0; 4];
    store_f32(&mut lanes, max);
    lanes.into_iter().chain(rest.iter().map(|x| x.abs())).fold(least, f32::max)
}

/// `round_half_even(x * scale)` clamped to +-127. `x` and `out` are equally long.
fn quantize(x: &[f32], scale: f32, out: &mut [i8]) {
    let (whole, rest) = x.as_chunks::<4>();
    let (out_whole, out_rest) = out.as_chunks_mut::<4>();
    let scales = f32x4_splat(scale);
    for (x, out) in whole.iter().zip(out_whole) {
        let rounded = f32x4_nearest(f32x4_mul(load_f32(x), scales));
        let q = i32x4_trunc_sat_f32x4(f32x4_max(f32x4_min(rounded, f32x4_splat(127.0)), f32x4_splat(-127.0)));
        *out = lanes_i32(q).map(|q| q as i8);
    }
    for (x, out) in rest.iter().zip(out_rest) {
        *out = (x * scale).round_ties_even().clamp(-127.0, 127.0) as i8;
    }
}

impl<S: Step + Sync> Kernels for Backend<S> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn quantize_row(&self, x: &[f32], out: &mut [i8]) -> (f32, i32) {
        let scale = 127.0 / absmax(x, MIN_ABSMAX);
        let (values, padding) = out.split_at_mut(x.len());
        quantize(x, scale, values);
        padding.fill(0);
        (scale, total(values))
    }

    fn ternary_tile(&self, tiles: &[u8], x: &[i8], totals: &[i32], sums: &mut [[i32; TILE]]) {
        ternary::tile::<_, 2>(self.ternary, tiles, x, totals, sums);
    }

    fn quantize_q8(&self, x: &[f32], out: &mut [i8], scales: &mut [f32]) {
        for ((x, out), scale) in x.chunks_exact(Q8_BLOCK).zip(out.chunks_exact_mut(Q8_BLOCK)).zip(scales) {
            let max = absmax(x, 0.0);
            *scale = max / 127.0;
            quantize(x, if max > 0.0 { 127.0 / max } else { 0.0 }, out);
        }
    }

    fn dot_q8_0(&self, blocks: &[u8], x: &[i8], scales: &[f32]) -> f32 {
        let (x, _) = bytemuck::cast_slice::<i8, u8>(x).as_chunks::<16>();
        let (x, _) = x.as_chunks::<2>();
        let mut total = 0.0;
        for ((block, x), scale) in blocks.as_chunks::<Q8_BLOCK_BYTES>().0.iter().zip(x).zip(scales) {
            let (weights, _) = block[2..].as_chunks::<16>();
            let mut sum = i32x4_splat(0);
            for (w, x) in weights.iter().zip(x) {
                let (w, x) = (load(w), load(x));
                let low = i32x4_dot_i16x8(i16x8_extend_low_i8x16(w), i16x8_extend_low_i8x16(x));
                let high = i32x4_dot_i16x8(i16x8_extend_high_i8x16(w), i16x8_extend_high_i8x16(x));
                sum = i32x4_add(sum, i32x4_add(low, high));
            }
            let [a, b, c, d] = lanes_i32(sum);
            total += (a + b + c + d) as f32 * (f16::from_le_bytes([block[0], block[1]]).to_f32() * scale);
        }
        total
    }

    fn dot_f32(&self, a: &[f32], b: &[f32]) -> f32 {
        let (a_whole, a_rest) = a.as_chunks::<LANES>();
        let (b_whole, b_rest) = b.as_chunks::<LANES>();
        let mut sums = [f32x4_splat(0.0); 2];
        for (a, b) in a_whole.iter().zip(b_whole) {
            let (a, b) = (a.as_chunks::<4>().0, b.as_chunks::<4>().0);
            for half in 0..2 {
                sums[half] = f32x4_add(sums[half], f32x4_mul(load_f32(&a[half]), load_f32(&b[half])));
            }
        }
        let mut quads = [0.0; 4];
        store_f32(&mut quads, f32x4_add(sums[0], sums[1]));
        let whole = (quads[0] + quads[2]) + (quads[1] + quads[3]);
        a_rest.iter().zip(b_rest).fold(whole, |sum, (a, b)| sum + a * b)
    }

    fn add_scaled(&self, y: &mut [f32], a: f32, x: &[f32]) {
        let (y_whole, y_rest) = y.as_chunks_mut::<4>();
        let (x_whole, x_rest) = x.as_chunks::<4>();
        let factor = f32x4_splat(a);
        for (y, x) in y_whole.iter_mut().zip(x_whole) {
            let sum = f32x4_add(load_f32(y), f32x4_mul(factor, load_f32(x)));
            store_f32(y, sum);
        }
        Scalar.add_scaled(y_rest, a, x_rest);
    }
}
