//! Reading the weights of one tensor: floats as they are, or codes and scale of a BitLinear layer.
//!
//! BitNet checkpoints hold a matrix in one of three forms, and taking one for another ruins it
//! without an error:
//!
//! - **Masters**, what training updates: any floats. The layer computes with
//!   [`crate::quant::ternarize`] of them.
//! - **Ternary floats**: the result of that, `{-s, 0, +s}`. Ternarizing them again would shrink the
//!   scale by the share of zeros, so they are recognized and taken as they are.
//! - **Packed**, `transformers`' own: a u8 matrix of a quarter of the rows. Bits `2 i` and up of
//!   byte `(r, c)` are the code (0, 1, 2 for -1, 0, +1) of row `i * rows / 4 + r`, column `c`.
//!   `weight_scale` beside it is the scale or its inverse ([`WeightScale`]).

#![forbid(unsafe_code)]

use super::checkpoint::Stored;
use super::config::WeightScale;
use crate::error::Result;
use crate::files::Files;
use crate::gguf::GgmlType;
use crate::quant::{Ternary, TernaryGroups, dequantize, detect_ternary, quantize, ternarize};
use crate::tensor::try_zeroed;
use safetensors::Dtype;
use serde::Serialize;

/// Weights read at a time.
const CHUNK: usize = 1 << 18;

/// The form a checkpoint holds the weights of a layer in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Full-precision masters of a BitLinear layer, ternarized here.
    Master,
    /// `{-s, 0, +s}` as floats.
    Ternary,
    /// Two-bit codes in bytes, with `weight_scale`.
    Packed,
    /// Floats that are `{-s, 0, +s}` with a scale for each group of columns or each row.
    Groups,
    /// Floats that are not a BitLinear layer's.
    Float,
}

/// Where the rows of a matrix go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowOrder {
    Same,
    /// Checkpoints rotate elements `i` and `i + head_dim / 2` of a head, architecture `llama` of
    /// GGUF elements `2 i` and `2 i + 1`.
    Interleaved {
        head_dim: usize,
    },
}

impl RowOrder {
    /// The row of the file that row `row` of the checkpoint becomes.
    pub(super) fn destination(self, row: usize) -> usize {
        match self {
            Self::Same => row,
            Self::Interleaved { head_dim } => {
                let (head, row) = (row / head_dim, row % head_dim);
                let pairs = head_dim / 2;
                head * head_dim + row % pairs * 2 + row / pairs
            }
        }
    }
}

/// A matrix to read; a vector is a matrix of one column here where its elements have an order.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    pub(super) weight: Stored,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) order: RowOrder,
}

/// How a BitLinear matrix is to be understood.
#[derive(Clone, Debug)]
pub(super) struct BitLinear {
    /// `weight_scale` and which way round it is.
    pub(super) scale: Option<(Stored, WeightScale)>,
    /// Whether floats may be masters.
    pub(super) masters: bool,
}

/// The codes and scales of a matrix that is three-valued in groups.
pub(super) fn groups(files: &mut dyn Files, matrix: &Matrix) -> Result<TernaryGroups> {
    let values = floats(files, matrix)?;
    TernaryGroups::detect(&values, matrix.cols).ok_or_else(|| {
        err!(
            BadOption,
            "tensor {} is not three-valued in groups of 64 columns, as the first layer of this model is; choose a float type",
            matrix.weight.name
        )
    })
}

/// Gives runs of whole rows to `each`, with the place of the first.
fn read_rows(files: &mut dyn Files, matrix: &Matrix, mut each: impl FnMut(usize, &[f32]) -> Result<()>) -> Result<()> {
    let Matrix { weight, rows, cols, .. } = matrix;
    let ty = weight.floats()?;
    let at_once = (CHUNK / cols).clamp(1, *rows);
    let mut bytes = vec![0; at_once * cols * ty.block_bytes()];
    let mut values = try_zeroed(at_once * cols)?;
    for first in (0..*rows).step_by(at_once) {
        let len = (rows - first).min(at_once) * cols;
        let (bytes, values) = (&mut bytes[..len * ty.block_bytes()], &mut values[..len]);
        weight.read(files, (first * cols * ty.block_bytes()) as u64, bytes)?;
        dequantize(ty, bytes, values)?;
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let (row, col) = (first + at / cols, at % cols);
            bail!(
                Malformed,
                "tensor {}: row {row}, column {col} is {}; the checkpoint is damaged or its training diverged",
                weight.name,
                values[at]
            );
        }
        each(first, values)?;
    }
    Ok(())
}

/// The values of a whole matrix in the file's order.
pub(super) fn floats(files: &mut dyn Files, matrix: &Matrix) -> Result<Vec<f32>> {
    let Matrix { rows, cols, order, .. } = *matrix;
    let mut all = try_zeroed(rows * cols)?;
    read_rows(files, matrix, |first, values| {
        for (row, values) in values.chunks_exact(cols).enumerate() {
            all[order.destination(first + row) * cols..][..cols].copy_from_slice(values);
        }
        Ok(())
    })?;
    Ok(all)
}

/// A matrix of floats encoded as `ty`, whose blocks fit its rows, a run of rows at a time.
pub(super) fn encode_floats(files: &mut dyn Files, matrix: &Matrix, ty: GgmlType) -> Result<Vec<u8>> {
    let Matrix { cols, order, .. } = *matrix;
    let row_bytes = cols / ty.block_len() * ty.block_bytes();
    let mut out = vec![0; matrix.rows * row_bytes];
    let mut encoded = Vec::new();
    read_rows(files, matrix, |first, values| {
        encoded.clear();
        quantize(ty, values, &mut encoded)
            .map_err(|error| error.at(format!("tensor {} from row {first}", matrix.weight.name)))?;
        for (row, bytes) in encoded.chunks_exact(row_bytes).enumerate() {
            out[order.destination(first + row) * row_bytes..][..row_bytes].copy_from_slice(bytes);
        }
        Ok(())
    })?;
    Ok(out)
}

/// The codes and the scale of a BitLinear matrix, and what they were in the checkpoint.
pub(super) fn ternary(files: &mut dyn Files, matrix: &Matrix, layer: &BitLinear) -> Result<(Ternary, Origin)> {
    let name = &matrix.weight.name;
    let scale = layer.scale.as_ref().map(|(stored, class)| weight_scale(files, stored, *class)).transpose()?;
    if matrix.weight.dtype == Dtype::U8 {
        let Some(scale) = scale else {
            bail!(Malformed, "tensor {name} is packed, but has no weight_scale beside it");
        };
        return Ok((Ternary { codes: packed_codes(files, matrix)?, scale }, Origin::Packed));
    }
    let values = floats(files, matrix)?;
    if let Some(mut ternary) = detect_ternary(&values) {
        ternary.scale *= scale.unwrap_or(1.0);
        return Ok((ternary, Origin::Ternary));
    }
    if scale.is_some() {
        bail!(Malformed, "tensor {name} has a weight_scale beside it, but is neither packed nor three-valued");
    }
    if !layer.masters {
        bail!(
            BadOption,
            "tensor {name} is not three-valued, as the first layer of this model is; if its weights are the masters of BitLinear layers, say so with --ternarize"
        );
    }
    Ok((ternarize(&values), Origin::Master))
}

fn weight_scale(files: &mut dyn Files, stored: &Stored, class: WeightScale) -> Result<f32> {
    let scalar = Matrix { weight: stored.clone(), rows: 1, cols: 1, order: RowOrder::Same };
    let value = floats(files, &scalar)?[0];
    let scale = match class {
        WeightScale::Multiply => value,
        WeightScale::Divide => 1.0 / value,
    };
    if !(scale.is_finite() && scale > 0.0) {
        bail!(Malformed, "tensor {} is {value}, which gives the weights no scale", stored.name);
    }
    Ok(scale)
}

fn packed_codes(files: &mut dyn Files, matrix: &Matrix) -> Result<Vec<u8>> {
    let Matrix { weight, rows, cols, order } = matrix;
    let mut bytes = vec![0; weight.bytes as usize];
    weight.read(files, 0, &mut bytes)?;
    let quarter = rows.div_ceil(4);
    let mut codes = vec![0; rows * cols];
    for (r, bytes) in bytes.chunks_exact(*cols).enumerate() {
        for field in 0..4 {
            let row = field * quarter + r;
            // Rows beyond the matrix fill up the last quarter.
            if row >= *rows {
                continue;
            }
            let codes = &mut codes[order.destination(row) * cols..][..*cols];
            for (code, byte) in codes.iter_mut().zip(bytes) {
                *code = byte >> (2 * field) & 3;
            }
            if codes.contains(&3) {
                bail!(
                    Malformed,
                    "tensor {}: row {row} has the unused code 3; this is not two-bit packing as transformers writes it",
                    weight.name
                );
            }
        }
    }
    Ok(codes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn rows_go_where_adjacent_rotation_wants_them() {
        // Row 2 i + j of a head in GGUF is row j head_dim / 2 + i of the checkpoint.
        let order = RowOrder::Interleaved { head_dim: 8 };
        for (head, j, i) in (0..3).flat_map(|head| (0..2).flat_map(move |j| (0..4).map(move |i| (head, j, i)))) {
            assert_eq!(order.destination(head * 8 + j * 4 + i), head * 8 + 2 * i + j);
        }
    }
}
