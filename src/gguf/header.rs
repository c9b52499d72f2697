//! Everything before the data, and whether it can be true.
//!
//! [`Header::new`] looks at the directory as a whole: tensors by offset must be aligned, must not
//! overlap and must end inside the file; names must be unique; and two types whose ids have had
//! several meanings must have the sizes that webtern's reading of them implies:
//!
//! - **`Q2_0`** has an id that an older fork used for blocks of another size: see [`q2_layout`].
//! - **`I2_S`** has an id that other types had before, and exists only in the BitNet fork; it is
//!   taken at its word only in files of that fork, and when the next tensor begins right behind it.

#![forbid(unsafe_code)]

use super::limits::{self, Limits};
use super::metadata::Metadata;
use super::q2_layout;
use super::tensor_info::TensorInfo;
use super::types::GgmlType;
use crate::error::Result;
use std::collections::BTreeMap;

/// The alignment of files that do not have the key `general.alignment`.
const DEFAULT_ALIGNMENT: u64 = 32;

/// `general.file_type` of the BitNet fork's `I2_S` files.
const FILE_TYPE_I2_S: u32 = 40;

/// Metadata and tensor directory of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// The version of the format: 2 or 3.
    pub version: u32,
    /// What offsets of tensors, and the beginning of the data, are multiples of.
    pub alignment: u64,
    /// Where the data begin in the file.
    pub data_offset: u64,
    /// The metadata.
    pub metadata: Metadata,
    /// The tensors in the order of the directory, which need not be that of their bytes.
    pub tensors: Vec<TensorInfo>,
    places: BTreeMap<String, usize>,
    /// Places in `tensors` by offset.
    order: Vec<usize>,
}

impl Header {
    /// Checks the whole of a header that takes `header_bytes` bytes of a file of `file_bytes`
    /// bytes, if that is known.
    pub(super) fn new(
        version: u32,
        metadata: Metadata,
        mut tensors: Vec<TensorInfo>,
        header_bytes: u64,
        file_bytes: Option<u64>,
        limits: &Limits,
    ) -> Result<Self> {
        if let Some((key, _)) = metadata.iter().find(|(key, _)| key.starts_with("prism.hadamard.")) {
            bail!(
                UnsupportedArchitecture,
                "metadata key {key}: the weights of this model are stored rotated (Hadamard), which webtern does not undo; \
                 use a version of the model without rotation"
            );
        }
        let alignment = alignment(&metadata, limits)?;
        let mut places = BTreeMap::new();
        for (place, tensor) in tensors.iter().enumerate() {
            if places.insert(tensor.name.clone(), place).is_some() {
                bail!(Malformed, "two tensors have the name {}", tensor.name);
            }
        }
        let mut order: Vec<usize> = (0..tensors.len()).collect();
        order.sort_by_key(|place| tensors[*place].offset);
        let data_offset = header_bytes.next_multiple_of(alignment);
        let data_bytes = file_bytes.map(|bytes| bytes.saturating_sub(data_offset));
        q2_layout::resolve(&mut tensors, &order, alignment, data_bytes)?;
        let header = Self { version, alignment, data_offset, metadata, tensors, places, order };
        header.check_layout(file_bytes)?;
        Ok(header)
    }

    /// The tensor called `name` and its place in [`Header::tensors`].
    pub fn tensor(&self, name: &str) -> Option<(usize, &TensorInfo)> {
        self.places.get(name).map(|place| (*place, &self.tensors[*place]))
    }

    /// Bytes of all tensors together, without the padding between them.
    pub fn data_bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.bytes).sum()
    }

    /// The tensor whose bytes come after those of `earlier` others.
    pub(super) fn by_offset(&self, earlier: usize) -> Option<(usize, &TensorInfo)> {
        self.order.get(earlier).map(|place| (*place, &self.tensors[*place]))
    }

    /// Where the last tensor ends, counted from `data_offset`.
    pub(super) fn data_end(&self) -> u64 {
        self.order.last().map_or(0, |last| self.tensors[*last].end())
    }

    fn check_layout(&self, file_bytes: Option<u64>) -> Result<()> {
        let data_bytes = file_bytes.map(|bytes| bytes.saturating_sub(self.data_offset));
        let bitnet = self.is_bitnet_fork();
        for (earlier, place) in self.order.iter().enumerate() {
            let tensor = &self.tensors[*place];
            let TensorInfo { name, offset, .. } = tensor;
            if !offset.is_multiple_of(self.alignment) {
                bail!(Malformed, "tensor {name} is at offset {offset}, which is no multiple of {}", self.alignment);
            }
            let next = self.by_offset(earlier + 1).map(|(_, next)| next);
            // Bytes up to the next tensor or, for the last, to the end of the file.
            let room = next.map(|next| next.offset).or(data_bytes).map(|end| end.saturating_sub(*offset));
            let fits = next.is_none_or(|next| next.offset == tensor.end().next_multiple_of(self.alignment));
            if tensor.ty == GgmlType::I2S && !(bitnet && fits) {
                bail!(
                    UnsupportedType,
                    "tensor {name} has type 36, which webtern reads as I2_S of bitnet.cpp, but the file is not one of \
                     bitnet.cpp's or the tensor has another size; use a Q2_0 or TQ2_0 version of the model"
                );
            }
            if let Some(next) = next.filter(|next| next.offset < tensor.end()) {
                bail!(
                    Malformed,
                    "tensors {name} and {} overlap: the first ends at offset {}, the second begins at {}",
                    next.name,
                    tensor.end(),
                    next.offset
                );
            }
            if let Some(file_bytes) = file_bytes.filter(|_| room.is_some_and(|room| room < tensor.bytes)) {
                bail!(
                    Truncated,
                    "tensor {name} ends at byte {} of the file, but the file has only {file_bytes} bytes; it is cut short \
                     or damaged, download it again",
                    self.data_offset.saturating_add(tensor.end())
                );
            }
        }
        Ok(())
    }

    fn is_bitnet_fork(&self) -> bool {
        let architecture = self.metadata.string("general.architecture").ok().flatten();
        let file_type = self.metadata.u32("general.file_type").ok().flatten();
        architecture.is_some_and(|name| name.starts_with("bitnet")) || file_type == Some(FILE_TYPE_I2_S)
    }
}

/// `general.alignment`, or its default.
pub(super) fn alignment(metadata: &Metadata, limits: &Limits) -> Result<u64> {
    let alignment = metadata.u32("general.alignment")?.map_or(DEFAULT_ALIGNMENT, u64::from);
    if !alignment.is_power_of_two() {
        bail!(Malformed, "metadata key general.alignment is {alignment}, which is no power of two");
    }
    limits::within(alignment, limits.max_alignment, "metadata key general.alignment")?;
    Ok(alignment)
}
