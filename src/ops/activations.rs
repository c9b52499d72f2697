//! The activations that linear layers multiply.
//!
//! Their form depends on the weights: int8 with one scale per row for ternary weights (BitLinear),
//! int8 with one scale per 32 values for grouped weights, f32 for all others. [`Activations`] are
//! normalized and quantized once for all layers that read them (q, k, v; gate, up), in every form
//! that one of these needs.

#![forbid(unsafe_code)]

use super::norm::Norm;
use crate::kernels::{Kernels, Q8_ROWS, Q8Part, Q8Rows, Rows};
use crate::parallel::Scope;
use crate::tensor::{Matrix, TILE};
use smallvec::{SmallVec, smallvec};
use std::cell::RefCell;

/// Rows of activations, normalized and quantized.
pub(crate) struct Activations {
    rows: usize,
    cols: usize,
    values: Option<Vec<f32>>,
    int8: Option<Int8>,
    q8: Option<Q8Rows>,
}

/// Rows with one scale and one sum each.
struct Int8 {
    values: Vec<i8>,
    scales: SmallVec<[f32; 1]>,
    x_sums: SmallVec<[i32; 1]>,
}

/// A task: up to [`Q8_ROWS`] rows, and where each of their forms is written.
struct RowBlock<'a> {
    cols: usize,
    x: &'a [f32],
    values: Option<&'a mut [f32]>,
    int8: Option<(&'a mut [i8], &'a mut [f32], &'a mut [i32])>,
    q8: Option<Q8Part<'a>>,
}

impl Activations {
    /// The rows `x`, after `norm` if there is one, in the forms that `readers` multiply; in f32 if
    /// there are none.
    pub(crate) fn new<'a>(
        scope: &Scope<'_>,
        kernels: &dyn Kernels,
        Rows { values: x, stride: cols }: Rows<'_>,
        norm: Option<Norm<'_>>,
        readers: impl IntoIterator<Item = &'a Matrix>,
    ) -> Self {
        let rows = x.len() / cols;
        let mut activations = Self { rows, cols, values: None, int8: None, q8: None };
        let mut readers = readers.into_iter().peekable();
        if readers.peek().is_none() {
            activations.values = Some(vec![0.0; x.len()]);
        }
        for reader in readers {
            match reader {
                Matrix::Ternary(_) => {
                    activations.int8.get_or_insert_with(|| Int8 {
                        values: vec![0; rows * cols.next_multiple_of(TILE)],
                        scales: smallvec![0.0; rows],
                        x_sums: smallvec![0; rows],
                    });
                }
                Matrix::Groups(_) | Matrix::TernaryGroups(_) => {
                    activations.q8.get_or_insert_with(|| Q8Rows::zeroed(rows, cols));
                }
                Matrix::Floats(_) => {
                    activations.values.get_or_insert_with(|| vec![0.0; x.len()]);
                }
            }
        }
        let blocks = activations.row_blocks(x);
        scope.for_each(blocks, |block| NORMALIZED.with_borrow_mut(|buffer| block.fill(kernels, norm, buffer)));
        activations
    }

    fn row_blocks<'a>(&'a mut self, x: &'a [f32]) -> SmallVec<[RowBlock<'a>; 1]> {
        let cols = self.cols;
        let mut blocks: SmallVec<[_; 1]> =
            x.chunks(cols * Q8_ROWS).map(|x| RowBlock { cols, x, values: None, int8: None, q8: None }).collect();
        if let Some(values) = &mut self.values {
            let values = values.chunks_mut(cols * Q8_ROWS);
            blocks.iter_mut().zip(values).for_each(|(block, values)| block.values = Some(values));
        }
        if let Some(Int8 { values, scales, x_sums }) = &mut self.int8 {
            let values = values.chunks_mut(cols.next_multiple_of(TILE) * Q8_ROWS);
            let rows = values.zip(scales.chunks_mut(Q8_ROWS)).zip(x_sums.chunks_mut(Q8_ROWS));
            for (block, ((values, scales), x_sums)) in blocks.iter_mut().zip(rows) {
                block.int8 = Some((values, scales, x_sums));
            }
        }
        if let Some(q8) = &mut self.q8 {
            blocks.iter_mut().zip(q8.parts_mut()).for_each(|(block, q8)| block.q8 = Some(q8));
        }
        blocks
    }

    /// The width of a row.
    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The rows in f32, one after the other.
    ///
    /// # Panics
    ///
    /// If there were readers and none of them multiplies f32.
    pub(crate) fn values(&self) -> &[f32] {
        self.values.as_ref().expect("one of the readers multiplies f32")
    }

    /// The rows for ternary weights: values, scales, and sums.
    ///
    /// # Panics
    ///
    /// If no reader was ternary.
    pub(super) fn int8(&self) -> (&[i8], &[f32], &[i32]) {
        let Int8 { values, scales, x_sums } = self.int8.as_ref().expect("one of the readers is ternary");
        (values, scales, x_sums)
    }

    /// The rows for grouped weights.
    ///
    /// # Panics
    ///
    /// If no reader was grouped.
    pub(super) fn q8(&self) -> &Q8Rows {
        self.q8.as_ref().expect("one of the readers is grouped")
    }
}

thread_local! {
    /// Normalized rows that no reader multiplies in f32.
    static NORMALIZED: RefCell<Vec<f32>> = RefCell::default();
}

impl RowBlock<'_> {
    fn fill(self, kernels: &dyn Kernels, norm: Option<Norm<'_>>, buffer: &mut Vec<f32>) {
        let x = match (norm, self.values) {
            (None, None) => self.x,
            (norm, values) => {
                let values = values.unwrap_or_else(|| {
                    buffer.resize(self.x.len(), 0.0);
                    buffer
                });
                match norm {
                    Some(norm) => {
                        let rows = self.x.chunks_exact(self.cols).zip(values.chunks_exact_mut(self.cols));
                        rows.for_each(|(x, values)| norm.apply(kernels, x, values));
                    }
                    None => values.copy_from_slice(self.x),
                }
                values
            }
        };
        if let Some((values, scales, x_sums)) = self.int8 {
            let rows = x.chunks_exact(self.cols).zip(values.chunks_exact_mut(values.len() / scales.len()));
            for ((row, values), (scale, x_sum)) in rows.zip(scales.iter_mut().zip(x_sums)) {
                (*scale, *x_sum) = kernels.quantize_row(row, values);
            }
        }
        if let Some(q8) = self.q8 {
            kernels.quantize_q8(x, q8);
        }
    }
}
