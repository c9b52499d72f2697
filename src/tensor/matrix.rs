//! A weight matrix in the layout its kernel reads.

#![forbid(unsafe_code)]

use super::groups::PackedGroups;
use super::ternary::PackedTernary;
use crate::error::Result;
use crate::gguf::GgmlType;
use crate::quant;

/// A `rows` (output features) by `cols` (input features) matrix.
pub enum Matrix {
    /// One scale, weights in {-1, 0, +1}: run as BitLinear, with int8 activations.
    Ternary(PackedTernary),
    /// Any other type.
    Blocks(BlockMatrix),
}

impl Matrix {
    /// The matrix of a linear layer, from the bytes of its tensor: packed when the tensor really is ternary, whatever its type.
    ///
    /// # Errors
    ///
    /// `malformed` for NaN or infinite values, `out-of-memory` when the packed form cannot be had.
    pub fn linear(ty: GgmlType, rows: usize, cols: usize, bytes: Vec<u8>) -> Result<Self> {
        if let Some(ternary) = quant::ternary(ty, &bytes, rows * cols)? {
            return Ok(Self::Ternary(PackedTernary::pack(&ternary, rows, cols)?));
        }
        Ok(Self::Blocks(BlockMatrix::new(ty, rows, cols, bytes)?))
    }

    /// The form in which kernels read it.
    pub fn operand(&self) -> Operand<'_> {
        match self {
            Self::Ternary(matrix) => Operand::Ternary(matrix),
            Self::Blocks(matrix) => matrix.operand(),
        }
    }
}

/// A matrix by the form in which kernels read it.
#[derive(Clone, Copy)]
pub enum Operand<'a> {
    /// 2 bits a weight, one scale.
    Ternary(&'a PackedTernary),
    /// Integers, a scale for every few.
    Groups(&'a PackedGroups),
    /// Decoded to f32 row by row.
    Blocks(&'a BlockMatrix),
}

impl Operand<'_> {
    /// Output features.
    pub fn rows(self) -> usize {
        match self {
            Self::Ternary(matrix) => matrix.rows(),
            Self::Groups(matrix) => matrix.rows(),
            Self::Blocks(matrix) => matrix.rows,
        }
    }

    /// Input features.
    pub fn cols(self) -> usize {
        match self {
            Self::Ternary(matrix) => matrix.cols(),
            Self::Groups(matrix) => matrix.cols(),
            Self::Blocks(matrix) => matrix.cols,
        }
    }
}

/// A matrix whose rows are whole blocks of a ggml type.
pub struct BlockMatrix {
    ty: GgmlType,
    rows: usize,
    cols: usize,
    form: Form,
}

enum Form {
    Groups(PackedGroups),
    /// As in the file.
    Bytes(Vec<u8>),
}

impl BlockMatrix {
    /// Takes the bytes of a tensor.
    ///
    /// # Errors
    ///
    /// `malformed` when the bytes are not `rows` whole rows, or hold NaN or infinite values; `unsupported-type` for `I2_S`,
    /// whose blocks ignore row ends.
    pub fn new(ty: GgmlType, rows: usize, cols: usize, bytes: Vec<u8>) -> Result<Self> {
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
        let form = match PackedGroups::pack(ty, rows, cols, &bytes)? {
            Some(groups) => Form::Groups(groups),
            None => Form::Bytes(bytes),
        };
        Ok(Self { ty, rows, cols, form })
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The form in which kernels read it.
    pub fn operand(&self) -> Operand<'_> {
        match &self.form {
            Form::Groups(groups) => Operand::Groups(groups),
            Form::Bytes(_) => Operand::Blocks(self),
        }
    }

    /// Row `index` decoded to f32, in `out` of length [`BlockMatrix::cols`].
    pub fn decode_row(&self, index: usize, out: &mut [f32]) {
        match &self.form {
            Form::Groups(groups) => groups.decode_row(index, out),
            Form::Bytes(bytes) => {
                let len = bytes.len() / self.rows;
                let row = &bytes[index * len..][..len];
                quant::dequantize(self.ty, row, out).expect("rows were checked to be whole blocks");
            }
        }
    }
}
