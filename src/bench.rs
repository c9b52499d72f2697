//! Timing of kernels, for `webtern bench` and the benchmark page.
//!
//! Every figure is the median of several runs, after some that are not counted.

#![forbid(unsafe_code)]

use crate::error::Result;
use crate::gguf::GgmlType;
use crate::kernels::{Kernels, Q8Rows, available};
use crate::platform::now_ms;
use crate::quant::Ternary;
use crate::tensor::{PANEL_ROWS, PackedGroups, PackedTernary, TILE};
use serde::Serialize;

/// Output and input features of the matrix that kernels are timed on: the widest of SmolLM2-135M.
const MATRIX: (usize, usize) = (1536, 576);

/// Rounds of the loop on registers: some hundred microseconds.
const PEAK_ROUNDS: usize = 100_000;

/// Shorter runs are repeated.
const MIN_RUN_MS: f64 = 5.0;

/// A kernel and how fast it multiplies.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KernelTiming {
    /// Backend and operation.
    pub name: String,
    /// Activation rows; 0 for the loop on registers.
    pub rows: usize,
    /// Multiply-accumulates per nanosecond.
    pub gmacs: f64,
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Milliseconds of one call: the median of `runs` runs, each of as many calls as the clock needs (browsers round theirs to
/// 0.1 ms).
///
/// # Errors
///
/// Those of `call`.
pub fn time(runs: usize, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    call()?;
    let mut run = |calls: usize| -> Result<f64> {
        let begin = now_ms();
        for _ in 0..calls {
            call()?;
        }
        Ok(now_ms() - begin)
    };
    let mut calls = 1;
    while run(calls)? < MIN_RUN_MS {
        calls *= 2;
    }
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        times.push(run(calls)? / calls as f64);
    }
    Ok(median(times))
}

/// Times the matrix kernels of every backend on 1, 8 and 32 rows of activations, one thread, and what the processor could do: the
/// ternary kernel's multiplications and additions on nothing but registers ([`Kernels::peak`]).
///
/// # Errors
///
/// `out-of-memory` when the test matrices cannot be had.
pub fn kernels(runs: usize) -> Result<Vec<KernelTiming>> {
    let (out, cols) = MATRIX;
    let codes = (0..out * cols).map(|i| (i % 3) as u8).collect();
    let ternary = PackedTernary::pack(&Ternary { codes, scale: 1.0 }, out, cols)?;
    let mut grouped = Vec::new();
    for ty in [GgmlType::Q8_0, GgmlType::Q4_0] {
        let bytes = vec![1; out * cols / ty.block_len() * ty.block_bytes()];
        grouped.push((ty, PackedGroups::pack(ty, out, cols, &bytes)?));
    }
    let mut timings = Vec::new();
    for kernels in available() {
        let products = kernels.peak(PEAK_ROUNDS);
        if products > 0 {
            let ms = time(runs, || {
                kernels.peak(PEAK_ROUNDS);
                Ok(())
            })?;
            let name = format!("{} registers", kernels.name());
            timings.push(KernelTiming { name, rows: 0, gmacs: products as f64 / ms / 1e6 });
        }
        for rows in [1, 8, 32] {
            let mut add = |operation: &str, ms: f64| {
                let gmacs = (rows * out * cols) as f64 / ms / 1e6;
                timings.push(KernelTiming { name: format!("{} {operation}", kernels.name()), rows, gmacs });
            };
            let x = vec![1i8; rows * cols];
            let q8 = Q8Rows::zeroed(rows, cols);
            add("ternary", time(runs, || multiply_ternary(kernels, &ternary, &x, rows))?);
            for (ty, matrix) in &grouped {
                add(&ty.to_string().to_lowercase(), time(runs, || multiply_groups(kernels, matrix, &q8))?);
            }
        }
    }
    Ok(timings)
}

fn multiply_ternary(kernels: &dyn Kernels, matrix: &PackedTernary, x: &[i8], rows: usize) -> Result<()> {
    let mut sums = vec![[0; TILE]; rows];
    let x_sums = vec![(x.len() / rows) as i32; rows];
    for tile in 0..matrix.rows().div_ceil(TILE) {
        kernels.ternary_tile(matrix.row_tile(tile), x, &x_sums, &mut sums);
        std::hint::black_box(&sums);
    }
    Ok(())
}

fn multiply_groups(kernels: &dyn Kernels, matrix: &PackedGroups, x: &Q8Rows) -> Result<()> {
    let mut products = vec![[0.0; PANEL_ROWS]; x.rows()];
    for panel in 0..matrix.rows().div_ceil(PANEL_ROWS) {
        kernels.group_panel(&matrix.panel(panel), x, &mut products);
        std::hint::black_box(&products);
    }
    Ok(())
}
