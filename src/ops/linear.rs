//! Linear layers: `out = x W^T`.
//!
//! What happens to the activations depends on the weights. BitLinear wants them as int8 with one scale a row, grouped weights as
//! int8 with one scale per 32, everything else as they are. An [`Input`] holds the rows once and makes each form the first time a
//! matrix asks for it, so that projections of the same input (q, k, v; gate, up) share it.

#![forbid(unsafe_code)]

use crate::error::Result;
use crate::kernels::{Kernels, Q8_BLOCK, Q8_TOTAL, Q8Rows};
use crate::tensor::{BlockMatrix, Matrix, PackedGroups, PackedTernary, STRIP, TILE, zeroed_f32};
use std::cell::OnceCell;

/// Rows of activations on their way into one or more linear layers.
pub struct Input<'a> {
    values: &'a [f32],
    cols: usize,
    int8: OnceCell<Quantized>,
    q8: OnceCell<Quantized>,
}

/// Int8 rows with their scales and totals.
struct Quantized {
    values: Vec<i8>,
    scales: Vec<f32>,
    totals: Vec<i32>,
}

impl<'a> Input<'a> {
    /// `values` holds whole rows of `cols`.
    pub fn new(values: &'a [f32], cols: usize) -> Self {
        Self { values, cols, int8: OnceCell::new(), q8: OnceCell::new() }
    }

    /// The rows as they are.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    fn rows(&self) -> usize {
        self.values.len() / self.cols
    }

    /// One scale a row, rows padded to `padded` values.
    fn int8(&self, kernels: &dyn Kernels, padded: usize) -> &Quantized {
        self.int8.get_or_init(|| {
            let mut values = vec![0; self.rows() * padded];
            let rows = self.values.chunks_exact(self.cols).zip(values.chunks_exact_mut(padded));
            let (scales, totals) = rows.map(|(x, q)| kernels.quantize_row(x, q)).unzip();
            Quantized { values, scales, totals }
        })
    }

    /// One scale per [`Q8_BLOCK`] values.
    fn q8(&self, kernels: &dyn Kernels) -> Q8Rows<'_> {
        let Quantized { values, scales, totals } = self.q8.get_or_init(|| {
            let len = self.values.len();
            let (mut values, mut scales, mut totals) =
                (vec![0; len], vec![0.0; len / Q8_BLOCK], vec![0; len / Q8_TOTAL]);
            kernels.quantize_q8(self.values, &mut values, &mut scales, &mut totals);
            Quantized { values, scales, totals }
        });
        Q8Rows { cols: self.cols, values, scales, totals }
    }
}

/// `out[r][n] = sum_k input[r][k] matrix[n][k]`.
///
/// # Errors
///
/// `out-of-memory` when the scratch row cannot be had.
pub fn linear(kernels: &dyn Kernels, matrix: &Matrix, input: &Input<'_>, out: &mut [f32]) -> Result<()> {
    match matrix {
        Matrix::Ternary(matrix) => {
            ternary(kernels, matrix, input, out);
            Ok(())
        }
        Matrix::Blocks(matrix) => block_linear(kernels, matrix, input, out),
    }
}

/// [`linear`] for a matrix that is known to be blocks, such as an embedding table used as the output head.
///
/// # Errors
///
/// `out-of-memory` when the scratch row cannot be had.
pub fn block_linear(kernels: &dyn Kernels, matrix: &BlockMatrix, input: &Input<'_>, out: &mut [f32]) -> Result<()> {
    check_shapes(matrix.rows(), matrix.cols(), input, out);
    match matrix.groups() {
        Some(matrix) => {
            grouped(kernels, matrix, input, out);
            Ok(())
        }
        None => decoded(kernels, matrix, input, out),
    }
}

fn check_shapes(rows: usize, cols: usize, input: &Input<'_>, out: &[f32]) {
    assert_eq!(input.cols, cols, "the input is as wide as the matrix");
    assert_eq!(out.len(), input.rows() * rows, "one output a row and output feature");
}

/// BitLinear: exact integer sums, scaled once at the end.
fn ternary(kernels: &dyn Kernels, matrix: &PackedTernary, input: &Input<'_>, out: &mut [f32]) {
    check_shapes(matrix.rows(), matrix.cols(), input, out);
    let x = input.int8(kernels, matrix.padded_cols());
    let mut sums = vec![[0; TILE]; input.rows()];
    for (tile, tiles) in matrix.row_tiles().enumerate() {
        kernels.ternary_tile(tiles, &x.values, &x.totals, &mut sums);
        for ((out, sums), scale) in out.chunks_exact_mut(matrix.rows()).zip(&sums).zip(&x.scales) {
            for (out, &sum) in out[tile * TILE..].iter_mut().zip(sums) {
                *out = sum as f32 / scale * matrix.scale();
            }
        }
    }
}

/// Integer sums in groups, each scaled by itself.
fn grouped(kernels: &dyn Kernels, matrix: &PackedGroups, input: &Input<'_>, out: &mut [f32]) {
    let x = input.q8(kernels);
    let mut products = vec![[0.0; STRIP]; input.rows()];
    for (index, strip) in matrix.strips().enumerate() {
        kernels.strip(&strip, x, &mut products);
        for (out, products) in out.chunks_exact_mut(matrix.rows()).zip(&products) {
            out[index * STRIP..].iter_mut().zip(products).for_each(|(out, product)| *out = *product);
        }
    }
}

/// The precise path of every other type: each weight row is decoded once and multiplied with all rows of the input.
fn decoded(kernels: &dyn Kernels, matrix: &BlockMatrix, input: &Input<'_>, out: &mut [f32]) -> Result<()> {
    let mut weights = zeroed_f32(matrix.cols())?;
    for n in 0..matrix.rows() {
        matrix.decode_row(n, &mut weights);
        let rows = input.values.chunks_exact(input.cols);
        for (x, out) in rows.zip(out[n..].iter_mut().step_by(matrix.rows())) {
            *out = kernels.dot_f32(&weights, x);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::GgmlType;
    use crate::kernels::best;
    use crate::quant;
    use crate::tensor::AlignedBytes;

    fn matrix(ty: GgmlType, rows: usize, cols: usize, weights: &[f32]) -> Matrix {
        let mut bytes = Vec::new();
        quant::quantize(ty, weights, &mut bytes).unwrap();
        let mut aligned = AlignedBytes::zeroed(bytes.len()).unwrap();
        aligned.copy_from_slice(&bytes);
        Matrix::linear(ty, rows, cols, aligned).unwrap()
    }

    /// Products with `values` different weights, among them `-0.25`, 0 and 0.25.
    fn check(ty: GgmlType, values: usize) {
        let (rows, cols, count) = (20, 256, 3);
        let weights: Vec<f32> = (0..rows * cols).map(|i| ((i * 31 % 17 % values) as f32 - 1.0) * 0.25).collect();
        let x: Vec<f32> = (0..count * cols).map(|i| ((i * 13 % 29) as f32 - 14.0) / 7.0).collect();
        let matrix = matrix(ty, rows, cols, &weights);
        assert_eq!(matches!(matrix, Matrix::Ternary(_)), values == 3 && ty != GgmlType::Q8_0, "{ty}");
        let mut out = vec![f32::NAN; count * rows];
        linear(best(), &matrix, &Input::new(&x, cols), &mut out).unwrap();
        for (i, out) in out.into_iter().enumerate() {
            let (x, w) = (&x[i / rows * cols..][..cols], &weights[i % rows * cols..][..cols]);
            let expected: f32 = x.iter().zip(w).map(|(x, w)| x * w).sum();
            assert!((out - expected).abs() < 0.15, "{ty} {i}: {out} {expected}");
        }
    }

    #[test]
    fn every_weight_form_gives_the_product() {
        let floats = [GgmlType::F32, GgmlType::F16, GgmlType::Bf16];
        floats.into_iter().chain([GgmlType::Q8_0]).for_each(|ty| check(ty, 4));
        floats.into_iter().chain([GgmlType::Q8_0, GgmlType::Q2_0, GgmlType::Tq1_0]).for_each(|ty| check(ty, 3));
    }
}
