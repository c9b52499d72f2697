//! The inner loops, once per instruction set.
//!
//! [`Kernels`] is the one interface; [`scalar`] is its specification in plain loops, never tuned, and what runs where nothing
//! better is compiled in. [`available`] is the only list of backends. Integer results must equal the scalar ones bit for bit
//! on every backend; the floating-point ones do too, because the order of their additions is part of the specification.

#![deny(unsafe_code)]

pub mod scalar;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[expect(unsafe_code, reason = "vector loads and stores go through pointers")]
mod wasm32;

#[cfg(test)]
mod tests;

use crate::tensor::TILE;

/// Weights that share one scale in `Q8_0`, and activations that share one in its kernel.
pub const Q8_BLOCK: usize = 32;

/// Bytes of a `Q8_0` block: an f16 scale and [`Q8_BLOCK`] int8 weights.
pub const Q8_BLOCK_BYTES: usize = 34;

/// Partial sums in a floating-point dot product.
pub const LANES: usize = 8;

/// What a backend computes.
pub trait Kernels: Sync {
    /// For `info` and bug reports, such as `wasm32-simd128`.
    fn name(&self) -> &'static str;

    /// Quantises one activation row for BitLinear: returns `s = 127 / max(max|x|, 1e-5)` and writes
    /// `round_half_even(s x)`, clamped to +-127 (BitNet b1.58, arXiv:2402.17764).
    ///
    /// `out` may be longer than `x`; the rest is zeroed.
    fn quantize_row(&self, x: &[f32], out: &mut [i8]) -> f32;

    /// Dot products of 16 ternary rows (`tiles`, see [`crate::tensor::PackedTernary`]) with every row of int8 activations.
    ///
    /// `x` holds `sums.len()` rows, each as long as the tiles are wide. Values are in -127..=127.
    fn ternary_tile(&self, tiles: &[u8], x: &[i8], sums: &mut [[i32; TILE]]);

    /// Quantises one activation row for `Q8_0` weights: per 32 values a scale `max|x| / 127` and `round_half_even(x / scale)`.
    fn quantize_q8(&self, x: &[f32], out: &mut [i8], scales: &mut [f32]);

    /// Dot product of one row of `Q8_0` blocks with a row made by [`Kernels::quantize_q8`]: exact integer sums per block,
    /// then `sum * (weight scale * activation scale)` added up in order.
    fn dot_q8_0(&self, blocks: &[u8], x: &[i8], scales: &[f32]) -> f32;

    /// Dot product in [`LANES`] partial sums: lane `l` adds the products at `l`, `l + 8`, ... in order; lanes are then added
    /// as `((0+4) + (2+6)) + ((1+5) + (3+7))`; a remainder shorter than 8 is added last, in order.
    fn dot_f32(&self, a: &[f32], b: &[f32]) -> f32;

    /// `y += a x`.
    fn add_scaled(&self, y: &mut [f32], a: f32, x: &[f32]);
}

/// Every backend compiled into this artefact, the one to use first.
pub fn available() -> Vec<&'static dyn Kernels> {
    vec![
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        &wasm32::simd128::Simd128,
        &scalar::Scalar,
    ]
}

/// The backend to use.
pub fn best() -> &'static dyn Kernels {
    available()[0]
}
