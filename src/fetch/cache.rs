//! The record beside a stored file: what has to hold before its bytes are used.
//!
//! A stored file is cut into blocks of 1 MiB, each with a checksum in the record; a block without
//! one, or with another one, is not there. So nothing depends on how a write ended: a worker killed
//! in the middle of a block, a full disk or a flipped bit cost that block, and only that block is
//! downloaded again.
//!
//! The record is text, one JSON value a line, and only ever appended to; later lines win. A line
//! that was cut off is ignored, together with what it would have said.
//!
//! ```text
//! {"file":{"format":1,"url":"https://...","size":2097153,"etag":"\"abc\"","sha256":null,"created":1764547200}}
//! {"address":"hf:owner/name/model.gguf@main"}       another name that this file was asked for by
//! {"block":[0,"9f86d081884c7d65"]}
//! {"block":[1,"15b0f00a08aa3b82"]}
//! {"block":[2,"0123456789abcdef"]}                  the last block is shorter
//! "complete"                                        all blocks are there, and the sha256 is right where one was known
//! {"used":1764550800}
//! ```

#![forbid(unsafe_code)]

use super::integrity::Checksum;
use super::transfer::Version;
use serde::{Deserialize, Serialize};
use std::io;

/// Bytes of a block.
pub const BLOCK_BYTES: u64 = 1 << 20;

/// The version of the record's format; another one is a record we do not know.
const FORMAT: u32 = 1;

/// The most blocks that a record may speak of: a file of 4 TiB.
const MAX_BLOCKS: usize = 1 << 22;

/// Where one file and its record are kept. Every method may fail, and a download goes on without.
pub trait Store {
    /// Fills `buffer` with the file's bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// When they are not there.
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes bytes of the file at `offset`.
    ///
    /// # Errors
    ///
    /// When there is no room.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// The text of the record; empty where there is none.
    ///
    /// # Errors
    ///
    /// When there is one that cannot be read.
    fn record(&mut self) -> io::Result<String>;

    /// Appends to the record.
    ///
    /// # Errors
    ///
    /// When there is no room.
    fn append(&mut self, text: &str) -> io::Result<()>;

    /// Removes the file and its record, and begins both anew.
    ///
    /// # Errors
    ///
    /// When they cannot be removed.
    fn clear(&mut self) -> io::Result<()>;

    /// Makes sure that all that was written lasts, and gives the file its final name.
    ///
    /// # Errors
    ///
    /// When that is not possible.
    fn complete(&mut self) -> io::Result<()>;
}

/// What the record says.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The address the file came from.
    pub url: String,
    /// Bytes of the file.
    pub size: u64,
    /// The server's name for its version.
    pub etag: Option<String>,
    /// The checksum it was expected to have.
    pub sha256: Option<Checksum>,
    /// When it was begun, in seconds since 1970.
    pub created: u64,
    /// When it was last loaded.
    pub used: u64,
    /// What it was asked for by.
    pub addresses: Vec<String>,
    /// Whether all of it is there and was found to be right.
    pub complete: bool,
    /// The checksum of each block that is there.
    blocks: Vec<Option<u64>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    File(File),
    Address(String),
    Block(usize, String),
    Complete,
    Used(u64),
}

#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    url: String,
    size: u64,
    etag: Option<String>,
    sha256: Option<String>,
    created: u64,
}

impl Record {
    /// The record of a file of which nothing is there yet.
    pub fn new(url: &str, version: &Version, sha256: Option<Checksum>, address: &str, now: u64) -> Option<Self> {
        let size = version.size?;
        let blocks = usize::try_from(size.div_ceil(BLOCK_BYTES)).ok().filter(|blocks| *blocks <= MAX_BLOCKS)?;
        Some(Self {
            url: url.to_owned(),
            size,
            etag: version.etag.clone(),
            sha256,
            created: now,
            used: now,
            addresses: vec![address.to_owned()],
            complete: false,
            blocks: vec![None; blocks],
        })
    }

    /// Reads a record; `None` when the text has no beginning that we know.
    pub fn parse(text: &str) -> Option<Self> {
        let mut record = None;
        // What follows the last line break was cut off.
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            match (serde_json::from_str(line), &mut record) {
                (Ok(Line::File(file)), _) => record = Some(Self::begin(file)?),
                (Ok(line), Some(record)) => record.apply(line),
                _ => {}
            }
        }
        record
    }

    fn begin(file: File) -> Option<Self> {
        if file.format != FORMAT {
            return None;
        }
        let sha256 = file.sha256.map(|text| Checksum::parse(&text)).transpose().ok()?;
        let version = Version { etag: file.etag, size: Some(file.size) };
        let mut record = Self::new(&file.url, &version, sha256, "", file.created)?;
        record.addresses.clear();
        Some(record)
    }

    fn apply(&mut self, line: Line) {
        match line {
            Line::File(_) => {}
            Line::Address(address) => {
                if !self.addresses.contains(&address) {
                    self.addresses.push(address);
                }
            }
            Line::Block(index, checksum) => {
                if let Some(block) = self.blocks.get_mut(index) {
                    *block = u64::from_str_radix(&checksum, 16).ok();
                }
            }
            Line::Complete => self.complete = true,
            Line::Used(when) => self.used = when,
        }
    }

    /// The lines that begin a record.
    pub(super) fn head(&self) -> String {
        let file = Line::File(File {
            format: FORMAT,
            url: self.url.clone(),
            size: self.size,
            etag: self.etag.clone(),
            sha256: self.sha256.map(|sha256| sha256.to_string()),
            created: self.created,
        });
        let addresses = self.addresses.iter().map(|address| line(&Line::Address(address.clone())));
        std::iter::once(line(&file)).chain(addresses).collect()
    }

    /// What to append when block `index` is there.
    pub(super) fn add_block(&mut self, index: usize, checksum: u64) -> String {
        if let Some(block) = self.blocks.get_mut(index) {
            *block = Some(checksum);
        }
        line(&Line::Block(index, format!("{checksum:016x}")))
    }

    /// Block `index` turned out to be damaged.
    pub(super) fn remove_block(&mut self, index: usize) {
        if let Some(block) = self.blocks.get_mut(index) {
            *block = None;
        }
        self.complete = false;
    }

    /// What to append when the file is complete.
    pub(super) fn add_complete(&mut self) -> String {
        self.complete = true;
        line(&Line::Complete)
    }

    /// What to append when the file is loaded, asked for by `address`.
    pub fn add_use(&mut self, address: &str, now: u64) -> String {
        self.used = now;
        let mut text = line(&Line::Used(now));
        if !self.addresses.iter().any(|known| known == address) {
            self.addresses.push(address.to_owned());
            text += &line(&Line::Address(address.to_owned()));
        }
        text
    }

    /// The checksum of block `index`, if it is there.
    pub(super) fn block(&self, index: usize) -> Option<u64> {
        self.blocks.get(index).copied().flatten()
    }

    /// The version it is a copy of.
    pub(super) fn version(&self) -> Version {
        Version { etag: self.etag.clone(), size: Some(self.size) }
    }

    /// Bytes that are there.
    pub fn stored(&self) -> u64 {
        let there = self.blocks.iter().enumerate().filter(|(_, block)| block.is_some());
        there.map(|(index, _)| self.block_range(index)).map(|range| range.end - range.start).sum()
    }

    /// Whether every block is there.
    pub(super) fn is_whole(&self) -> bool {
        self.blocks.iter().all(Option::is_some)
    }

    /// The bytes of block `index`.
    pub(super) fn block_range(&self, index: usize) -> std::ops::Range<u64> {
        let start = index as u64 * BLOCK_BYTES;
        start..self.size.min(start + BLOCK_BYTES)
    }

    /// The first bytes from `position` on that are not there, up to the next that are; both are
    /// where blocks begin, or the end of the file (`None`).
    pub(super) fn gap(&self, position: u64) -> Option<(u64, Option<u64>)> {
        let first = (position / BLOCK_BYTES) as usize;
        let start = (first..self.blocks.len()).find(|index| self.blocks[*index].is_none())?;
        let end = (start..self.blocks.len()).find(|index| self.blocks[*index].is_some());
        Some((start as u64 * BLOCK_BYTES, end.map(|end| end as u64 * BLOCK_BYTES)))
    }
}

fn line(line: &Line) -> String {
    let mut text = serde_json::to_string(line).expect("a line of strings and numbers can be written");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    fn record(size: u64) -> Record {
        let version = Version { etag: Some("\"abc\"".into()), size: Some(size) };
        Record::new("https://a.b/c.gguf", &version, Some(Checksum::of(b"x")), "https://a.b/c.gguf", 7).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let mut record = record(2 * BLOCK_BYTES + 1);
        let mut text = record.head();
        for (index, checksum) in [(0, u64::MAX), (2, 1), (1, 0)] {
            text += &record.add_block(index, checksum);
        }
        text += &record.add_complete();
        text += &record.add_use("hf:a/b", 9);
        assert_eq!(Record::parse(&text).unwrap(), record);
        assert_eq!((record.stored(), record.is_whole(), record.used), (2 * BLOCK_BYTES + 1, true, 9));
    }

    /// Cut off anywhere, a record says less, never something else.
    #[test]
    fn a_record_that_was_cut_off_says_less() {
        let mut whole = record(3 * BLOCK_BYTES);
        let mut text = whole.head();
        for index in 0..3 {
            text += &whole.add_block(index, index as u64 + 5);
        }
        text += &whole.add_complete();
        for end in 0..text.len() {
            let Some(cut) = Record::parse(&text[..end]) else { continue };
            assert!(!cut.complete);
            for index in 0..3 {
                assert!(cut.block(index).is_none_or(|checksum| checksum == index as u64 + 5), "{end}");
            }
            // What is appended after a line break stands, whatever the cut left before it.
            let repaired = Record::parse(&format!("{}\n{}", &text[..end], cut.clone().add_block(1, 99))).unwrap();
            assert_eq!(repaired.block(1), Some(99), "{end}");
        }
    }

    #[test]
    fn text_that_is_no_record_is_none() {
        for text in ["", "\n", "{}\n", "\"complete\"\n", "{\"block\":[0,\"ff\"]}\n", "\u{0}\u{0}\n"] {
            assert_eq!(Record::parse(text), None, "{text:?}");
        }
        let other = record(5).head().replace("\"format\":1", "\"format\":2");
        assert_eq!(Record::parse(&other), None);
        let vast = record(5).head().replace("\"size\":5", "\"size\":18446744073709551615");
        assert_eq!(Record::parse(&vast), None);
    }

    #[test]
    fn finds_what_is_missing() {
        let mut record = record(4 * BLOCK_BYTES + 9);
        assert_eq!(record.gap(0), Some((0, None)));
        record.add_block(1, 1);
        record.add_block(3, 1);
        assert_eq!(record.gap(0), Some((0, Some(BLOCK_BYTES))));
        assert_eq!(record.gap(BLOCK_BYTES), Some((2 * BLOCK_BYTES, Some(3 * BLOCK_BYTES))));
        assert_eq!(record.gap(3 * BLOCK_BYTES), Some((4 * BLOCK_BYTES, None)));
        record.add_block(4, 1);
        assert_eq!(record.gap(3 * BLOCK_BYTES), None);
        assert_eq!(record.block_range(4), 4 * BLOCK_BYTES..4 * BLOCK_BYTES + 9);
    }
}
