//! From the bytes of a tensor, as they arrive, to a matrix.
//!
//! A row is packed when its last byte is there: nothing but the row that a cut divides is ever held
//! in the form of the file. What form a matrix gets depends on its type, and for some on its
//! weights: one scale makes blocks of ternary codes a BitLinear layer, and so do floats of three
//! values (a BitNet matrix does not become another layer because it was stored as F16). So floats
//! are taken as codes until a fourth value shows that they are none, which in most matrices is in
//! the first row.

#![forbid(unsafe_code)]

use super::aligned::{try_with_capacity, try_zeroed};
use super::code_tiles::CodeTiles;
use super::groups::PackedGroups;
use super::matrix::{FloatMatrix, Matrix};
use super::ternary::{GroupedTernary, PackedTernary};
use crate::error::Result;
use crate::gguf::GgmlType;
use crate::quant::{self, I2sReader};

/// Takes the bytes of a tensor, any number at a time.
pub(crate) struct MatrixBuilder {
    ty: GgmlType,
    rows: usize,
    cols: usize,
    /// The beginning of a unit that a cut divided.
    carry: Vec<u8>,
    /// Units packed so far.
    units: usize,
    form: Form,
}

enum Form {
    Groups(PackedGroups),
    Codes(CodeRows),
    I2s(I2sRows),
    TernaryFloats(TernaryFloats),
    Floats(FloatMatrix),
}

impl MatrixBuilder {
    /// For the matrix of a linear layer: BitLinear where the tensor has one scale and three values,
    /// whatever its type.
    ///
    /// # Errors
    ///
    /// `malformed` when rows are not whole blocks, `out-of-memory` when the matrix cannot be
    /// allocated.
    pub(crate) fn linear(ty: GgmlType, rows: usize, cols: usize) -> Result<Self> {
        let form = match ty {
            GgmlType::I2S => Form::I2s(I2sRows::new(rows, cols)?),
            _ if ty.is_float() => Form::TernaryFloats(TernaryFloats::new(ty, rows, cols)?),
            _ => Form::blocks(ty, rows, cols, ty.is_ternary())?,
        };
        Self::new(ty, rows, cols, form)
    }

    /// For an embedding, which is looked up row by row and multiplied as the output head: never
    /// BitLinear.
    ///
    /// # Errors
    ///
    /// As [`MatrixBuilder::linear`]; `unsupported-type` for `I2_S`.
    pub(crate) fn embedding(ty: GgmlType, rows: usize, cols: usize) -> Result<Self> {
        let form = match ty {
            GgmlType::I2S => bail!(
                UnsupportedType,
                "type I2_S is only read for ternary linear layers; convert this tensor to another type"
            ),
            _ if ty.is_float() => Form::Floats(float_matrix(ty, rows, cols)?),
            _ => Form::blocks(ty, rows, cols, false)?,
        };
        Self::new(ty, rows, cols, form)
    }

    fn new(ty: GgmlType, rows: usize, cols: usize, form: Form) -> Result<Self> {
        if ty.tensor_bytes(rows as u64, cols as u64).is_none() {
            bail!(Malformed, "rows of {cols} weights are not whole blocks of {}, as {ty} has them", ty.block_len());
        }
        Ok(Self { ty, rows, cols, carry: Vec::new(), units: 0, form })
    }

    /// Bytes that are packed at a time: a row; a block of `I2_S`, whose blocks run over row ends.
    fn unit(&self) -> usize {
        let blocks = if self.ty == GgmlType::I2S { 1 } else { self.cols / self.ty.block_len() };
        blocks * self.ty.block_bytes()
    }

    /// The next bytes.
    ///
    /// # Errors
    ///
    /// `malformed` for NaN and infinite values, naming the row, and for more bytes than the tensor
    /// has.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        let unit = self.unit();
        if !self.carry.is_empty() {
            let (front, rest) = bytes.split_at(bytes.len().min(unit - self.carry.len()));
            self.carry.extend_from_slice(front);
            bytes = rest;
            if self.carry.len() < unit {
                return Ok(());
            }
            let carry = std::mem::take(&mut self.carry);
            self.pack(&carry)?;
            self.carry = carry;
            self.carry.clear();
        }
        let units = bytes.chunks_exact(unit);
        self.carry.extend_from_slice(units.remainder());
        units.into_iter().try_for_each(|unit| self.pack(unit))
    }

    fn pack(&mut self, bytes: &[u8]) -> Result<()> {
        let index = self.units;
        self.units += 1;
        if let Form::I2s(rows) = &mut self.form {
            return rows.block(bytes);
        }
        if index == self.rows {
            bail!(Malformed, "there are more bytes than {} rows of {} weights take", self.rows, self.cols);
        }
        quant::check_finite(self.ty, bytes).map_err(|error| error.at(format!("row {index}")))?;
        match &mut self.form {
            Form::Groups(matrix) => matrix.set_row(index, bytes),
            Form::Codes(rows) => rows.row(self.ty, index, bytes),
            Form::Floats(matrix) => matrix.bytes.extend_from_slice(bytes),
            Form::TernaryFloats(rows) => {
                if !rows.row(self.ty, index, bytes)? {
                    let mut matrix = rows.as_floats(self.ty, index)?;
                    matrix.bytes.extend_from_slice(bytes);
                    self.form = Form::Floats(matrix);
                }
            }
            Form::I2s(_) => unreachable!("handled above"),
        }
        Ok(())
    }

    /// The matrix.
    ///
    /// # Errors
    ///
    /// `malformed` when bytes are missing, or show that an `I2_S` tensor is damaged or of another
    /// layout.
    pub(crate) fn finish(self) -> Result<Matrix> {
        let expected = self.ty.tensor_bytes(self.rows as u64, self.cols as u64);
        let received = (self.units * self.unit() + self.carry.len()) as u64;
        if Some(received) != expected {
            bail!(Malformed, "{received} bytes are not a {} x {} matrix of type {}", self.rows, self.cols, self.ty);
        }
        Ok(match self.form {
            Form::Groups(matrix) => Matrix::Groups(matrix),
            Form::Codes(CodeRows { matrix, bit_linear, .. }) => {
                let matrix = if bit_linear { matrix.with_one_scale() } else { Err(matrix) };
                matrix.map_or_else(Matrix::TernaryGroups, Matrix::Ternary)
            }
            Form::I2s(rows) => Matrix::Ternary(rows.finish()?),
            Form::TernaryFloats(rows) => Matrix::Ternary(PackedTernary::new(rows.tiles, rows.scale)),
            Form::Floats(matrix) => Matrix::Floats(matrix),
        })
    }
}

impl Form {
    fn blocks(ty: GgmlType, rows: usize, cols: usize, bit_linear: bool) -> Result<Self> {
        Ok(if ty.has_ternary_blocks() {
            let matrix = GroupedTernary::zeros(rows, cols, ty.block_len())?;
            Self::Codes(CodeRows { matrix, bit_linear, codes: Vec::new(), scales: Vec::new() })
        } else {
            Self::Groups(PackedGroups::zeros(ty, rows, cols)?)
        })
    }
}

/// Rows of blocks of ternary codes.
struct CodeRows {
    matrix: GroupedTernary,
    /// Whether one scale makes it BitLinear.
    bit_linear: bool,
    codes: Vec<u8>,
    scales: Vec<f32>,
}

impl CodeRows {
    fn row(&mut self, ty: GgmlType, index: usize, bytes: &[u8]) {
        self.codes.clear();
        self.scales.clear();
        quant::code_blocks(ty, bytes, |codes, scale| {
            self.codes.extend_from_slice(codes);
            self.scales.push(scale);
        });
        self.matrix.set_row(index, &mut self.codes, &self.scales);
    }
}

/// Rows of `I2_S`.
struct I2sRows {
    reader: I2sReader,
    tiles: CodeTiles,
    /// Rows set.
    rows: usize,
    /// Codes of the next one.
    codes: Vec<u8>,
    tail: Option<[u8; 32]>,
}

impl I2sRows {
    fn new(rows: usize, cols: usize) -> Result<Self> {
        let codes = try_with_capacity(cols + 128)?;
        Ok(Self { reader: I2sReader::default(), tiles: CodeTiles::zeros(rows, cols)?, rows: 0, codes, tail: None })
    }

    fn block(&mut self, bytes: &[u8]) -> Result<()> {
        let bytes: &[u8; 32] = bytes.try_into().expect("a unit of I2_S is a block");
        if self.rows == self.tiles.rows() {
            if self.tail.replace(*bytes).is_some() {
                bail!(Malformed, "there are more bytes than the tensor has");
            }
            return Ok(());
        }
        self.codes.extend_from_slice(&self.reader.block(bytes));
        while self.codes.len() >= self.tiles.cols() && self.rows < self.tiles.rows() {
            let rest = self.codes.split_off(self.tiles.cols());
            self.tiles.set_row(self.rows, &self.codes);
            self.codes = rest;
            self.rows += 1;
        }
        Ok(())
    }

    fn finish(self) -> Result<PackedTernary> {
        let tail = self.tail.ok_or_else(|| err!(Malformed, "the tail with the scale is missing"))?;
        Ok(PackedTernary::new(self.tiles, self.reader.finish(&tail)?))
    }
}

/// Rows of floats that have been three-valued so far.
struct TernaryFloats {
    tiles: CodeTiles,
    /// The magnitude of weights that are not zero; 0 before the first.
    scale: f32,
    values: Vec<f32>,
}

impl TernaryFloats {
    fn new(ty: GgmlType, rows: usize, cols: usize) -> Result<Self> {
        debug_assert!(ty.is_float(), "{ty} has blocks");
        Ok(Self { tiles: CodeTiles::zeros(rows, cols)?, scale: 0.0, values: try_zeroed(cols)? })
    }

    /// Takes a row; false when it has other values.
    fn row(&mut self, ty: GgmlType, index: usize, bytes: &[u8]) -> Result<bool> {
        quant::dequantize(ty, bytes, &mut self.values)?;
        match quant::detect_ternary(&self.values) {
            Some(row) if row.scale == 0.0 || self.scale == 0.0 || row.scale == self.scale => {
                self.scale = self.scale.max(row.scale);
                self.tiles.set_row(index, &row.codes);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The first `rows` rows as floats, with room for the others.
    fn as_floats(&mut self, ty: GgmlType, rows: usize) -> Result<FloatMatrix> {
        let mut matrix = float_matrix(ty, self.tiles.rows(), self.tiles.cols())?;
        for row in 0..rows {
            let codes = self.values.iter_mut().zip(self.tiles.row(row));
            codes.for_each(|(value, code)| *value = self.scale * (f32::from(code) - 1.0));
            quant::quantize(ty, &self.values, &mut matrix.bytes)?;
        }
        Ok(matrix)
    }
}

fn float_matrix(ty: GgmlType, rows: usize, cols: usize) -> Result<FloatMatrix> {
    Ok(FloatMatrix { ty, rows, cols, bytes: try_with_capacity(rows * cols * ty.block_bytes())? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use crate::testing::test;

    const ROWS: usize = 19;

    fn build(mut builder: MatrixBuilder, bytes: &[u8], piece: usize) -> Result<Matrix> {
        bytes.chunks(piece).try_for_each(|bytes| builder.push(bytes))?;
        builder.finish()
    }

    /// Finite blocks of any codes.
    fn random_blocks(ty: GgmlType, cols: usize) -> Vec<u8> {
        // The upper byte of an f16 below 0x7C is that of a finite number, whatever the lower one.
        let size = ty.tensor_bytes(ROWS as u64, cols as u64).unwrap() as usize;
        (0..size).map(|i| i % 251).map(|i| (i * i * 31 % 251) as u8 & 0xBB).collect()
    }

    fn rows_of(matrix: &Matrix) -> Vec<f32> {
        let mut rows = vec![f32::NAN; matrix.rows() * matrix.cols()];
        rows.chunks_exact_mut(matrix.cols()).enumerate().for_each(|(row, out)| matrix.decode_row(row, out));
        rows
    }

    #[test]
    fn every_type_decodes_to_the_values_of_the_format_however_it_is_cut() {
        for ty in GgmlType::all().filter(|&ty| ty != GgmlType::I2S) {
            let (cols, bytes) = (512, random_blocks(ty, 512));
            let mut expected = vec![f32::NAN; ROWS * cols];
            quant::dequantize(ty, &bytes, &mut expected).unwrap();
            for piece in [1, 100, 4096, usize::MAX] {
                for builder in [MatrixBuilder::linear(ty, ROWS, cols), MatrixBuilder::embedding(ty, ROWS, cols)] {
                    let matrix = build(builder.unwrap(), &bytes, piece).unwrap();
                    assert_eq!(rows_of(&matrix), expected, "{ty} in pieces of {piece}");
                    assert_eq!(matches!(matrix, Matrix::TernaryGroups(_)), ty.has_ternary_blocks(), "{ty}");
                }
            }
        }
    }

    /// Weights `scale * {-1, 0, 1}`, with leading zeros; `other` replaces the last.
    fn ternary_weights(cols: usize, scale: f32, other: Option<f32>) -> Vec<f32> {
        let code = |i| if i < 3 * cols { 0.0 } else { (i * 7 % 3) as f32 - 1.0 };
        let mut weights: Vec<f32> = (0..ROWS * cols).map(|i| scale * code(i)).collect();
        if let (Some(last), Some(other)) = (weights.last_mut(), other) {
            *last = other;
        }
        weights
    }

    #[test]
    fn three_values_make_a_bit_linear_layer_whatever_the_type() {
        for ty in GgmlType::all().filter(|ty| ty.is_float() || ty.is_ternary() && *ty != GgmlType::Ptq1_0) {
            // Rows of I2_S end inside a block.
            let cols = if ty == GgmlType::I2S { 128 * 7 } else { 256 };
            let weights = ternary_weights(cols, 0.375, None);
            let mut bytes = Vec::new();
            quant::quantize(ty, &weights, &mut bytes).unwrap();
            for piece in [33, usize::MAX] {
                let matrix = build(MatrixBuilder::linear(ty, ROWS, cols).unwrap(), &bytes, piece).unwrap();
                assert!(matches!(&matrix, Matrix::Ternary(packed) if packed.scale() == 0.375), "{ty}");
                assert_eq!(rows_of(&matrix), weights, "{ty}");
            }
            if ty != GgmlType::I2S {
                let matrix = build(MatrixBuilder::embedding(ty, ROWS, cols).unwrap(), &bytes, 33).unwrap();
                assert!(!matches!(matrix, Matrix::Ternary(_)), "an embedding of {ty} is none");
                assert_eq!(rows_of(&matrix), weights, "{ty}");
            }
        }
    }

    #[test]
    fn rows_of_i2_s_may_end_inside_a_block() {
        let (rows, cols) = (4, 160);
        let codes: Vec<u8> = (0..rows * cols).map(|i| (i % 5 % 3) as u8).collect();
        let mut bytes = Vec::new();
        let tensor = quant::Ternary { codes: codes.clone(), scale: 2.0 };
        quant::encode_ternary(GgmlType::I2S, &tensor, rows * cols, &mut bytes).unwrap();
        let matrix = build(MatrixBuilder::linear(GgmlType::I2S, rows, cols).unwrap(), &bytes, 7).unwrap();
        assert_eq!(rows_of(&matrix), codes.iter().map(|&code| 2.0 * (f32::from(code) - 1.0)).collect::<Vec<_>>());
    }

    #[test]
    fn floats_of_a_fourth_value_stay_floats() {
        for ty in GgmlType::all().filter(|ty| ty.is_float()) {
            let weights = ternary_weights(256, 0.375, Some(0.5));
            let mut bytes = Vec::new();
            quant::quantize(ty, &weights, &mut bytes).unwrap();
            let matrix = build(MatrixBuilder::linear(ty, ROWS, 256).unwrap(), &bytes, 100).unwrap();
            assert!(matches!(matrix, Matrix::Floats(_)), "{ty}");
            assert_eq!(rows_of(&matrix), weights, "{ty}");
        }
    }

    #[test]
    fn refuses_what_is_not_finite_and_what_is_no_matrix() {
        let mut bytes = random_blocks(GgmlType::Q2_0, 128);
        bytes[36 * 5 + 18..][..2].copy_from_slice(&[0, 0x7E]);
        let error = build(MatrixBuilder::linear(GgmlType::Q2_0, ROWS, 128).unwrap(), &bytes, 5).err().unwrap();
        assert_eq!(error.code(), ErrorCode::Malformed);
        assert!(error.message().contains("row 5: Q2_0 block 1 (byte 18)"), "{error}");
        let bytes = random_blocks(GgmlType::Q8_0, 128);
        for len in [0, bytes.len() - 1, bytes.len() - 136, bytes.len() + 1, bytes.len() + 136] {
            let bytes: Vec<u8> = bytes.iter().copied().chain([0; 136]).take(len).collect();
            let matrix = build(MatrixBuilder::embedding(GgmlType::Q8_0, ROWS, 128).unwrap(), &bytes, 50);
            assert_eq!(matrix.err().unwrap().code(), ErrorCode::Malformed, "{len}");
        }
        assert_eq!(MatrixBuilder::linear(GgmlType::Q8_0, 1, 33).err().unwrap().code(), ErrorCode::Malformed);
        assert_eq!(MatrixBuilder::embedding(GgmlType::I2S, 1, 128).err().unwrap().code(), ErrorCode::UnsupportedType);
        assert_eq!(
            MatrixBuilder::linear(GgmlType::F32, usize::MAX / 8, 1).err().unwrap().code(),
            ErrorCode::OutOfMemory
        );
    }
}
