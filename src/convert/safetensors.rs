//! The tensors of a checkpoint: where each lies in which safetensors file.
//!
//! A file is a u64 length, a JSON header of that length, and data; the `safetensors` crate parses the header and checks that the
//! tensors fill the data without gap or overlap and have the sizes their shapes ask for. Large checkpoints are several files and an
//! index that says which tensor is in which. Nothing but headers is read here.

#![forbid(unsafe_code)]

use super::files::{Files, text};
use crate::error::Result;
use crate::gguf::GgmlType;
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The limit of the format itself on the bytes of a header.
const MAX_HEADER_BYTES: u64 = 100_000_000;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// A tensor of the checkpoint.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// Its name in the file.
    pub(super) name: String,
    file: String,
    pub(super) dtype: Dtype,
    /// The slowest dimension first.
    pub(super) shape: Vec<usize>,
    offset: u64,
    pub(super) bytes: u64,
}

impl Stored {
    /// The type of its floats.
    ///
    /// # Errors
    ///
    /// `unsupported-type`, naming the tensor, when it does not hold floats of a kind that is read.
    pub(super) fn floats(&self) -> Result<GgmlType> {
        match self.dtype {
            Dtype::F32 => Ok(GgmlType::F32),
            Dtype::F16 => Ok(GgmlType::F16),
            Dtype::BF16 => Ok(GgmlType::Bf16),
            other => bail!(
                UnsupportedType,
                "tensor {} has type {other:?}; webtern converts F32, F16 and BF16, and U8 where two-bit weights are packed in it",
                self.name
            ),
        }
    }

    /// Fills `buffer` with its bytes from `at` on.
    pub(super) fn read(&self, files: &mut dyn Files, at: u64, buffer: &mut [u8]) -> Result<()> {
        files.read_at(&self.file, self.offset + at, buffer)
    }
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Every tensor of the checkpoint.
///
/// # Errors
///
/// `truncated` when a shard is missing or a file too short, `malformed` when headers, index and sizes contradict one another,
/// `unsupported-type` for checkpoints that are not safetensors.
pub(super) fn tensors(files: &mut dyn Files) -> Result<Vec<Stored>> {
    let names: BTreeSet<String> = files.names().into_iter().collect();
    if names.contains(SINGLE) {
        return read_header(files, SINGLE);
    }
    if names.contains(INDEX) {
        return sharded(files, &names);
    }
    let with = |endings: &[&str]| -> Vec<&str> {
        let ends = |name: &&str| endings.iter().any(|ending| name.ends_with(ending));
        names.iter().map(String::as_str).filter(ends).collect()
    };
    match with(&[".safetensors"]).as_slice() {
        [only] => return read_header(files, only),
        [] => {}
        several => bail!(
            Malformed,
            "the checkpoint has {} but no {INDEX} that says how they belong together; fetch it, or keep one file only",
            several.join(", ")
        ),
    }
    match with(&[".bin", ".pt", ".pth"]).as_slice() {
        [] => bail!(Io, "the checkpoint has no weights: neither {SINGLE} nor {INDEX}"),
        pickled => bail!(
            UnsupportedType,
            "the weights are PyTorch pickles ({}), which webtern does not read; save them as {SINGLE} (`safetensors.torch.save_file`)",
            pickled.join(", ")
        ),
    }
}

fn sharded(files: &mut dyn Files, names: &BTreeSet<String>) -> Result<Vec<Stored>> {
    let json = text(files, INDEX)?.unwrap_or_default();
    let Index { weight_map } = serde_json::from_str(&json).map_err(|error| err!(Malformed, "{INDEX}: {error}"))?;
    let shards: BTreeSet<&String> = weight_map.values().collect();
    let missing: Vec<&str> =
        shards.iter().filter(|shard| !names.contains(**shard)).map(|shard| shard.as_str()).collect();
    if !missing.is_empty() {
        bail!(
            Truncated,
            "{} of the {} weight files that {INDEX} names are missing: {}",
            missing.len(),
            shards.len(),
            missing.join(", ")
        );
    }
    let mut found: BTreeMap<String, Stored> = BTreeMap::new();
    for shard in shards {
        for tensor in read_header(files, shard)? {
            if let Some(other) = found.insert(tensor.name.clone(), tensor) {
                bail!(Malformed, "tensor {} is in {} and in {shard}", other.name, other.file);
            }
        }
    }
    for (name, shard) in &weight_map {
        if found.get(name).is_none_or(|tensor| tensor.file != *shard) {
            bail!(Malformed, "{INDEX} says that tensor {name} is in {shard}, but it is not");
        }
    }
    Ok(found.into_values().collect())
}

fn read_header(files: &mut dyn Files, file: &str) -> Result<Vec<Stored>> {
    let size = files.size(file)?;
    let mut length = [0; 8];
    files.read_at(file, 0, &mut length)?;
    if length == *b"version " {
        bail!(Truncated, "{file} is a Git LFS pointer, not the weights; fetch them with `git lfs pull`");
    }
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES {
        bail!(
            Malformed,
            "{file}: the header would take {length} bytes, above the format's limit of {MAX_HEADER_BYTES}: this is no safetensors file"
        );
    }
    if length > size.saturating_sub(8) {
        bail!(Truncated, "{file}: the header takes {length} bytes, but the file has {size}; fetch it again");
    }
    let mut json = vec![0; length as usize];
    files.read_at(file, 8, &mut json)?;
    let metadata: Metadata =
        serde_json::from_slice(&json).map_err(|error| err!(Malformed, "{file}: the header is damaged: {error}"))?;
    let data = 8 + length;
    let expected = data.saturating_add(metadata.data_len() as u64);
    if size < expected {
        bail!(Truncated, "{file}: its tensors take {expected} bytes, but the file has {size}; fetch it again");
    }
    if size > expected {
        bail!(Malformed, "{file}: its tensors take {expected} bytes, but the file has {size}");
    }
    let stored = |name: String| {
        let info = metadata.info(&name)?;
        let (start, end) = info.data_offsets;
        Some(Stored {
            name,
            file: file.to_owned(),
            dtype: info.dtype,
            shape: info.shape.clone(),
            offset: data + start as u64,
            bytes: (end - start) as u64,
        })
    };
    Ok(metadata.offset_keys().into_iter().filter_map(stored).collect())
}
