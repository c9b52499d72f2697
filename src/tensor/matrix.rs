//! A weight matrix in the layout its kernel reads.

#![forbid(unsafe_code)]

use super::aligned::AlignedBytes;
use super::ternary::PackedTernary;
use crate::error::Result;
use crate::gguf::GgmlType;
use crate::quant;

/// A `rows` (output features) by `cols` (input features) matrix.
pub enum Matrix {
    /// One scale, weights in {-1, 0, +1}: run as BitLinear, with int8 activations.
    Ternary(PackedTernary),
    /// The blocks of the file.
    Blocks(BlockMatrix),
}

impl Matrix {
    /// The matrix of a linear layer, from the bytes of its tensor: packed when the tensor really is ternary, whatever its type.
    ///
    /// # Errors
    ///
    /// `malformed` for NaN or infinite values, `out-of-memory` when the packed form cannot be had.
    pub fn linear(ty: GgmlType, rows: usize, cols: usize, bytes: AlignedBytes) -> Result<Self> {
        if let Some(ternary) = quant::ternary(ty, &bytes, rows * cols)? {
            return Ok(Self::Ternary(PackedTernary::pack(&ternary, rows, cols)?));
        }
        Ok(Self::Blocks(BlockMatrix::new(ty, rows, cols, bytes)?))
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        match self {
            Self::Ternary(matrix) => matrix.rows(),
            Self::Blocks(matrix) => matrix.rows,
        }
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        match self {
            Self::Ternary(matrix) => matrix.cols(),
            Self::Blocks(matrix) => matrix.cols,
        }
    }
}

/// A matrix whose rows are whole blocks of a ggml type, as in the file.
pub struct BlockMatrix {
    ty: GgmlType,
    rows: usize,
    cols: usize,
    bytes: AlignedBytes,
}

impl BlockMatrix {
    /// Takes the bytes of a tensor.
    ///
    /// # Errors
    ///
    /// `malformed` when the bytes are not `rows` whole rows, or hold NaN or infinite values; `unsupported-type` for `I2_S`,
    /// whose blocks ignore row ends.
    pub fn new(ty: GgmlType, rows: usize, cols: usize, bytes: AlignedBytes) -> Result<Self> {
        if ty == GgmlType::I2S {
            bail!(
                UnsupportedType,
                "type I2_S is only read for ternary linear layers; convert this tensor to another type"
            );
        }
        if ty.tensor_bytes(rows as u64, cols as u64) != Some(bytes.len() as u64) {
            bail!(Malformed, "{} bytes are not a {rows} x {cols} matrix of type {ty}", bytes.len());
        }
        quant::check_finite(ty, &bytes)?;
        Ok(Self { ty, rows, cols, bytes })
    }

    /// The type of the blocks.
    pub fn ty(&self) -> GgmlType {
        self.ty
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The blocks of row `index`.
    pub fn row(&self, index: usize) -> &[u8] {
        let bytes = self.bytes.len() / self.rows;
        &self.bytes[index * bytes..][..bytes]
    }

    /// Row `index` decoded to f32, in `out` of length [`BlockMatrix::cols`].
    pub fn decode_row(&self, index: usize, out: &mut [f32]) {
        quant::dequantize(self.ty, self.row(index), out).expect("rows were checked to be whole blocks");
    }
}
