//! Atomic writes: a file appears under its name only when it is complete.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Bytes gathered before they are written.
const BUFFER: usize = 1 << 20;

/// Calls `write` with a temporary file in the folder of `path`, and renames that file to `path`
/// when it is complete. On an error the temporary file is removed and whatever was at `path` stays.
///
/// # Errors
///
/// `io` naming `path`, and what `write` returns.
pub fn write_whole<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    // A rename would replace a device or a pipe instead of writing to it.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        bail!(Io, "{}: exists and is not a regular file", path.display());
    }
    let Some(name) = path.file_name() else {
        bail!(BadOption, "{}: not a file name", path.display());
    };
    let mut part = std::ffi::OsString::from(".");
    part.push(name);
    part.push(format!(".{}.part", std::process::id()));
    let part = Unfinished { path: path.with_file_name(part) };
    let file = File::create_new(&part.path).map_err(|error| failure(path, &error))?;
    let mut out = Output { file: BufWriter::with_capacity(BUFFER, file), path };
    let result = write(&mut out)?;
    let file = out.file.into_inner().map_err(|error| failure(path, error.error()))?;
    file.sync_all().and_then(|()| fs::rename(&part.path, path)).map_err(|error| failure(path, &error))?;
    Ok(result)
}

/// What went wrong with `path`, and what to do.
fn failure(path: &Path, error: &io::Error) -> Error {
    let remedy = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; make room or choose another disk",
        ErrorKind::FileTooLarge => "; choose another disk, or raise the limit on the size of files (ulimit -f)",
        ErrorKind::NotFound => "; make the folder first",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "; choose another folder",
        _ => "",
    };
    err!(Io, "{}: {error}{remedy}", path.display())
}

/// A file whose errors say which file and what to do.
struct Output<'a> {
    file: BufWriter<File>,
    path: &'a Path,
}

impl Output<'_> {
    fn explain(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), failure(self.path, error))
    }
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(|error| self.explain(&error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(|error| self.explain(&error))
    }
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
