//! What a file may ask for: every cap by name, with its reason.
//!
//! The caps keep a hostile or damaged file from costing memory or time before anything else
//! notices. They are far above what any published model needs.

#![forbid(unsafe_code)]

use crate::error::Result;

/// Metadata pairs. Published files have fewer than a hundred.
const MAX_METADATA_PAIRS: u64 = 1 << 16;

/// Tensors. The largest published models, mixtures of experts, have a few thousand.
const MAX_TENSORS: u64 = 1 << 16;

/// Bytes of a metadata key: the format's own rule.
const MAX_KEY_BYTES: u64 = (1 << 16) - 1;

/// Bytes of a tensor's name. ggml holds 63; some of its forks hold 255.
const MAX_NAME_BYTES: u64 = 255;

/// Bytes of one metadata string. The longest in the wild is a whole `tokenizer.json`, some tens of
/// megabytes.
const MAX_STRING_BYTES: u64 = 64 << 20;

/// Elements of one metadata array. The longest in the wild are merge lists, below a million.
const MAX_ARRAY_LEN: u64 = 1 << 24;

/// Arrays inside arrays, counting the outermost. Nobody writes more than two.
const MAX_ARRAY_DEPTH: u64 = 4;

/// Bytes before the data: what bounds the memory of the header when the length of the file is
/// unknown. Metadata in memory takes about four times its size in the file in the worst case,
/// arrays of empty strings or arrays.
const MAX_HEADER_BYTES: u64 = 256 << 20;

/// `general.alignment`: the largest page size in use.
const MAX_ALIGNMENT: u64 = 1 << 16;

/// Bytes of tensor data in one file: beyond every published model, and far from where sums would
/// overflow.
const MAX_DATA_BYTES: u64 = 1 << 42;

/// Where the limits in bytes end, so that sums of offsets cannot overflow.
pub(super) const MAX_BYTES: u64 = 1 << 60;

/// Dimensions of a tensor (`GGML_MAX_DIMS`). Part of the format, so not a field of [`Limits`].
pub(super) const MAX_DIMS: usize = 4;

/// The caps a [`Decoder`](super::Decoder) holds a file to. [`Limits::default`] suits every
/// published model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Metadata pairs.
    pub max_metadata_pairs: u64,
    /// Tensors.
    pub max_tensors: u64,
    /// Bytes of a metadata key.
    pub max_key_bytes: u64,
    /// Bytes of a tensor's name.
    pub max_name_bytes: u64,
    /// Bytes of one metadata string.
    pub max_string_bytes: u64,
    /// Elements of one metadata array.
    pub max_array_len: u64,
    /// Arrays inside arrays, counting the outermost.
    pub max_array_depth: u64,
    /// Bytes before the data; more than 2^60 counts as 2^60.
    pub max_header_bytes: u64,
    /// `general.alignment`, in bytes.
    pub max_alignment: u64,
    /// Bytes of tensor data, the gaps between tensors included; more than 2^60 counts as 2^60.
    pub max_data_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_metadata_pairs: MAX_METADATA_PAIRS,
            max_tensors: MAX_TENSORS,
            max_key_bytes: MAX_KEY_BYTES,
            max_name_bytes: MAX_NAME_BYTES,
            max_string_bytes: MAX_STRING_BYTES,
            max_array_len: MAX_ARRAY_LEN,
            max_array_depth: MAX_ARRAY_DEPTH,
            max_header_bytes: MAX_HEADER_BYTES,
            max_alignment: MAX_ALIGNMENT,
            max_data_bytes: MAX_DATA_BYTES,
        }
    }
}

/// Refuses `value`, which is `what`, above `limit`.
pub(super) fn within(value: u64, limit: u64, what: &str) -> Result<()> {
    if value > limit {
        bail!(Limits, "{what} is {value}, above the limit of {limit}; the file is damaged or not a model");
    }
    Ok(())
}
