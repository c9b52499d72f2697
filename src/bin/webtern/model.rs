//! What MODEL names: files on disk or in the network, or the model inside this program.

use crate::download::{self, RemoteFile, StoredFiles};
use crate::output::failure;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use webtern::Result;
use webtern::fetch::{Source, catalog};
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
    /// What is downloaded: an address, `hf:` and a repository, or a name of the catalog.
    Remote(String),
}

impl From<OsString> for Model {
    fn from(given: OsString) -> Self {
        match given.to_str() {
            Some(TINY_NAME) => Self::Tiny,
            Some(text) if is_remote(text) => Self::Remote(text.to_owned()),
            _ => Self::File(given.into()),
        }
    }
}

fn is_remote(text: &str) -> bool {
    ["https://", "http://", "hf:"].iter().any(|scheme| text.starts_with(scheme)) || catalog::find(text).is_some()
}

impl Display for Model {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tiny => f.write_str(TINY_NAME),
            Self::File(path) => path.display().fmt(f),
            Self::Remote(text) => f.write_str(text),
        }
    }
}

impl Model {
    /// Where it is downloaded from, if it is.
    pub(crate) fn source(&self) -> Result<Option<Source>> {
        match self {
            Self::Tiny | Self::File(_) => Ok(None),
            Self::Remote(text) => Source::parse(text),
        }
    }

    /// What clients call it: `tiny`, or the name of the file without its ending.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::Tiny => TINY_NAME.to_owned(),
            Self::File(path) => path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            Self::Remote(text) => text.rsplit('/').next().unwrap_or(text).trim_end_matches(".gguf").to_owned(),
        }
    }

    /// Opens every file, to be read from beginning to end.
    pub(crate) fn open(&self) -> Result<Vec<ModelFile>> {
        if let Some(source) = self.source()? {
            let files = download::find(&source)?;
            return files.into_iter().map(|file| Ok(ModelFile::Remote(Box::new(RemoteFile::open(file)?)))).collect();
        }
        match self {
            Self::File(path) => match path.to_str().and_then(SplitName::parse) {
                Some(split) => split.all().map(|path| ModelFile::open(Path::new(&path))).collect(),
                None => Ok(vec![ModelFile::open(path)?]),
            },
            Self::Tiny | Self::Remote(_) => {
                let (name, size) = (TINY_NAME.to_owned(), TINY.len() as u64);
                Ok(vec![ModelFile::Local { name, size, content: Box::new(TINY) }])
            }
        }
    }

    /// The files, to be read in parts, and the name of one. Those of the network are downloaded
    /// first.
    pub(crate) fn files(&self) -> Result<(Box<dyn Files>, String)> {
        if let Some(source) = self.source()? {
            let stored = StoredFiles::open(download::fetch(&source)?)?;
            let name = stored.first().to_owned();
            return Ok((Box::new(stored), name));
        }
        match self {
            Self::File(path) => {
                let (folder, name) = Folder::around(path)?;
                Ok((Box::new(folder), name))
            }
            Self::Tiny | Self::Remote(_) => {
                let name = TINY_NAME.to_owned();
                Ok((Box::new(BTreeMap::from([(name.clone(), TINY.to_vec())])), name))
            }
        }
    }
}

/// An open file of a model.
pub(crate) enum ModelFile {
    /// One that is here.
    Local {
        /// What to call it in messages.
        name: String,
        /// Its bytes.
        size: u64,
        /// Where they come from.
        content: Box<dyn Read>,
    },
    /// One that is downloaded while it is read, or was.
    Remote(Box<RemoteFile>),
}

impl ModelFile {
    fn open(path: &Path) -> Result<Self> {
        let opened = File::open(path).and_then(|file| {
            let metadata = file.metadata()?;
            if metadata.is_dir() { Err(ErrorKind::IsADirectory.into()) } else { Ok((file, metadata.len())) }
        });
        let name = path.display().to_string();
        match opened {
            Ok((file, size)) => Ok(Self::Local { name, size, content: Box::new(file) }),
            Err(error) => Err(failure(&name, &error)),
        }
    }

    /// What to call it in messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Local { name, .. } => name.clone(),
            Self::Remote(file) => file.url().to_owned(),
        }
    }

    /// Bytes, as far as that is known before it is read.
    pub(crate) fn size(&self) -> Option<u64> {
        match self {
            Self::Local { size, .. } => Some(*size),
            Self::Remote(file) => file.size(),
        }
    }

    /// Gives the bytes, and how many there are in all, to `each`, until it wants no more.
    pub(crate) fn read(&mut self, mut each: impl FnMut(&[u8], Option<u64>) -> Result<bool>) -> Result<()> {
        let (name, size, content) = match self {
            Self::Local { name, size, content } => (name, *size, content),
            Self::Remote(file) => return file.read(each),
        };
        let mut buffer = vec![0; CHUNK];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    if !each(&buffer[..count], Some(size))? {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failure(&*name, &error)),
            }
        }
    }
}
