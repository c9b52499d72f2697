//! The tensors of a checkpoint: where each lies in which file.
//!
//! Weights come as safetensors or as what `torch.save` writes. Either way a large checkpoint is
//! several files and an index that says which tensor is in which; and either way a tensor is a run
//! of bytes in a file once its headers are read ([`Stored`]), so nothing after this module knows
//! the difference. No weights are read here.

#![forbid(unsafe_code)]

mod archive;
mod pickle;
mod safetensors;
mod torch;

use crate::error::Result;
use crate::files::{Files, text};
use crate::gguf::GgmlType;
use ::safetensors::Dtype;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// A tensor of the checkpoint: its elements lie one after the other, row by row, little-endian.
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

/// What a checkpoint has.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) tensors: Vec<Stored>,
    /// Things the user should know that are not errors.
    pub(super) notices: Vec<String>,
}

/// A way to store tensors.
struct Format {
    /// The file of a checkpoint that is one file.
    single: &'static str,
    /// The index of one that is several.
    index: &'static str,
    endings: &'static [&'static str],
    /// The tensors of one file.
    read: fn(&mut dyn Files, &str) -> Result<Vec<Stored>>,
}

const SAFETENSORS: Format = Format {
    single: "model.safetensors",
    index: "model.safetensors.index.json",
    endings: &[".safetensors"],
    read: safetensors::read,
};

const TORCH: Format = Format {
    single: "pytorch_model.bin",
    index: "pytorch_model.bin.index.json",
    endings: &[".bin", ".pt", ".pth"],
    read: torch::read,
};

/// How the names of files begin that trainers write beside the weights.
const NOT_WEIGHTS: [&str; 7] =
    ["training_args", "optimizer", "scheduler", "scaler", "sampler", "rng_state", "random_states"];

/// Where tensors are.
enum Source<'a> {
    File(&'a str),
    Index,
}

/// Every tensor of the checkpoint.
///
/// # Errors
///
/// `io` without weights, `truncated` when a shard is missing or a file too short, `malformed` when
/// headers, index and sizes contradict one another, `unsupported-type` for what is neither
/// safetensors nor tensors saved by PyTorch.
pub(super) fn weights(files: &mut dyn Files) -> Result<Weights> {
    let names: BTreeSet<String> = files.names().into_iter().collect();
    let mut notices = Vec::new();
    let (format, source) = if let Some(source) = source(&SAFETENSORS, &names)? {
        if let Some(other) = candidates(&TORCH, &names).first() {
            notices.push(format!("the weights are taken from safetensors; {other} is not read"));
        }
        (&SAFETENSORS, source)
    } else if let Some(source) = source(&TORCH, &names)? {
        (&TORCH, source)
    } else {
        bail!(Io, "the checkpoint has no weights: neither {} nor {}", SAFETENSORS.single, TORCH.single);
    };
    let tensors = match source {
        Source::File(name) => read(files, format, name)?,
        Source::Index => sharded(files, format, &names)?,
    };
    Ok(Weights { tensors, notices })
}

/// Runs a pickle as if it came from a file of weights, for [`crate::fuzz`].
#[cfg(any(test, fuzzing))]
pub(crate) fn unpickle(bytes: &[u8]) -> Result<()> {
    pickle::load(bytes).map(drop)
}

/// The files that may hold weights in a format.
fn candidates<'a>(format: &Format, names: &'a BTreeSet<String>) -> Vec<&'a str> {
    let ends = |name: &&str| format.endings.iter().any(|ending| name.ends_with(ending));
    let besides = |name: &&str| NOT_WEIGHTS.iter().any(|start| name.starts_with(start));
    names.iter().map(String::as_str).filter(|name| ends(name) && !besides(name)).collect()
}

fn source<'a>(format: &Format, names: &'a BTreeSet<String>) -> Result<Option<Source<'a>>> {
    if let Some(name) = names.get(format.single) {
        return Ok(Some(Source::File(name)));
    }
    if names.contains(format.index) {
        return Ok(Some(Source::Index));
    }
    match candidates(format, names).as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(Source::File(only))),
        several => bail!(
            Malformed,
            "the checkpoint has {} but no {} that says how they belong together; fetch it, or keep one file only",
            several.join(", "),
            format.index
        ),
    }
}

fn read(files: &mut dyn Files, format: &Format, file: &str) -> Result<Vec<Stored>> {
    let mut start = [0; 8];
    files.read_at(file, 0, &mut start)?;
    if start == *b"version " {
        bail!(Truncated, "{file} is a Git LFS pointer, not the weights; fetch them with `git lfs pull`");
    }
    (format.read)(files, file)
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn sharded(files: &mut dyn Files, format: &Format, names: &BTreeSet<String>) -> Result<Vec<Stored>> {
    let index = format.index;
    let json = text(files, index)?.unwrap_or_default();
    let Index { weight_map } = serde_json::from_str(&json).map_err(|error| err!(Malformed, "{index}: {error}"))?;
    let shards: BTreeSet<&String> = weight_map.values().collect();
    let missing: Vec<&str> =
        shards.iter().filter(|shard| !names.contains(**shard)).map(|shard| shard.as_str()).collect();
    if !missing.is_empty() {
        bail!(
            Truncated,
            "{} of the {} weight files that {index} names are missing: {}",
            missing.len(),
            shards.len(),
            missing.join(", ")
        );
    }
    let mut found: BTreeMap<String, Stored> = BTreeMap::new();
    for shard in shards {
        for tensor in read(files, format, shard)? {
            if let Some(other) = found.insert(tensor.name.clone(), tensor) {
                bail!(Malformed, "tensor {} is in {} and in {shard}", other.name, other.file);
            }
        }
    }
    for (name, shard) in &weight_map {
        if found.get(name).is_none_or(|tensor| tensor.file != *shard) {
            bail!(Malformed, "{index} says that tensor {name} is in {shard}, but it is not");
        }
    }
    Ok(found.into_values().collect())
}

#[cfg(test)]
mod tests;
