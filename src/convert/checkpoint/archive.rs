//! The zip archive that `torch.save` writes, with nothing compressed: `NAME/data.pkl`, and
//! `NAME/data/KEY` for each storage.
//!
//! The `rawzip` crate reads the archive's directory from ranges of the file. An entry is a range of
//! bytes too, so tensors are read from the file directly.

#![forbid(unsafe_code)]

use super::Files;
use crate::error::{Error, Result};
use rawzip::{
    CompressionMethod, ErrorKind, MAX_CENTRAL_DIRECTORY_RECORD_SIZE, ReaderAt, ZipArchive, ZipArchiveEntryWayfinder,
    ZipLocator,
};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::ops::Range;

/// Bytes of an archive's directory. A storage takes less than a hundred.
const MAX_DIRECTORY_BYTES: u64 = 16 << 20;

const PICKLE: &[u8] = b"/data.pkl";

/// An archive whose directory has been read.
pub(super) struct Archive<'a> {
    zip: ZipArchive<Window<'a>>,
    entries: HashMap<Vec<u8>, ZipArchiveEntryWayfinder>,
    /// The folder around all entries, with its slash.
    folder: Vec<u8>,
}

impl<'a> Archive<'a> {
    /// Reads the directory of `file`.
    ///
    /// # Errors
    ///
    /// `unsupported-type` for what is no archive of `torch.save` or is compressed, `truncated`,
    /// `malformed` and `limits` for damaged ones.
    pub(super) fn open(files: &'a mut dyn Files, file: &'a str) -> Result<Self> {
        let mut start = [0; 2];
        files.read_at(file, 0, &mut start)?;
        match start {
            [b'P', b'K'] => {}
            [0x80, _] => bail!(
                UnsupportedType,
                "{file} is a bare pickle, as PyTorch before 1.6 wrote; load it with a later one and save it again: `torch.save(torch.load(\"{file}\"), \"{file}\")`"
            ),
            _ => bail!(UnsupportedType, "{file} is not an archive that `torch.save` writes"),
        }
        let size = files.size(file)?;
        let window = Window { files: RefCell::new(files), file, size };
        let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
        let located = ZipLocator::new().locate_in_reader(window, &mut buffer, size);
        let zip = located.map_err(|(_, error)| damage(file, error))?;
        if zip.eocd_offset().saturating_sub(zip.directory_offset()) > MAX_DIRECTORY_BYTES {
            bail!(Limits, "{file}: the archive's directory takes more than {MAX_DIRECTORY_BYTES} bytes");
        }
        let mut entries = HashMap::new();
        let mut records = zip.entries(&mut buffer);
        while let Some(record) = records.next_entry().map_err(|error| damage(file, error))? {
            let path = record.file_path();
            let name = String::from_utf8_lossy(path.as_ref());
            if record.compression_method() != CompressionMethod::STORE || record.flags().is_encrypted() {
                bail!(
                    UnsupportedType,
                    "{file}: {name} is compressed or encrypted, which `torch.save` does not do; unpack the archive and save the tensors again"
                );
            }
            if record.compressed_size_hint() != record.uncompressed_size_hint() {
                bail!(Malformed, "{file}: {name} is not compressed, but has two sizes");
            }
            if entries.insert(path.as_ref().to_vec(), record.wayfinder()).is_some() {
                bail!(Malformed, "{file}: {name} is twice in the archive");
            }
        }
        let mut pickles = entries.keys().filter_map(|path| path.strip_suffix(PICKLE));
        let folder = match (pickles.next(), pickles.next()) {
            (Some(folder), None) => [folder, b"/"].concat(),
            _ => bail!(
                UnsupportedType,
                "{file} is a zip archive, but not one with the data.pkl that `torch.save` writes"
            ),
        };
        Ok(Self { zip, entries, folder })
    }

    /// Where the bytes of the entry `name` lie in the file; `None` when there is no such entry.
    ///
    /// # Errors
    ///
    /// `malformed` when its header is damaged, `truncated` when the file ends before it does.
    pub(super) fn range(&self, name: &str) -> Result<Option<Range<u64>>> {
        let Window { file, size, .. } = *self.zip.get_ref();
        let Some(place) = self.entries.get(&[&self.folder, name.as_bytes()].concat()) else { return Ok(None) };
        let entry = self.zip.get_entry(*place).map_err(|error| damage(file, error).at(name))?;
        let (start, end) = entry.compressed_data_range();
        if end > size {
            bail!(Truncated, "{file}: {name} ends at byte {end}, but the file has {size}; fetch it again");
        }
        Ok(Some(start..end))
    }

    /// The bytes of the entry `name`, which must not be more than `limit`; `None` when there is no
    /// such entry.
    ///
    /// # Errors
    ///
    /// `limits` when there are more, and those of [`Self::range`].
    pub(super) fn bytes(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let window = self.zip.get_ref();
        let Some(range) = self.range(name)? else { return Ok(None) };
        let size = range.end - range.start;
        if size > limit {
            bail!(Limits, "{}: {name} has {size} bytes; at most {limit} are read", window.file);
        }
        let mut bytes = vec![0; size as usize];
        window.files.borrow_mut().read_at(window.file, range.start, &mut bytes)?;
        Ok(Some(bytes))
    }
}

/// A file as `rawzip` wants to read it.
struct Window<'a> {
    files: RefCell<&'a mut dyn Files>,
    file: &'a str,
    size: u64,
}

impl ReaderAt for Window<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = (buffer.len() as u64).min(self.size.saturating_sub(offset)) as usize;
        if len > 0 {
            self.files.borrow_mut().read_at(self.file, offset, &mut buffer[..len]).map_err(io::Error::other)?;
        }
        Ok(len)
    }
}

/// What `error` says, with our own errors as they were.
fn damage(file: &str, error: rawzip::Error) -> Error {
    match error.into_kind() {
        ErrorKind::IO(error) => {
            error.downcast().unwrap_or_else(|error| err!(Malformed, "{file}: the archive is damaged: {error}"))
        }
        ErrorKind::MissingEndOfCentralDirectory | ErrorKind::Eof => {
            err!(Truncated, "{file}: the archive ends before its directory does; fetch it again")
        }
        kind => err!(Malformed, "{file}: the archive is damaged: {kind}"),
    }
}
