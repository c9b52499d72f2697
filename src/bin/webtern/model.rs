//! What MODEL names: files on disk, or the model inside this program.

use crate::output::failure;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use webtern::Result;
use webtern::files::{Files, Folder};
use webtern::gguf::split::SplitName;

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// The model of `models/tiny`.
const TINY: &[u8] = include_bytes!("../../../models/tiny/tiny.gguf");

/// What names it, as MODEL and in messages.
const TINY_NAME: &str = "tiny";

/// A model, not looked at yet.
#[derive(Clone, Debug)]
pub(crate) enum Model {
    /// The model inside this program.
    Tiny,
    /// The GGUF file at a path; one file of a split model stands for all.
    File(PathBuf),
}

impl From<OsString> for Model {
    fn from(given: OsString) -> Self {
        if given == TINY_NAME { Self::Tiny } else { Self::File(given.into()) }
    }
}

impl Display for Model {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tiny => f.write_str(TINY_NAME),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Model {
    /// Opens every file, to be read from beginning to end.
    pub(crate) fn open(&self) -> Result<Vec<ModelFile>> {
        match self {
            Self::Tiny => {
                Ok(vec![ModelFile { name: TINY_NAME.to_owned(), size: TINY.len() as u64, content: Box::new(TINY) }])
            }
            Self::File(path) => match path.to_str().and_then(SplitName::parse) {
                Some(split) => split.all().map(|path| ModelFile::open(Path::new(&path))).collect(),
                None => Ok(vec![ModelFile::open(path)?]),
            },
        }
    }

    /// The files, to be read in parts, and the name of one.
    pub(crate) fn files(&self) -> Result<(Box<dyn Files>, String)> {
        match self {
            Self::Tiny => {
                let name = TINY_NAME.to_owned();
                Ok((Box::new(BTreeMap::from([(name.clone(), TINY.to_vec())])), name))
            }
            Self::File(path) => {
                let (folder, name) = Folder::around(path)?;
                Ok((Box::new(folder), name))
            }
        }
    }
}

/// An open file of a model.
pub(crate) struct ModelFile {
    /// What to call it in messages.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) size: u64,
    content: Box<dyn Read>,
}

impl ModelFile {
    fn open(path: &Path) -> Result<Self> {
        let opened = File::open(path).and_then(|file| {
            let metadata = file.metadata()?;
            if metadata.is_dir() { Err(ErrorKind::IsADirectory.into()) } else { Ok((file, metadata.len())) }
        });
        let name = path.display().to_string();
        match opened {
            Ok((file, size)) => Ok(Self { name, size, content: Box::new(file) }),
            Err(error) => Err(failure(&name, &error)),
        }
    }

    /// Gives the bytes to `each`, until it wants no more.
    pub(crate) fn read(&mut self, mut each: impl FnMut(&[u8]) -> Result<bool>) -> Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            match self.content.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    if !each(&buffer[..count])? {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failure(&self.name, &error)),
            }
        }
    }
}
