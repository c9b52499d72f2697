//! Timing of kernels, for `webtern bench` and the benchmark page.
//!
//! Every figure is the median of several runs, after a warm-up.

#![forbid(unsafe_code)]

use crate::error::Result;
use crate::gguf::GgmlType;
use crate::kernels::{Kernels, Q8Rows, available};
use crate::platform::now_ms;
use crate::quant::Ternary;
use crate::tensor::{GroupedTernary, Matrix, MatrixBuilder, PANEL_ROWS, PackedGroups, PackedTernary, TILE};
use serde::Serialize;
use std::hint::black_box;

/// Output features of the matrix that kernels multiply: the widest of SmolLM2-135M.
const ROWS: usize = 1536;

/// Input features of that matrix.
const COLS: usize = 576;

/// Rounds of the loop on registers, which take some hundred microseconds.
const PEAK_ROUNDS: usize = 100_000;

/// Milliseconds of a run, at least: browsers round their clocks to 0.1 ms.
const MIN_RUN_MS: f64 = 5.0;

/// The speed of a kernel.
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

/// Returns the milliseconds of one call: the median of `runs` runs, each of as many calls as take
/// `MIN_RUN_MS`.
///
/// # Errors
///
/// The errors of `call`.
pub fn time(runs: usize, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    call()?;
    let mut run = |calls: usize| -> Result<f64> {
        let start = now_ms();
        for _ in 0..calls {
            call()?;
        }
        Ok(now_ms() - start)
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

/// Times the matrix kernels of every backend on 1, 8 and 32 rows of activations, on one thread, and
/// the peak of the same instructions on registers alone (`Kernels::peak`).
///
/// # Errors
///
/// `out-of-memory` when the matrices cannot be allocated.
pub fn kernels(runs: usize) -> Result<Vec<KernelTiming>> {
    let codes = (0..ROWS * COLS).map(|i| (i % 3) as u8).collect();
    let ternary = PackedTernary::pack(&Ternary { codes, scale: 1.0 }, ROWS, COLS)?;
    let mut grouped = Vec::new();
    for ty in [GgmlType::Q8_0, GgmlType::Q4_0] {
        let bytes = vec![1; ROWS * COLS / ty.block_len() * ty.block_bytes()];
        grouped.push((ty, PackedGroups::pack(ty, ROWS, COLS, &bytes)?));
    }
    let mut two_bit = MatrixBuilder::embedding(GgmlType::Q2_0, ROWS, COLS)?;
    two_bit.push(&vec![1; ROWS * COLS / GgmlType::Q2_0.block_len() * GgmlType::Q2_0.block_bytes()])?;
    let two_bit = two_bit.finish()?;
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
                let gmacs = (rows * ROWS * COLS) as f64 / ms / 1e6;
                timings.push(KernelTiming { name: format!("{} {operation}", kernels.name()), rows, gmacs });
            };
            let x = vec![1i8; rows * COLS];
            let q8 = Q8Rows::zeroed(rows, COLS);
            add("ternary", time(runs, || multiply_ternary(kernels, &ternary, &x, rows))?);
            if let Matrix::TernaryGroups(matrix) = &two_bit {
                add("ternary groups", time(runs, || multiply_ternary_groups(kernels, matrix, &q8))?);
            }
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
        black_box(&sums);
    }
    Ok(())
}

fn multiply_ternary_groups(kernels: &dyn Kernels, matrix: &GroupedTernary, x: &Q8Rows) -> Result<()> {
    let mut products = vec![[0.0; TILE]; x.rows()];
    for panel in 0..matrix.rows().div_ceil(TILE) {
        kernels.ternary_panel(&matrix.panel(panel), x, &mut products);
        black_box(&products);
    }
    Ok(())
}

fn multiply_groups(kernels: &dyn Kernels, matrix: &PackedGroups, x: &Q8Rows) -> Result<()> {
    let mut products = vec![[0.0; PANEL_ROWS]; x.rows()];
    for panel in 0..matrix.rows().div_ceil(PANEL_ROWS) {
        kernels.group_panel(&matrix.panel(panel), x, &mut products);
        black_box(&products);
    }
    Ok(())
}
