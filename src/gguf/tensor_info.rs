//! One entry of the tensor directory, and the checked arithmetic of its size.

#![forbid(unsafe_code)]

use super::limits::{Limits, MAX_BYTES, MAX_DIMS};
use super::types::GgmlType;
use crate::error::Result;

/// What the directory says of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// Its dimensions in ggml's order: `dims[0]` is the fastest, the length of a row. One to four,
    /// none of them zero.
    pub dims: Vec<u64>,
    /// How its weights are stored.
    pub ty: GgmlType,
    /// Where its bytes begin, counted from [`Header::data_offset`](super::Header::data_offset).
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
}

impl TensorInfo {
    /// An entry whose size was checked: one to four dimensions, none zero, rows of whole blocks, no
    /// overflow, and an end within `limits`.
    pub(super) fn new(name: String, dims: Vec<u64>, ty: GgmlType, offset: u64, limits: &Limits) -> Result<Self> {
        if dims.is_empty() || dims.len() > MAX_DIMS {
            bail!(Malformed, "tensor {name} has {} dimensions; 1 to {MAX_DIMS} are possible", dims.len());
        }
        if dims.contains(&0) {
            bail!(Malformed, "tensor {name} has a dimension of zero: {dims:?}");
        }
        let most_bytes = limits.max_data_bytes.min(MAX_BYTES);
        // No type spends less than a bit or more than 4 bytes on a weight, so below this bound no
        // size overflows.
        let most = most_bytes.saturating_mul(8).min(MAX_BYTES);
        let weights = dims.iter().try_fold(1u64, |weights, dim| weights.checked_mul(*dim));
        let Some(weights) = weights.filter(|weights| *weights <= most) else {
            bail!(Limits, "tensor {name} has dimensions {dims:?}, more weights than the limit of {most}");
        };
        let Some(bytes) = ty.tensor_bytes(weights / dims[0], dims[0]) else {
            bail!(
                Malformed,
                "tensor {name} has rows of {} weights, and {ty} stores whole blocks of {} weights",
                dims[0],
                ty.block_len()
            );
        };
        if offset.checked_add(bytes).is_none_or(|end| end > most_bytes) {
            bail!(
                Limits,
                "tensor {name} is {bytes} bytes at offset {offset}, above the limit of {most_bytes} bytes of data"
            );
        }
        Ok(Self { name, dims, ty, offset, bytes })
    }

    /// Weights in a row: `dims[0]`.
    pub fn cols(&self) -> u64 {
        self.dims.first().copied().unwrap_or(1)
    }

    /// Rows: the product of all dimensions but the first.
    pub fn rows(&self) -> u64 {
        self.dims.iter().skip(1).fold(1, |rows, dim| rows.saturating_mul(*dim))
    }

    /// Where its bytes end, counted as [`TensorInfo::offset`].
    pub(super) fn end(&self) -> u64 {
        self.offset + self.bytes
    }
}
