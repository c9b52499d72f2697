//! One file on its way to a consumer: from a store as far as it is there, over the network as far
//! as it is not.
//!
//! The bytes reach the consumer in order and once. Those from the network are stored on the way,
//! those from the store are checked block by block before they are passed on; a block that is
//! missing or damaged is asked for with a range of its own. A store that fails is left out from
//! then on: the file still arrives, and [`Download::notices`] says why it was not kept. The store
//! of a file whose checksum turns out wrong is cleared, and the download ends in an error.
//!
//! A stored copy of an address that may come to mean another file is used once the server has said
//! that it has not changed (`ETag` and size), or cannot be reached.

#![forbid(unsafe_code)]

use super::cache::{BLOCK_BYTES, Record, Store};
use super::http::Response;
use super::integrity::{RunningBlock, RunningChecksum, block_checksum};
use super::source::Remote;
use super::transfer::{Need, Policy, Request, Transfer, Verdict};
use crate::error::{Error, Result};
use std::io;

/// What a download does with stored copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheMode {
    /// Uses them, and makes them.
    #[default]
    Auto,
    /// Neither.
    Off,
    /// Uses nothing else: no request is made.
    Only,
}

/// What a download needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A response to this request: [`Download::respond`] or [`Download::fail`].
    Request(Request),
    /// More of the body: [`Download::receive`], [`Download::end`] or [`Download::fail`].
    Receive,
    /// That many milliseconds to pass: [`Download::waited`].
    Wait(u64),
    /// A block to be read: [`Download::read_stored`].
    Stored,
    /// Nothing.
    Done,
}

/// What takes the bytes of a file.
pub type Consumer<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

/// One file being downloaded. See the module documentation.
pub struct Download<S> {
    transfer: Transfer,
    mode: CacheMode,
    store: Option<S>,
    /// What the store has. Without a store, nothing.
    record: Option<Record>,
    /// Whether the record may be believed without asking the server.
    trusted: bool,
    /// What the consumer has.
    position: u64,
    /// Over all that the consumer has, where a checksum is expected.
    sha256: Option<RunningChecksum>,
    /// Over what the consumer has of the current block.
    block: RunningBlock,
    /// Stored blocks that were damaged, and what their checksums have to be when they are repaired.
    damaged: Vec<(usize, u64)>,
    /// Bytes that came over the network.
    received: u64,
    buffer: Vec<u8>,
    finished: bool,
    now: u64,
    notices: Vec<String>,
}

impl<S: Store> Download<S> {
    /// A download of `remote`, which keeps it in `store`. `now` is in seconds since 1970.
    ///
    /// # Errors
    ///
    /// `network` when only stored copies may be used and there is none that is complete.
    pub fn new(remote: Remote, policy: Policy, mode: CacheMode, store: Option<S>, now: u64) -> Result<Self> {
        let mut download = Self {
            trusted: remote.pinned || mode == CacheMode::Only,
            sha256: remote.sha256.map(|_| RunningChecksum::default()),
            transfer: Transfer::new(remote, policy),
            mode,
            store: store.filter(|_| mode != CacheMode::Off),
            record: None,
            position: 0,
            block: RunningBlock::default(),
            damaged: Vec::new(),
            received: 0,
            buffer: Vec::new(),
            finished: false,
            now,
            notices: Vec::new(),
        };
        download.open();
        if mode == CacheMode::Only && !download.record.as_ref().is_some_and(|record| record.complete) {
            let remote = download.transfer.remote();
            let there = download.record.as_ref().map_or(0, Record::stored);
            bail!(
                Network,
                "{} is not in the cache ({there} bytes of it are), and no request was to be made: load it once with the \
                 network",
                remote.url
            );
        }
        download.plan();
        Ok(download)
    }

    /// Reads the record of the store.
    fn open(&mut self) {
        let Some(store) = &mut self.store else { return };
        let text = match store.record() {
            Ok(text) => text,
            Err(error) => return self.drop_store("read", &error),
        };
        let remote = self.transfer.remote();
        let fits = |record: &Record| {
            remote.size.is_none_or(|size| size == record.size)
                && (remote.sha256.is_none() || remote.sha256 == record.sha256)
        };
        self.record = Record::parse(&text).filter(fits);
        match &self.record {
            Some(record) => {
                self.transfer.expect(record.version());
                if record.complete && record.is_whole() {
                    // Its checksum was right when it was stored, and its blocks say whether it
                    // still is.
                    self.sha256 = None;
                }
                if !text.ends_with('\n') {
                    self.append("\n");
                }
            }
            None if text.is_empty() => {}
            None => self.clear(),
        }
    }

    /// What to do now.
    pub fn step(&self) -> Step {
        if self.finished {
            return Step::Done;
        }
        if self.trusted && self.stored_here() {
            return Step::Stored;
        }
        match self.transfer.need() {
            Need::Response(request) => Step::Request(request),
            Need::Bytes => Step::Receive,
            Need::Wait(ms) => Step::Wait(ms),
            Need::Nothing => Step::Done,
        }
    }

    /// Whether the next byte begins a block that the store has.
    fn stored_here(&self) -> bool {
        let index = self.position / BLOCK_BYTES;
        self.position.is_multiple_of(BLOCK_BYTES)
            && self.record.as_ref().is_some_and(|record| record.block(index as usize).is_some())
    }

    /// Points the transfer at the next bytes that the store lacks; without any, at the first byte,
    /// which tells the version.
    fn plan(&mut self) {
        let Some(record) = &self.record else { return self.transfer.want(self.position, None) };
        let from = if self.stored_here() { record.gap(self.position) } else { Some((self.position, self.gap_end())) };
        match from {
            Some((from, until)) => self.transfer.want(from, until),
            None if !self.trusted => self.transfer.want(0, Some(1)),
            None => {}
        }
    }

    /// Where the stored blocks behind the current position begin.
    fn gap_end(&self) -> Option<u64> {
        let record = self.record.as_ref()?;
        let next = (self.position / BLOCK_BYTES) as usize..record.size.div_ceil(BLOCK_BYTES) as usize;
        let next = next.skip(usize::from(!self.position.is_multiple_of(BLOCK_BYTES)));
        next.into_iter().find(|index| record.block(*index).is_some()).map(|index| index as u64 * BLOCK_BYTES)
    }

    /// Takes the head of the response to [`Step::Request`].
    ///
    /// # Errors
    ///
    /// `http` when the server refuses, `network` when the file has changed under what was passed on
    /// already, `integrity` when it is not the file that was expected.
    pub fn respond(&mut self, response: &Response) -> Result<()> {
        let verdict = match self.transfer.respond(response) {
            Ok(verdict) => verdict,
            Err(error) => return self.without_the_server(error),
        };
        if verdict == Verdict::Changed {
            return self.changed(response);
        }
        match self.transfer.need() {
            Need::Bytes => {}
            Need::Nothing => return self.advance(),
            Need::Response(_) | Need::Wait(_) => return Ok(()),
        }
        self.trusted = true;
        if self.record.is_none() {
            self.begin_record();
        }
        if self.position.is_multiple_of(BLOCK_BYTES) && self.record.as_ref().is_some_and(Record::is_whole) {
            // It was only asked whether the copy is still right.
            self.transfer.want(self.size().unwrap_or(0), None);
        }
        Ok(())
    }

    /// The server has another file than the one that is known.
    fn changed(&mut self, response: &Response) -> Result<()> {
        let Remote { url, size, sha256, pinned, .. } = self.transfer.remote().clone();
        let found = response.range.and_then(|range| range.total).or(response.length.filter(|_| response.status == 200));
        if let Some((size, found)) = size.zip(found).filter(|(size, found)| size != found) {
            bail!(
                Integrity,
                "{url} has {found} bytes, but the file that was asked for has {size}: take another server"
            );
        }
        self.clear();
        if self.position > 0 {
            bail!(Network, "{url} changed on the server while it was loaded: load it again");
        }
        // Nothing of the old copy was passed on yet.
        self.sha256 = sha256.map(|_| RunningChecksum::default());
        self.trusted = pinned;
        self.transfer.restart();
        Ok(())
    }

    /// A complete copy that could not be compared with the server's file is used all the same.
    fn without_the_server(&mut self, error: Error) -> Result<()> {
        let usable = !self.trusted && self.record.as_ref().is_some_and(|record| record.complete && record.is_whole());
        if !usable {
            return Err(error);
        }
        self.notices.push(format!("the stored copy is used, which may be an old one: {}", error.message()));
        self.trusted = true;
        Ok(())
    }

    /// Takes bytes of the body, and passes on those that are wanted.
    ///
    /// # Errors
    ///
    /// Those of the consumer; `http`, `malformed` and `integrity` for bytes that are wrong.
    pub fn receive(&mut self, bytes: &[u8], consumer: &mut Consumer<'_>) -> Result<()> {
        let wanted = self.transfer.receive(bytes)?;
        if self.position == 0 && wanted.first() == Some(&b'<') {
            let Remote { url, advice, .. } = self.transfer.remote();
            bail!(Http, "{url} is a web page, not a model: it begins with \"<\"; {advice}");
        }
        self.received += wanted.len() as u64;
        let mut rest = wanted;
        while !rest.is_empty() {
            let room = BLOCK_BYTES - self.position % BLOCK_BYTES;
            let (part, after) = rest.split_at(rest.len().min(room as usize));
            rest = after;
            consumer(part)?;
            self.keep(part)?;
        }
        self.advance()
    }

    /// Stores what the consumer just got, which lies in one block.
    fn keep(&mut self, part: &[u8]) -> Result<()> {
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(part);
        }
        let at = self.position;
        self.position += part.len() as u64;
        let (Some(store), Some(record)) = (&mut self.store, &mut self.record) else { return Ok(()) };
        self.block.update(part);
        let index = (at / BLOCK_BYTES) as usize;
        let mut written = store.write(at, part);
        if self.position == record.block_range(index).end {
            let checksum = self.block.take();
            if self.damaged.iter().any(|(damaged, expected)| *damaged == index && *expected != checksum) {
                let url = &self.transfer.remote().url;
                let error = err!(
                    Integrity,
                    "{url} is not the file that was stored: the bytes from {} on are others; load it again",
                    record.block_range(index).start
                );
                self.clear();
                return Err(error);
            }
            let line = record.add_block(index, checksum);
            written = written.and_then(|()| store.append(&line));
        }
        if let Err(error) = written {
            self.drop_store("written", &error);
        }
        Ok(())
    }

    /// The body has ended.
    ///
    /// # Errors
    ///
    /// As [`Transfer::end`], and as [`Download::receive`].
    pub fn end(&mut self) -> Result<()> {
        self.transfer.end()?;
        self.advance()
    }

    /// The request or the body failed because of `why`.
    ///
    /// # Errors
    ///
    /// As [`Transfer::fail`].
    pub fn fail(&mut self, why: &str) -> Result<()> {
        if !self.trusted && self.position == 0 {
            let url = &self.transfer.remote().url;
            let error = err!(Network, "{url} could not be reached ({why})");
            if self.without_the_server(error).is_ok() {
                return Ok(());
            }
        }
        self.transfer.fail(why)
    }

    /// The wait is over.
    pub fn waited(&mut self) {
        self.transfer.waited();
    }

    /// Reads one stored block, checks it and passes it on. A block that cannot be read or is
    /// damaged is downloaded instead.
    ///
    /// # Errors
    ///
    /// Those of the consumer; `integrity` when the file turns out wrong; `io` when a block is
    /// damaged and no request may be made.
    pub fn read_stored(&mut self, consumer: &mut Consumer<'_>) -> Result<()> {
        let index = (self.position / BLOCK_BYTES) as usize;
        let (Some(store), Some(record)) = (&mut self.store, &mut self.record) else { return Ok(()) };
        let range = record.block_range(index);
        self.buffer.resize((range.end - range.start) as usize, 0);
        let read = store.read(range.start, &mut self.buffer);
        let expected = record.block(index).unwrap_or(0);
        if read.is_err() || expected != block_checksum(&self.buffer) {
            record.remove_block(index);
            self.damaged.push((index, expected));
            let url = &self.transfer.remote().url;
            if self.mode == CacheMode::Only {
                bail!(Io, "the stored copy of {url} is damaged at byte {}: load it with the network", range.start);
            }
            self.notices.push(format!("the stored copy of {url} was damaged at byte {} and is repaired", range.start));
            self.plan();
            return Ok(());
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(&self.buffer);
        }
        self.position = range.end;
        consumer(&self.buffer)?;
        self.advance()
    }

    /// Finishes where all is there, and plans the next gap where a stored block follows.
    fn advance(&mut self) -> Result<()> {
        let end = self.size().is_some_and(|size| self.position >= size);
        if end {
            return self.finish();
        }
        if self.stored_here() || self.transfer.need() == Need::Nothing {
            self.plan();
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        if self.finished {
            return Ok(());
        }
        if self.position == 0 {
            bail!(Truncated, "{} is empty", self.transfer.remote().url);
        }
        let Remote { url, address, sha256, .. } = self.transfer.remote().clone();
        if let Some((expected, running)) = sha256.zip(self.sha256.take()) {
            let found = running.finish();
            if found != expected {
                self.clear();
                bail!(
                    Integrity,
                    "{url} does not have the expected checksum: its sha256 is {found}, not {expected}; load it again, and if \
                     that does not help, do not use it"
                );
            }
        }
        self.finished = true;
        let now = self.now;
        let Some(record) = &mut self.record else { return Ok(()) };
        let completes = !record.complete && record.is_whole();
        let mut lines = record.add_use(&address, now);
        if completes {
            lines += &record.add_complete();
        }
        self.append(&lines);
        if completes
            && let Some(store) = &mut self.store
            && let Err(error) = store.complete()
        {
            self.drop_store("finished", &error);
        }
        Ok(())
    }

    fn begin_record(&mut self) {
        let remote = self.transfer.remote();
        let version = self.transfer.version();
        let record = Record::new(&remote.url, version, remote.sha256, &remote.address, self.now);
        if self.store.is_none() {
            return;
        }
        match record {
            Some(record) => {
                let head = record.head();
                self.record = Some(record);
                self.append(&head);
            }
            None => {
                self.store = None;
                self.notices.push("the file is not kept: the server does not say how long it is".to_owned());
            }
        }
    }

    fn append(&mut self, text: &str) {
        if let Some(store) = &mut self.store
            && let Err(error) = store.append(text)
        {
            self.drop_store("written", &error);
        }
    }

    /// Removes what is stored of the file.
    fn clear(&mut self) {
        self.record = None;
        if let Some(store) = &mut self.store
            && let Err(error) = store.clear()
        {
            self.drop_store("cleared", &error);
        }
    }

    fn drop_store(&mut self, action: &str, error: &io::Error) {
        (self.store, self.record) = (None, None);
        let name = &self.transfer.remote().name;
        self.notices.push(format!("{name} is not kept in the cache, which could not be {action}: {error}"));
    }

    /// Bytes of the file, once that is known.
    pub fn size(&self) -> Option<u64> {
        self.transfer.version().size
    }

    /// Bytes that the consumer has.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes that came over the network.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// What is downloaded.
    pub fn remote(&self) -> &Remote {
        self.transfer.remote()
    }

    /// What did not go as it should, without stopping the download.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }
}
