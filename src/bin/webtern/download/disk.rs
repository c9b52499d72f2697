//! The cache: a folder with a file and a record for each download.
//!
//! `KEY.gguf` is a complete file, `KEY.part` one that is not, `KEY.json` the record of either. KEY
//! is the file's sha256 where that was known, else that of its address. Whoever has a file in hand
//! holds a lock on its record: of two programs that want the same model one downloads, and the
//! other reads what it stored.

use crate::output::failure;
use etcetera::{BaseStrategy, choose_base_strategy};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use webtern::fetch::hub::Repo;
use webtern::fetch::{Record, Remote, Store};
use webtern::files::Files;
use webtern::{Error, ErrorCode, Result};

/// Names the folder, where the usual one is not wanted.
const VARIABLE: &str = "WEBTERN_CACHE";

/// The folder.
pub(crate) struct Cache {
    folder: PathBuf,
}

/// A file in the folder.
pub(crate) struct Kept {
    /// What it is called by.
    pub(crate) key: String,
    /// What is known of it.
    pub(crate) record: Record,
    /// Where its bytes are.
    pub(crate) path: PathBuf,
}

impl Cache {
    /// The folder that the environment names, else `webtern/models` in the system's folder of
    /// caches. It is made when something is stored.
    pub(crate) fn open() -> Result<Self> {
        let given = std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let usual = || choose_base_strategy().ok().map(|base| base.cache_dir().join("webtern").join("models"));
        let folder = given.or_else(usual);
        folder.map(|folder| Self { folder }).ok_or_else(|| {
            Error::new(ErrorCode::Io, format!("there is no folder for caches here: name one in {VARIABLE}"))
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes the file called `key`, waiting for another program that has it.
    pub(crate) fn store(&self, key: &str) -> Result<DiskStore> {
        let place = self.folder.display();
        fs::create_dir_all(&self.folder).map_err(|error| failure(place, &error))?;
        DiskStore::open(&self.folder, key).map_err(|error| failure(self.folder.join(key).display(), &error))
    }

    /// Everything that is stored, complete or not.
    pub(crate) fn entries(&self) -> Vec<Kept> {
        let Ok(files) = fs::read_dir(&self.folder) else { return Vec::new() };
        let keys = files.filter_map(|file| {
            let name = file.ok()?.file_name().into_string().ok()?;
            name.strip_suffix(".json").map(str::to_owned)
        });
        let mut entries: Vec<Kept> = keys.filter_map(|key| self.entry(&key)).collect();
        entries.sort_by(|a, b| b.record.used.cmp(&a.record.used).then_with(|| a.key.cmp(&b.key)));
        entries
    }

    /// The file called `key`.
    pub(crate) fn entry(&self, key: &str) -> Option<Kept> {
        let text = fs::read_to_string(self.folder.join(format!("{key}.json"))).ok()?;
        let record = Record::parse(&text)?;
        let path = self.folder.join(format!("{key}.{}", if record.complete { "gguf" } else { "part" }));
        Some(Kept { key: key.to_owned(), record, path })
    }

    /// The complete files of a model that was downloaded from `repo` before.
    pub(crate) fn find_repo(&self, repo: &Repo) -> Option<Vec<Remote>> {
        let records: Vec<Record> = self.entries().into_iter().map(|entry| entry.record).collect();
        repo.stored(&records)
    }

    /// Removes a file, unless a program has it in hand.
    pub(crate) fn remove(&self, key: &str) -> Result<()> {
        let failed = |error: &io::Error| failure(self.folder.join(key).display(), error);
        let record = self.folder.join(format!("{key}.json"));
        let lock = OpenOptions::new().append(true).open(&record).map_err(|error| failed(&error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(ErrorCode::Io, format!("{key} is in use by another program: end that first")));
            }
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        for path in [self.folder.join(format!("{key}.gguf")), self.folder.join(format!("{key}.part")), record] {
            remove_if_there(&path).map_err(|error| failed(&error))?;
        }
        Ok(())
    }
}

/// Files of the cache under the names they had where they came from, to be read in parts.
pub(crate) struct StoredFiles {
    first: String,
    files: BTreeMap<String, File>,
}

impl StoredFiles {
    /// Opens the files of one model.
    pub(crate) fn open(kept: Vec<Kept>) -> Result<Self> {
        let open = |kept: &Kept| {
            let url = kept.record.url.split(['?', '#']).next().unwrap_or_default();
            let name = url.rsplit('/').next().unwrap_or_default().to_owned();
            let file = File::open(&kept.path).map_err(|error| failure(kept.path.display(), &error))?;
            Ok((name, file))
        };
        let files: Vec<(String, File)> = kept.iter().map(open).collect::<Result<_>>()?;
        let first = files.first().map_or_else(String::new, |(name, _)| name.clone());
        Ok(Self { first, files: files.into_iter().collect() })
    }

    /// The name of the first.
    pub(crate) fn first(&self) -> &str {
        &self.first
    }

    fn file(&mut self, name: &str) -> Result<&mut File> {
        let missing = || Error::new(ErrorCode::Io, format!("{name}: there is no such file"));
        self.files.get_mut(name).ok_or_else(missing)
    }
}

impl Files for StoredFiles {
    fn names(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    fn size(&mut self, name: &str) -> Result<u64> {
        let metadata = self.file(name)?.metadata();
        metadata.map(|metadata| metadata.len()).map_err(|error| failure(name, &error))
    }

    fn read_at(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let file = self.file(name)?;
        let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(buffer));
        read.map_err(|error| failure(name, &error))
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A file of the cache, in hand.
pub(crate) struct DiskStore {
    part: PathBuf,
    whole: PathBuf,
    record: File,
    data: Option<File>,
}

impl DiskStore {
    fn open(folder: &Path, key: &str) -> io::Result<Self> {
        let record =
            OpenOptions::new().read(true).append(true).create(true).open(folder.join(format!("{key}.json")))?;
        match record.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("webtern: another program has this model in hand; waiting for it");
                record.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let (part, whole) = (folder.join(format!("{key}.part")), folder.join(format!("{key}.gguf")));
        Ok(Self { part, whole, record, data: None })
    }

    fn data(&mut self) -> io::Result<&mut File> {
        if self.data.is_none() {
            let path = if self.whole.exists() { &self.whole } else { &self.part };
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            self.data = Some(file);
        }
        self.data.as_mut().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Store for DiskStore {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let data = self.data()?;
        data.seek(SeekFrom::Start(offset))?;
        data.read_exact(buffer)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let data = self.data()?;
        data.seek(SeekFrom::Start(offset))?;
        data.write_all(bytes)
    }

    fn record(&mut self) -> io::Result<String> {
        let mut text = Vec::new();
        self.record.seek(SeekFrom::Start(0))?;
        self.record.read_to_end(&mut text)?;
        // A write that was cut off may have left anything behind.
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn append(&mut self, text: &str) -> io::Result<()> {
        self.record.write_all(text.as_bytes())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.data = None;
        self.record.set_len(0)?;
        remove_if_there(&self.whole)?;
        remove_if_there(&self.part)
    }

    fn complete(&mut self) -> io::Result<()> {
        self.data()?.sync_data()?;
        if !self.whole.exists() {
            fs::rename(&self.part, &self.whole)?;
        }
        Ok(())
    }
}
