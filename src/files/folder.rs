//! Files of a folder on disk.

#![forbid(unsafe_code)]

use super::{Files, absent, short};
use crate::error::{Error, Result};
use crate::gguf::split::SplitName;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

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
        let entries = fs::read_dir(path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let entries = entries.map_err(|error| failure(&path.display().to_string(), error))?;
        // Caches of Hugging Face keep links to the files, so ask what an entry leads to.
        let files = entries.iter().filter(|entry| fs::metadata(entry.path()).is_ok_and(|found| found.is_file()));
        let names = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        Ok(Self { path: path.to_owned(), names, open: HashMap::new() })
    }

    /// The folder that holds the file at `path`, and the file's name. The folder lists this file
    /// only, or all files of the split model that it belongs to.
    ///
    /// # Errors
    ///
    /// `bad-option` when `path` ends in no name.
    pub fn around(path: &Path) -> Result<(Self, String)> {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            bail!(BadOption, "{}: not a file name", path.display());
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
            let file = File::open(self.path.join(name)).map_err(|error| failure(name, error))?;
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
        metadata.map(|metadata| metadata.len()).map_err(|error| failure(name, error))
    }

    fn read_at(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let file = self.file(name)?;
        let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(buffer));
        read.map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => short(name, offset, buffer.len()),
            _ => failure(name, error),
        })
    }
}

fn failure(name: &str, error: io::Error) -> Error {
    err!(Io, "{name}: {error}").caused_by(error)
}
