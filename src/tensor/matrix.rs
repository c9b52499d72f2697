//! A weight matrix in the layout its kernel reads.

#![forbid(unsafe_code)]

use super::groups::PackedGroups;
use super::ternary::{GroupedTernary, PackedTernary};
use crate::gguf::GgmlType;
use crate::quant;

/// A `rows` (output features) by `cols` (input features) matrix, made by a
/// [`MatrixBuilder`](super::MatrixBuilder).
pub(crate) enum Matrix {
    /// One scale, weights in {-1, 0, +1}: run as BitLinear, with int8 activations that share one
    /// scale a row.
    Ternary(PackedTernary),
    /// Weights of two bits with a scale for every group.
    TernaryGroups(GroupedTernary),
    /// Integers of 4 or 8 bits with a scale for every 16 or 32.
    Groups(PackedGroups),
    /// Floats, decoded to f32 row by row.
    Floats(FloatMatrix),
}

impl Matrix {
    /// Output features.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Ternary(matrix) => matrix.rows(),
            Self::TernaryGroups(matrix) => matrix.rows(),
            Self::Groups(matrix) => matrix.rows(),
            Self::Floats(matrix) => matrix.rows,
        }
    }

    /// Input features.
    pub(crate) fn cols(&self) -> usize {
        match self {
            Self::Ternary(matrix) => matrix.cols(),
            Self::TernaryGroups(matrix) => matrix.cols(),
            Self::Groups(matrix) => matrix.cols(),
            Self::Floats(matrix) => matrix.cols,
        }
    }

    /// Row `row` as f32, in `out` of length [`Matrix::cols`].
    pub(crate) fn decode_row(&self, row: usize, out: &mut [f32]) {
        match self {
            Self::Ternary(matrix) => matrix.decode_row(row, out),
            Self::TernaryGroups(matrix) => matrix.decode_row(row, out),
            Self::Groups(matrix) => matrix.decode_row(row, out),
            Self::Floats(matrix) => matrix.decode_row(row, out),
        }
    }
}

/// A matrix of F32, F16 or BF16, as in the file.
pub(crate) struct FloatMatrix {
    pub(super) ty: GgmlType,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) bytes: Vec<u8>,
}

impl FloatMatrix {
    /// Row `row` as f32, in `out`, which is as long as the matrix is wide.
    pub(crate) fn decode_row(&self, row: usize, out: &mut [f32]) {
        let len = self.cols * self.ty.block_bytes();
        quant::dequantize(self.ty, &self.bytes[row * len..][..len], out).expect("every row is `cols` floats");
    }
}
