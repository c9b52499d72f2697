//! Safetensors: a u64 length, a JSON header of that length, and data.
//!
//! The `safetensors` crate parses the header and checks that the tensors fill the data without gap
//! or overlap and have the sizes their shapes ask for.

#![forbid(unsafe_code)]

use super::{Files, Stored};
use crate::error::Result;
use safetensors::tensor::Metadata;

/// The limit of the format itself on the bytes of a header.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The tensors of one file.
///
/// # Errors
///
/// `truncated` and `malformed`, for headers that are damaged or do not fit the file; `limits` for
/// files that 32 bits cannot address, where the crate's offsets have no more.
pub(super) fn read(files: &mut dyn Files, file: &str) -> Result<Vec<Stored>> {
    let size = files.size(file)?;
    if usize::try_from(size).is_err() {
        bail!(
            Limits,
            "{file} has {size} bytes, and a page reads files of up to 4 GiB: save the weights in smaller shards (`save_pretrained(..., max_shard_size=\"2GB\")`), or convert them on the command line"
        );
    }
    let mut length = [0; 8];
    files.read_at(file, 0, &mut length)?;
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
