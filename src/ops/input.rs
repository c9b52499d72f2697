//! Activations on their way into linear layers.
//!
//! What happens to them depends on the weights. BitLinear wants them as int8 with one scale a row, grouped weights as int8 with one
//! scale per 32, everything else as they are. An [`Input`] is made once, in all the forms that its readers need, for all the
//! layers that read it (q, k, v; gate, up).

#![forbid(unsafe_code)]

use super::norm::Norm;
use crate::kernels::{Kernels, Q8_BLOCK, Q8Block};
use crate::parallel::Lead;
use crate::tensor::{Operand, TILE};

/// Rows of activations, normalised and quantised.
pub struct Input {
    cols: usize,
    values: Vec<f32>,
    int8: Option<Int8>,
    q8: Option<Vec<Q8Block>>,
}

/// Rows with one scale and one total each.
struct Int8 {
    values: Vec<i8>,
    scales: Vec<f32>,
    totals: Vec<i32>,
}

/// One row, and where its forms go.
struct Row<'a> {
    x: &'a [f32],
    values: &'a mut [f32],
    int8: Option<(&'a mut [i8], &'a mut f32, &'a mut i32)>,
    q8: Option<&'a mut [Q8Block]>,
}

impl Input {
    /// Rows `x` of `cols` values each, through `norm` where there is one, in the forms that `readers` multiply.
    pub fn new<'a>(
        lead: &Lead<'_>,
        kernels: &dyn Kernels,
        (x, cols): (&[f32], usize),
        norm: Option<Norm<'_>>,
        readers: impl IntoIterator<Item = Operand<'a>>,
    ) -> Self {
        let rows = x.len() / cols;
        let mut input = Self { cols, values: vec![0.0; x.len()], int8: None, q8: None };
        for reader in readers {
            match reader {
                Operand::Ternary(_) => {
                    input.int8.get_or_insert_with(|| Int8 {
                        values: vec![0; rows * cols.next_multiple_of(TILE)],
                        scales: vec![0.0; rows],
                        totals: vec![0; rows],
                    });
                }
                Operand::Groups(_) => {
                    input.q8.get_or_insert_with(|| vec![Q8Block::ZERO; rows * cols / Q8_BLOCK]);
                }
                Operand::Blocks(_) => {}
            }
        }
        lead.each(input.rows_of(x), |row| row.fill(kernels, norm));
        input
    }

    fn rows_of<'a>(&'a mut self, x: &'a [f32]) -> Vec<Row<'a>> {
        let values = x.chunks_exact(self.cols).zip(self.values.chunks_exact_mut(self.cols));
        let mut rows: Vec<_> = values.map(|(x, values)| Row { x, values, int8: None, q8: None }).collect();
        if let Some(Int8 { values, scales, totals }) = &mut self.int8 {
            let values = values.chunks_exact_mut(self.cols.next_multiple_of(TILE));
            for (row, ((values, scale), total)) in rows.iter_mut().zip(values.zip(scales).zip(totals)) {
                row.int8 = Some((values, scale, total));
            }
        }
        if let Some(blocks) = &mut self.q8 {
            let blocks = blocks.chunks_exact_mut(self.cols / Q8_BLOCK);
            rows.iter_mut().zip(blocks).for_each(|(row, blocks)| row.q8 = Some(blocks));
        }
        rows
    }

    /// Width of a row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.cols
    }

    /// The rows as floats, one after the other.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The rows for ternary weights: values, scales and totals.
    ///
    /// # Panics
    ///
    /// When no reader was ternary.
    pub(super) fn int8(&self) -> (&[i8], &[f32], &[i32]) {
        let Int8 { values, scales, totals } = self.int8.as_ref().expect("the input was made for a ternary reader");
        (values, scales, totals)
    }

    /// The rows for grouped weights.
    ///
    /// # Panics
    ///
    /// When no reader was grouped.
    pub(super) fn q8(&self) -> &[Q8Block] {
        self.q8.as_ref().expect("the input was made for a grouped reader")
    }
}

impl Row<'_> {
    fn fill(self, kernels: &dyn Kernels, norm: Option<Norm<'_>>) {
        match norm {
            Some(norm) => norm.apply(kernels, self.x, self.values),
            None => self.values.copy_from_slice(self.x),
        }
        if let Some((values, scale, total)) = self.int8 {
            (*scale, *total) = kernels.quantize_row(self.values, values);
        }
        if let Some(blocks) = self.q8 {
            kernels.quantize_q8(self.values, blocks);
        }
    }
}
