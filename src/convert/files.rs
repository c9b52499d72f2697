//! The files of a checkpoint, wherever they are.
//!
//! The converter asks for ranges of bytes and never for whole weight files, so that a folder on disk, `Blob`s a user dropped on a
//! page and bytes in memory are all the same to it.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::gguf::split::SplitName;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes of a file beside the weights that are read at most: the largest `tokenizer.json` in use have some 30 MB.
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

/// The files of a folder on disk.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    names: Vec<String>,
    open: HashMap<String, File>,
}

impl Folder {
    /// Lists the folder at `path`.
    ///
    /// # Errors
    ///
    /// `io` when it is not a folder that can be read.
    pub fn open(path: &Path) -> Result<Self> {
        let entries = fs::read_dir(path).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
        let entries = entries.map_err(|error| failure(&path.display().to_string(), &error))?;
        // Caches of Hugging Face keep links to the files, so ask what an entry leads to.
        let files = entries.iter().filter(|entry| fs::metadata(entry.path()).is_ok_and(|found| found.is_file()));
        let names = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        Ok(Self { path: path.to_owned(), names, open: HashMap::new() })
    }

    /// The folder around the file at `path`, and the file's name. For names the folder only has this file or, when it is one file
    /// of a split model, all of them.
    ///
    /// # Errors
    ///
    /// `bad-option` when `path` ends in no name.
    pub fn around(path: &Path) -> Result<(Self, String)> {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            bail!(BadOption, "{}: this is not the name of a file", path.display());
        };
        let names = SplitName::parse(name).map_or_else(|| vec![name.to_owned()], |split| split.all().collect());
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok((Self { path: folder, names, open: HashMap::new() }, name.to_owned()))
    }

    fn file(&mut self, name: &str) -> Result<&mut File> {
        if !self.open.contains_key(name) {
            if !self.names.iter().any(|known| known == name) {
                return Err(absent(name));
            }
            let file = File::open(self.path.join(name)).map_err(|error| failure(name, &error))?;
            self.open.insert(name.to_owned(), file);
        }
        self.open.get_mut(name).ok_or_else(|| absent(name))
    }
}

impl Files for Folder {
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn size(&mut self, name: &str) -> Result<u64> {
        let metadata = self.file(name)?.metadata();
        metadata.map(|metadata| metadata.len()).map_err(|error| failure(name, &error))
    }

    fn read_at(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let file = self.file(name)?;
        let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(buffer));
        read.map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => short(name, offset, buffer.len()),
            _ => failure(name, &error),
        })
    }
}

fn failure(name: &str, error: &std::io::Error) -> Error {
    err!(Io, "{name}: {error}")
}

fn absent(name: &str) -> Error {
    err!(Io, "{name}: there is no such file")
}

fn short(name: &str, offset: u64, wanted: usize) -> Error {
    err!(Truncated, "{name}: {wanted} bytes from byte {offset} are wanted, but the file ends before; fetch it again")
}

/// The text of the file `name`; `None` when there is no such file.
///
/// # Errors
///
/// `limits` for an outsized file, `malformed` when it is not UTF-8.
pub(super) fn text(files: &mut dyn Files, name: &str) -> Result<Option<String>> {
    let Some(bytes) = bytes(files, name)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|error| err!(Malformed, "{name} is not UTF-8: {error}"))?;
    Ok(Some(text))
}

/// The bytes of the file `name`; `None` when there is no such file.
///
/// # Errors
///
/// `limits` for an outsized file.
pub(super) fn bytes(files: &mut dyn Files, name: &str) -> Result<Option<Vec<u8>>> {
    if !files.names().iter().any(|known| known == name) {
        return Ok(None);
    }
    let size = files.size(name)?;
    if size > MAX_FILE_BYTES {
        bail!(Limits, "{name} has {size} bytes; at most {MAX_FILE_BYTES} are read of such a file");
    }
    let mut bytes = vec![0; size as usize];
    files.read_at(name, 0, &mut bytes)?;
    Ok(Some(bytes))
}
