//! Tensors saved by `torch.save`: a pickle that describes them, and their storages, in an archive.
//!
//! Trainers save weights in company:
//! `{"model_state_dict": {...}, "optimizer_state_dict": {...}, "epoch": 3}`. The weights are looked
//! for under the usual keys, also one inside the other; what is beside them is passed over.

#![forbid(unsafe_code)]

use super::archive::Archive;
use super::pickle::{self, Heap, Pickle, Tensor, Value, element_bytes};
use super::{Files, Stored};
use crate::error::Result;

/// Bytes of a pickle. A tensor takes some hundred.
const MAX_PICKLE_BYTES: u64 = 32 << 20;

/// Keys that weights are under.
const WRAPPERS: [&str; 4] = ["model_state_dict", "state_dict", "model", "module"];

/// How many such keys may lead to the weights.
const MAX_WRAPPERS: usize = 4;

/// The tensors of one file.
///
/// # Errors
///
/// `unsupported-type` for files that are not of this form, for pickles that ask for more than
/// tensors, and for tensors whose rows are not together; `malformed`, `truncated` and `limits` for
/// damaged files.
pub(super) fn read(files: &mut dyn Files, file: &str) -> Result<Vec<Stored>> {
    let archive = Archive::open(files, file)?;
    match archive.bytes("byteorder", 16)? {
        None => {}
        Some(order) if order == b"little" => {}
        Some(order) => bail!(
            UnsupportedType,
            "{file} was written on a machine with the byte order {}; save it again on a little-endian one",
            String::from_utf8_lossy(&order)
        ),
    }
    let bytes = archive.bytes("data.pkl", MAX_PICKLE_BYTES)?.unwrap_or_default();
    let Pickle { value, heap } = pickle::load(&bytes).map_err(|error| error.at(file))?;
    let weights = weights(&heap, value).map_err(|error| error.at(file))?;
    let tensors = weights.iter().filter_map(|(name, value)| Some((name, heap.tensor(*value)?)));
    tensors.map(|(name, tensor)| stored(&archive, file, name, tensor)).collect()
}

/// The entries that are weights.
fn weights<'h, 'a>(heap: &'h Heap<'a>, value: Value<'a>) -> Result<&'h [(&'a str, Value<'a>)]> {
    let mut value = value;
    for _ in 0..=MAX_WRAPPERS {
        let Some(entries) = heap.dict(value) else {
            bail!(UnsupportedType, "the file holds no dictionary of tensors; save `model.state_dict()`");
        };
        let wrapped = |(key, inner): &&(&str, Value)| WRAPPERS.contains(key) && heap.dict(*inner).is_some();
        match entries.iter().filter(wrapped).collect::<Vec<_>>().as_slice() {
            [(_, inner)] => value = *inner,
            [] if entries.iter().any(|(_, value)| heap.tensor(*value).is_some()) => return Ok(entries),
            [] => {
                let keys: Vec<&str> = entries.iter().take(20).map(|(key, _)| *key).collect();
                bail!(
                    UnsupportedType,
                    "the file has no tensors, also not under {}, but {}; save `model.state_dict()`",
                    WRAPPERS.join(", "),
                    if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") }
                );
            }
            several => {
                let keys: Vec<&str> = several.iter().map(|(key, _)| *key).collect();
                bail!(UnsupportedType, "the file has weights under {}; save those that are wanted", keys.join(" and "));
            }
        }
    }
    bail!(Limits, "the weights are under more than {MAX_WRAPPERS} keys; save `model.state_dict()`")
}

fn stored(archive: &Archive, file: &str, name: &str, tensor: &Tensor) -> Result<Stored> {
    let Tensor { storage, dtype, offset, shape, strides } = tensor;
    if !row_by_row(shape, strides) {
        bail!(
            UnsupportedType,
            "{file}: tensor {name} of shape {shape:?} is stored with strides {strides:?}, not row by row; load the file in PyTorch and save the tensor's `.contiguous()`"
        );
    }
    let entry = format!("data/{}", storage.key);
    let Some(range) = archive.range(&entry)? else {
        bail!(Truncated, "{file}: tensor {name} is in {entry:.50}, which is not in the archive");
    };
    if range.end - range.start != storage.bytes {
        bail!(
            Malformed,
            "{file}: {entry:.50} has {} bytes, but the pickle says {}",
            range.end - range.start,
            storage.bytes
        );
    }
    let element = element_bytes(*dtype);
    let count = shape.iter().try_fold(1u64, |count, &size| count.checked_mul(size as u64));
    let bytes = count.and_then(|count| count.checked_mul(element));
    let start = offset.checked_mul(element);
    match (bytes, start.zip(bytes).and_then(|(start, bytes)| start.checked_add(bytes))) {
        (Some(bytes), Some(end)) if end <= storage.bytes => Ok(Stored {
            name: name.to_owned(),
            file: file.to_owned(),
            dtype: *dtype,
            shape: shape.clone(),
            offset: range.start + offset * element,
            bytes,
        }),
        _ => bail!(
            Malformed,
            "{file}: tensor {name} of shape {shape:?} and type {dtype:?} from element {offset} on is beyond its storage of {} bytes",
            storage.bytes
        ),
    }
}

/// Whether elements lie one after the other. The stride of a dimension of one index means nothing.
fn row_by_row(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1usize;
    for (&size, &stride) in shape.iter().zip(strides).rev() {
        if size != 1 && stride != expected {
            return shape.contains(&0);
        }
        expected = expected.saturating_mul(size);
    }
    true
}
