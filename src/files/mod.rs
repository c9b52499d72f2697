//! Files that are read in parts, wherever they are.
//!
//! The converter and `inspect` ask for ranges of bytes and never for whole weight files. So a
//! folder on disk ([`Folder`]), `Blob`s that a user dropped on a page (`wasm_api::BlobFiles`) and
//! bytes in memory (a `BTreeMap`) are the same to them.

#![forbid(unsafe_code)]

mod folder;
mod model_files;
mod output;

pub use folder::Folder;
pub use model_files::ModelFiles;
pub use output::write_whole;

use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// The largest file that is read whole. The largest `tokenizer.json` in use have about 30 MB.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Named files that can be read in parts.
pub trait Files {
    /// The names of all files, in no particular order, without folders.
    fn names(&self) -> Vec<String>;

    /// Bytes of the file `name`.
    ///
    /// # Errors
    ///
    /// `io` when there is no such file.
    fn size(&mut self, name: &str) -> Result<u64>;

    /// Fills `buffer` with the bytes of the file `name` from `offset` on.
    ///
    /// # Errors
    ///
    /// `truncated` when the file ends before `buffer` is full, `io` when it cannot be read.
    fn read_at(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<()>;
}

/// Files in memory.
impl Files for BTreeMap<String, Vec<u8>> {
    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }

    fn size(&mut self, name: &str) -> Result<u64> {
        self.get(name).map(|bytes| bytes.len() as u64).ok_or_else(|| absent(name))
    }

    fn read_at(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let bytes = self.get(name).ok_or_else(|| absent(name))?;
        let start = usize::try_from(offset).ok().filter(|start| *start <= bytes.len());
        match start.and_then(|start| bytes[start..].get(..buffer.len())) {
            Some(bytes) => buffer.copy_from_slice(bytes),
            None => return Err(short(name, offset, buffer.len())),
        }
        Ok(())
    }
}

fn absent(name: &str) -> Error {
    err!(Io, "{name}: there is no such file")
}

fn short(name: &str, offset: u64, wanted: usize) -> Error {
    err!(Truncated, "{name} ends before byte {offset} + {wanted}: it is incomplete; download it again")
}

/// The text of the file `name`; `None` when there is no such file.
///
/// # Errors
///
/// `limits` for an outsized file, `malformed` when it is not UTF-8.
pub(crate) fn text(files: &mut dyn Files, name: &str) -> Result<Option<String>> {
    let Some(bytes) = bytes(files, name)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|error| err!(Malformed, "{name} is not UTF-8: {error}"))?;
    Ok(Some(text))
}

/// The bytes of the file `name`; `None` when there is no such file.
///
/// # Errors
///
/// `limits` for an outsized file.
pub(crate) fn bytes(files: &mut dyn Files, name: &str) -> Result<Option<Vec<u8>>> {
    if !files.names().iter().any(|known| known == name) {
        return Ok(None);
    }
    let size = files.size(name)?;
    if size > MAX_FILE_BYTES {
        bail!(Limits, "{name} has {size} bytes, more than the limit of {MAX_FILE_BYTES} for a file beside the weights");
    }
    let mut bytes = vec![0; size as usize];
    files.read_at(name, 0, &mut bytes)?;
    Ok(Some(bytes))
}
