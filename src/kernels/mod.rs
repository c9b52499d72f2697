//! The inner loops, once per instruction set.
//!
//! [`Kernels`] is the interface. [`scalar`] specifies every operation in plain loops; it is never
//! tuned, and runs where no vector backend is compiled in. Every backend returns the same bits as
//! [`scalar`]: integer sums are exact, and the order of floating-point additions is part of the
//! specification.
//!
//! The loop nests are written once for all instruction sets (`ternary.rs`, `ternary_groups.rs`,
//! `groups.rs`, `float.rs`). A backend supplies the multiplications in its registers. Every
//! instruction set has a folder with the same files:
//!
//! | file      | contents                                                                    |
//! |-----------|-----------------------------------------------------------------------------|
//! | `mod`     | the backends, and which loop nest they run on what                          |
//! | `vector`  | `Isa`: the proof that the instructions exist, loads and stores, accumulators |
//! | `ternary` | `TernaryDot`: ternary weights times int8 activations                        |
//! | `groups`  | `GroupDot`: integers with a scale per group times int8 activations          |
//!
//! `wasm32` has three more, for the instructions of relaxed SIMD. [`KernelSelection`] picks the
//! fastest of the [`available`] backends that pass the self-test.

#![deny(unsafe_code)]

#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "NEON instructions")]
mod aarch64;
mod float;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128"))]
mod groups;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128"))]
mod isa;
mod opaque;
mod q8;
mod rows;
pub(crate) mod scalar;
mod selection;
mod self_test;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128"))]
mod ternary;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128"))]
mod ternary_groups;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[expect(unsafe_code, reason = "vector loads and stores go through pointers")]
mod wasm32;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "AVX2 instructions")]
mod x86_64;

#[cfg(test)]
mod tests;

pub(crate) use opaque::opaque;
pub(crate) use q8::{Q8_BLOCK, Q8_ROWS, Q8Part, Q8Rows};
pub(crate) use rows::{Rows, RowsMut};
pub(crate) use selection::KernelSelection;
#[cfg(any(test, fuzzing))]
pub(crate) use self_test::passing;

use crate::tensor::{PANEL_ROWS, RowPanel, TILE, TernaryPanel};

/// Partial sums of a floating-point dot product, and columns of a panel.
pub(crate) const LANES: usize = 8;

/// What a backend computes.
pub(crate) trait Kernels: Sync {
    /// The name in `info` and bug reports, such as `wasm32-simd128`.
    fn name(&self) -> &'static str;

    /// Quantizes one activation row for BitLinear (BitNet b1.58, arXiv:2402.17764): writes
    /// `round_half_even(s x)` with `s = 127 / max(max|x|, 1e-5)`, which is within ±127. Returns `s`
    /// and the sum of the written values.
    ///
    /// `out` may be longer than `x`; the rest is set to zero.
    fn quantize_row(&self, x: &[f32], out: &mut [i8]) -> (f32, i32) {
        float::quantize_row(x, out)
    }

    /// Computes the dot products of 16 ternary rows (`tiles`, see [`crate::tensor::PackedTernary`])
    /// with every row of int8 activations.
    ///
    /// `x` holds `sums.len()` rows, each as long as the tiles are wide, of values in -127..=127.
    /// `x_sums` holds the sum of each row.
    fn ternary_tile(&self, tiles: &[u8], x: &[i8], x_sums: &[i32], sums: &mut [[i32; TILE]]);

    /// Quantizes the rows `x`, as many and as wide as `out`, with a scale per [`Q8_BLOCK`] values.
    fn quantize_q8(&self, x: &[f32], out: Q8Part<'_>) {
        float::quantize_q8(x, out);
    }

    /// Computes the dot products of 8 rows of grouped weights with every row of activations: the
    /// sum over the groups, in order, of `sum((code - zero) x) * (weight_scale * scale)`, where the
    /// inner sum is exact, minus `x_sum * (min * scale)` for types with minimums.
    fn group_panel(&self, panel: &RowPanel<'_>, x: &Q8Rows, out: &mut [[f32; PANEL_ROWS]]);

    /// Computes the dot products of 16 rows of group-wise ternary weights with every row of
    /// activations: the sum over the groups, in order, of `weight_scale * s`, where `s` is the sum
    /// over the blocks of activations, in order, of `sum((code - 1) x) * scale`, of which the inner
    /// sum is exact.
    fn ternary_panel(&self, panel: &TernaryPanel<'_>, x: &Q8Rows, out: &mut [[f32; TILE]]);

    /// Computes a dot product in [`LANES`] partial sums. Lane `l` adds the products at `l`,
    /// `l + 8`, ... in order; lanes are then added as `((0+4) + (2+6)) + ((1+5) + (3+7))`; a
    /// remainder shorter than 8 is added last, in order.
    fn dot_f32(&self, a: &[f32], b: &[f32]) -> f32 {
        float::dot(a, b)
    }

    /// Computes `out[r][l] += sum_i a[r][i] * b[i][l]`, in order of `i`, for every row `r` of `a`.
    /// A row of `a` starts with `b.len()` values, one of `out` with [`LANES`].
    fn panel_f32(&self, a: Rows<'_>, b: &[[f32; LANES]], out: RowsMut<'_>) {
        float::panel_f32::<4>(a, b, out);
    }

    /// Runs `rounds` of the multiplications and additions of [`Kernels::ternary_tile`] on registers
    /// alone, to measure the peak of the processor, and returns the number of products; 0 if the
    /// backend does not implement it.
    #[cfg(feature = "bench")]
    fn peak(&self, rounds: usize) -> u64 {
        let _ = rounds;
        0
    }
}

/// Every backend that this machine can run, the scalar one last. [`KernelSelection`] picks one.
pub(crate) fn available() -> Vec<&'static dyn Kernels> {
    let vector = cfg_select! {
        target_arch = "x86_64" => x86_64::backends(),
        target_arch = "aarch64" => aarch64::backends(),
        all(target_arch = "wasm32", target_feature = "simd128") => wasm32::backends(),
        _ => std::iter::empty(),
    };
    vector.chain([&scalar::Scalar as &dyn Kernels]).collect()
}
