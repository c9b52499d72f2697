//! Activations on their way into linear layers.
//!
//! What happens to them depends on the weights. BitLinear wants them as int8 with one scale a row, grouped weights as int8 with one
//! scale per 32, everything else as they are. An [`Input`] is made once, in all the forms that its readers need, for all the
//! layers that read it (q, k, v; gate, up).

#![forbid(unsafe_code)]

use super::norm::Norm;
use crate::kernels::{Kernels, Q8_ROWS, Q8Part, Q8Rows};
use crate::parallel::Scope;
use crate::tensor::{Matrix, TILE};
use smallvec::{SmallVec, smallvec};
use std::cell::RefCell;

/// Rows of activations, normalized and quantized.
pub struct Activations {
    rows: usize,
    cols: usize,
    values: Option<Vec<f32>>,
    int8: Option<Int8>,
    q8: Option<Q8Rows>,
}

/// Rows with one scale and one total each.
struct Int8 {
    values: Vec<i8>,
    scales: SmallVec<[f32; 1]>,
    x_sums: SmallVec<[i32; 1]>,
}

/// Up to [`Q8_ROWS`] rows, and where their forms go.
struct Part<'a> {
    cols: usize,
    x: &'a [f32],
    values: Option<&'a mut [f32]>,
    int8: Option<(&'a mut [i8], &'a mut [f32], &'a mut [i32])>,
    q8: Option<Q8Part<'a>>,
}

impl Activations {
    /// Rows `x` of `cols` values each, through `norm` where there is one, in the forms that `readers` multiply.
    pub fn new<'a>(
        scope: &Scope<'_>,
        kernels: &dyn Kernels,
        (x, cols): (&[f32], usize),
        norm: Option<Norm<'_>>,
        readers: impl IntoIterator<Item = &'a Matrix>,
    ) -> Self {
        let rows = x.len() / cols;
        let mut input = Self { rows, cols, values: None, int8: None, q8: None };
        let mut readers = readers.into_iter().peekable();
        if readers.peek().is_none() {
            input.values = Some(vec![0.0; x.len()]);
        }
        for reader in readers {
            match reader {
                Matrix::Ternary(_) => {
                    input.int8.get_or_insert_with(|| Int8 {
                        values: vec![0; rows * cols.next_multiple_of(TILE)],
                        scales: smallvec![0.0; rows],
                        x_sums: smallvec![0; rows],
                    });
                }
                Matrix::Groups(_) => {
                    input.q8.get_or_insert_with(|| Q8Rows::zeroed(rows, cols));
                }
                Matrix::Floats(_) | Matrix::TernaryGroups(_) => {
                    input.values.get_or_insert_with(|| vec![0.0; x.len()]);
                }
            }
        }
        scope.for_each(input.parts(x), |part| NORMED.with_borrow_mut(|normed| part.fill(kernels, norm, normed)));
        input
    }

    fn parts<'a>(&'a mut self, x: &'a [f32]) -> SmallVec<[Part<'a>; 1]> {
        let cols = self.cols;
        let mut parts: SmallVec<[_; 1]> =
            x.chunks(cols * Q8_ROWS).map(|x| Part { cols, x, values: None, int8: None, q8: None }).collect();
        if let Some(values) = &mut self.values {
            let values = values.chunks_mut(cols * Q8_ROWS);
            parts.iter_mut().zip(values).for_each(|(part, values)| part.values = Some(values));
        }
        if let Some(Int8 { values, scales, x_sums }) = &mut self.int8 {
            let values = values.chunks_mut(cols.next_multiple_of(TILE) * Q8_ROWS);
            let rows = values.zip(scales.chunks_mut(Q8_ROWS)).zip(x_sums.chunks_mut(Q8_ROWS));
            for (part, ((values, scales), x_sums)) in parts.iter_mut().zip(rows) {
                part.int8 = Some((values, scales, x_sums));
            }
        }
        if let Some(q8) = &mut self.q8 {
            parts.iter_mut().zip(q8.parts_mut()).for_each(|(part, q8)| part.q8 = Some(q8));
        }
        parts
    }

    /// Width of a row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The rows as floats, one after the other.
    ///
    /// # Panics
    ///
    /// When there were readers and none of them wanted floats.
    pub fn values(&self) -> &[f32] {
        self.values.as_ref().expect("the input was made for a reader of floats")
    }

    /// The rows for ternary weights: values, scales and totals.
    ///
    /// # Panics
    ///
    /// When no reader was ternary.
    pub(super) fn int8(&self) -> (&[i8], &[f32], &[i32]) {
        let Int8 { values, scales, x_sums } = self.int8.as_ref().expect("the input was made for a ternary reader");
        (values, scales, x_sums)
    }

    /// The rows for grouped weights.
    ///
    /// # Panics
    ///
    /// When no reader was grouped.
    pub(super) fn q8(&self) -> &Q8Rows {
        self.q8.as_ref().expect("the input was made for a grouped reader")
    }
}

thread_local! {
    /// Where rows are normalized that no reader wants as floats.
    static NORMED: RefCell<Vec<f32>> = RefCell::default();
}

impl Part<'_> {
    fn fill(self, kernels: &dyn Kernels, norm: Option<Norm<'_>>, normed: &mut Vec<f32>) {
        let x = match (norm, self.values) {
            (None, None) => self.x,
            (norm, values) => {
                let values = values.unwrap_or_else(|| {
                    normed.resize(self.x.len(), 0.0);
                    normed
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
            for ((row, values), (scale, total)) in rows.zip(scales.iter_mut().zip(x_sums)) {
                (*scale, *total) = kernels.quantize_row(row, values);
            }
        }
        if let Some(q8) = self.q8 {
            kernels.quantize_q8(x, q8);
        }
    }
}
