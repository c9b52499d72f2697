//! The inner loops, once per instruction set.
//!
//! [`Kernels`] is the one interface; [`scalar`] is its specification in plain loops, never tuned, and what runs where nothing
//! better is compiled in. [`available`] is the only list of backends, and [`best`] the fastest of those that pass a self-test.
//! Integer results must equal the scalar ones bit for bit on every backend; the floating-point ones do too, because the order
//! of their additions is part of the specification.
//!
//! The order of the work is written once for all instruction sets (`ternary`); a backend adds what its instructions do.

#![deny(unsafe_code)]

mod choice;
pub mod scalar;
mod ternary;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[expect(unsafe_code, reason = "vector loads and stores go through pointers")]
mod wasm32;

#[cfg(test)]
mod tests;

use crate::tensor::TILE;
use std::sync::LazyLock;

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

    /// Quantises one activation row for BitLinear: writes `round_half_even(s x)` with `s = 127 / max(max|x|, 1e-5)`, clamped to
    /// +-127 (BitNet b1.58, arXiv:2402.17764). Returns `s` and the total of the written values.
    ///
    /// `out` may be longer than `x`; the rest is zeroed.
    fn quantize_row(&self, x: &[f32], out: &mut [i8]) -> (f32, i32);

    /// Dot products of 16 ternary rows (`tiles`, see [`crate::tensor::PackedTernary`]) with every row of int8 activations.
    ///
    /// `x` holds `sums.len()` rows, each as long as the tiles are wide; `totals` the total of each. Values are in -127..=127.
    fn ternary_tile(&self, tiles: &[u8], x: &[i8], totals: &[i32], sums: &mut [[i32; TILE]]);

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

/// Every backend that this machine can run. The choice between them is [`best`]'s.
pub fn available() -> Vec<&'static dyn Kernels> {
    vec![
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        &wasm32::relaxed::QUADS,
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        &wasm32::relaxed::PAIRS,
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        &wasm32::simd128::SIMD128,
        &scalar::Scalar,
    ]
}

/// The backend to use, chosen the first time it is asked for.
pub fn best() -> &'static dyn Kernels {
    static BEST: LazyLock<&dyn Kernels> = LazyLock::new(|| choice::fastest(&available()));
    *BEST
}
