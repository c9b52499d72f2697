//! A file that appears under its name only when it is complete.

#![forbid(unsafe_code)]

use crate::error::Result;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes gathered before they are written.
const BUFFER: usize = 1 << 20;

/// Calls `write` with a new file beside `path` and gives it that name if it succeeds. If anything fails, the new file is
/// removed and whatever was at `path` stays.
///
/// # Errors
///
/// `io` naming `path`, and what `write` returns.
pub fn write_whole<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    let failure = |error: std::io::Error| err!(Io, "{}: {error}", path.display());
    if path.is_dir() {
        bail!(Io, "{}: there is a folder of that name", path.display());
    }
    let Some(name) = path.file_name() else {
        bail!(BadOption, "{}: this is not the name of a file", path.display());
    };
    let mut part = std::ffi::OsString::from(".");
    part.push(name);
    part.push(format!(".{}.part", std::process::id()));
    let part = Unfinished { path: path.with_file_name(part) };
    let file = File::create_new(&part.path).map_err(failure)?;
    let mut out = BufWriter::with_capacity(BUFFER, file);
    let result = write(&mut out)?;
    let file = out.into_inner().map_err(|error| failure(error.into_error()))?;
    file.sync_all().and_then(|()| fs::rename(&part.path, path)).map_err(failure)?;
    Ok(result)
}

/// Removes the file when dropped; after the renaming there is nothing to remove.
struct Unfinished {
    path: PathBuf,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It may be gone already; a failure here has nobody to report to.
        let _ = fs::remove_file(&self.path);
    }
}
