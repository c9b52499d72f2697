//! The inner loops, once per instruction set.
//!
//! [`Kernels`] is the one interface; [`scalar`] is its specification in plain loops, never tuned, and what runs where nothing
//! better is compiled in. [`available`] is the only list of backends, and a [`Choice`] the fastest of those that pass a self-test.
//! Integer results must equal the scalar ones bit for bit on every backend; the floating-point ones do too, because the order
//! of their additions is part of the specification.
//!
//! The order of the work is written once for all instruction sets (`ternary`); a backend adds what its instructions do.

#![deny(unsafe_code)]

#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "NEON instructions")]
mod aarch64;
mod float;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128"))]
mod groups;
mod q8;
pub mod scalar;
mod selection;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128"))]
mod ternary;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[expect(unsafe_code, reason = "vector loads and stores go through pointers")]
mod wasm32;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "AVX2 instructions")]
mod x86_64;

#[cfg(test)]
mod tests;

pub use q8::{Q8_BLOCK, Q8_ROWS, Q8Part, Q8Rows};
pub use selection::KernelSelection;

use crate::tensor::{PANEL_ROWS, RowPanel, TILE};

/// Partial sums in a floating-point dot product, and columns of a panel.
pub const LANES: usize = 8;

/// What a backend computes.
pub trait Kernels: Sync {
    /// For `info` and bug reports, such as `wasm32-simd128`.
    fn name(&self) -> &'static str;

    /// Quantizes one activation row for BitLinear: writes `round_half_even(s x)` with `s = 127 / max(max|x|, 1e-5)`, clamped to
    /// +-127 (BitNet b1.58, arXiv:2402.17764). Returns `s` and the total of the written values.
    ///
    /// `out` may be longer than `x`; the rest is zeroed.
    fn quantize_row(&self, x: &[f32], out: &mut [i8]) -> (f32, i32) {
        float::quantize_row(x, out)
    }

    /// Dot products of 16 ternary rows (`tiles`, see [`crate::tensor::PackedTernary`]) with every row of int8 activations.
    ///
    /// `x` holds `sums.len()` rows, each as long as the tiles are wide; `totals` the total of each. Values are in -127..=127.
    fn ternary_tile(&self, tiles: &[u8], x: &[i8], x_sums: &[i32], sums: &mut [[i32; TILE]]);

    /// Quantizes the rows `x`, as many and as wide as `out`, with a scale for every [`Q8_BLOCK`] values.
    fn quantize_q8(&self, x: &[f32], out: Q8Part<'_>) {
        float::quantize_q8(x, out);
    }

    /// Dot products of 8 rows of grouped weights with every row of activations. Each is the sum over the groups, in order, of
    /// `sum (code - zero) x * (factor * scale)`, the sum exact, less, where there are minimums, `total * (min * scale)`.
    fn group_panel(&self, panel: &RowPanel<'_>, x: &Q8Rows, out: &mut [[f32; PANEL_ROWS]]);

    /// Dot product in [`LANES`] partial sums: lane `l` adds the products at `l`, `l + 8`, ... in order; lanes are then added
    /// as `((0+4) + (2+6)) + ((1+5) + (3+7))`; a remainder shorter than 8 is added last, in order.
    fn dot_f32(&self, a: &[f32], b: &[f32]) -> f32 {
        float::dot(a, b)
    }

    /// `out[l] += sum_i a[i] * b[i][l]` in order of `i`, for every row of `a` and the row of `out` beside it. Each comes with its
    /// stride: a row of `a` begins with `b.len()` values, one of `out` with [`LANES`].
    fn panel_f32(&self, a: (&[f32], usize), b: &[[f32; LANES]], out: (&mut [f32], usize)) {
        float::panel_f32::<4>(a, b, out);
    }

    /// Runs `rounds` of the multiplications and additions of [`Kernels::ternary_tile`] on registers alone, to see what the processor
    /// could do, and returns how many products they were. 0 where nobody wants to know.
    fn peak(&self, rounds: usize) -> u64 {
        let _ = rounds;
        0
    }
}

/// Every backend that this machine can run. Which of them runs is a [`Choice`].
pub fn available() -> Vec<&'static dyn Kernels> {
    #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
    let relaxed = wasm32::relaxed::BACKENDS;
    #[cfg(not(all(target_arch = "wasm32", target_feature = "relaxed-simd")))]
    let relaxed: [&dyn Kernels; 0] = [];
    let vector: Option<&dyn Kernels> = cfg_select! {
        target_arch = "x86_64" => x86_64::avx2::Avx2::detect(),
        target_arch = "aarch64" => Some(&aarch64::neon::Neon),
        all(target_arch = "wasm32", target_feature = "simd128") => Some(&wasm32::simd128::SIMD128),
        _ => None,
    };
    relaxed.into_iter().chain(vector).chain([&scalar::Scalar as &dyn Kernels]).collect()
}
