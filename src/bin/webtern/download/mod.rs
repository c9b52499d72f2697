//! Models from the network, kept on disk: executes `webtern::fetch` with an HTTP client and files.

mod disk;
mod http;

pub(crate) use disk::{Cache, Kept, StoredFiles};

use crate::load::bar;
use disk::DiskStore;
use http::{Body, Client};
use indicatif::ProgressBar;
use std::sync::OnceLock;
use std::time::Duration;
use webtern::fetch::hub::{Candidate, Repo};
use webtern::fetch::{CacheMode, Checksum, Download, Policy, Remote, Response, Source, Step};
use webtern::platform::unix_seconds;
use webtern::{Error, ErrorCode, Result};

/// The most that a small answer, such as the listing of a repository, may have.
const MAX_ANSWER: usize = 16 << 20;

/// What the command line says about the network.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What to do with stored copies.
    pub(crate) mode: CacheMode,
    /// How long a connection may be silent.
    pub(crate) timeout: Duration,
    /// The checksum that the model must have.
    pub(crate) sha256: Option<Checksum>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { mode: CacheMode::Auto, timeout: Duration::from_secs(30), sha256: None }
    }
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();

/// Says how this run uses the network; later calls change nothing.
pub(crate) fn configure(settings: Settings) {
    SETTINGS.get_or_init(|| settings);
}

fn settings() -> &'static Settings {
    SETTINGS.get_or_init(Settings::default)
}

/// The files of a model, found but not downloaded yet.
pub(crate) fn find(source: &Source) -> Result<Vec<Remote>> {
    let sha256 = settings().sha256;
    let mut files = match source {
        Source::Url { url, headers } => Remote::all(url, headers)?,
        Source::Repo(repo) => in_repo(&with_environment(repo.clone()))?,
        Source::Named(entry) => {
            let repo = with_environment(entry.source());
            match entry.remote(&repo)? {
                Some(remote) => vec![remote],
                None => in_repo(&repo)?,
            }
        }
    };
    if let Some(sha256) = sha256 {
        let [file] = &mut files[..] else {
            return Err(Error::new(ErrorCode::BadOption, "--sha256 is for a model of one file; this one has several"));
        };
        if let Some(known) = file.sha256.filter(|known| *known != sha256) {
            let message = format!("{}: the hub says that its sha256 is {known}, not {sha256}", file.url);
            return Err(Error::new(ErrorCode::Integrity, message));
        }
        *file = file.clone().with_checksum(sha256);
    }
    Ok(files)
}

/// The variables that `huggingface_hub` reads.
fn with_environment(mut repo: Repo) -> Repo {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    repo.token = repo.token.or_else(|| variable("HF_TOKEN"));
    repo.endpoint = repo.endpoint.or_else(|| variable("HF_ENDPOINT"));
    repo
}

/// Asks the hub; where it cannot be reached, the cache.
fn in_repo(repo: &Repo) -> Result<Vec<Remote>> {
    let stored = || Cache::open().ok().and_then(|cache| cache.find_repo(repo));
    if settings().mode == CacheMode::Only {
        let missing = || Error::new(ErrorCode::Network, format!("{} is not in the cache", repo.repo));
        return stored().ok_or_else(missing);
    }
    match read_small(repo.listing()) {
        Ok(answer) => {
            let listing = repo.read_listing(&answer)?;
            let files = repo.files(&listing, u64::MAX)?;
            if repo.file.is_none() {
                announce_choice(&files, &listing.candidates());
            }
            Ok(files)
        }
        Err(error) if error.code() == ErrorCode::Network && settings().mode == CacheMode::Auto => {
            let Some(files) = stored() else { return Err(error) };
            eprintln!("webtern: the stored copy is used: {error}");
            Ok(files)
        }
        Err(error) => Err(error),
    }
}

fn announce_choice(files: &[Remote], candidates: &[Candidate]) {
    let chosen = files.first().map_or("", |file| file.name.as_str());
    let others = candidates.iter().map(|candidate| candidate.file.as_str()).filter(|file| !file.ends_with(chosen));
    let others = others.collect::<Vec<_>>().join(", ");
    let others = if others.is_empty() { String::new() } else { format!("; others are {others}") };
    eprintln!("webtern: {chosen} is chosen{others}");
}

fn read_small(remote: Remote) -> Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut running = Running::new(remote, CacheMode::Off, None)?;
    while running.advance(&mut |bytes| {
        if answer.len() + bytes.len() > MAX_ANSWER {
            return Err(Error::new(ErrorCode::Limits, "the answer is too long to be a listing"));
        }
        answer.extend_from_slice(bytes);
        Ok(())
    })? {}
    Ok(answer)
}

/// One file of a model on its way.
pub(crate) struct RemoteFile {
    running: Running,
}

impl RemoteFile {
    /// Begins to download, or to read what is stored.
    pub(crate) fn open(remote: Remote) -> Result<Self> {
        let mode = settings().mode;
        let store = match mode {
            CacheMode::Off => None,
            CacheMode::Auto | CacheMode::Only => {
                Cache::open().and_then(|cache| cache.store(&remote.key())).map_or_else(
                    |error| {
                        eprintln!("webtern: nothing is kept in the cache: {error}");
                        None
                    },
                    Some,
                )
            }
        };
        Ok(Self { running: Running::new(remote, mode, store)? })
    }

    /// The address it comes from.
    pub(crate) fn url(&self) -> &str {
        &self.running.download.remote().url
    }

    /// Bytes, as far as that is known.
    pub(crate) fn size(&self) -> Option<u64> {
        self.running.download.size()
    }

    /// Gives the bytes, and how many there are in all, to `each`, until it wants no more.
    pub(crate) fn read(&mut self, mut each: impl FnMut(&[u8], Option<u64>) -> Result<bool>) -> Result<()> {
        let mut wanted = true;
        loop {
            let size = self.size();
            let more = self.running.advance(&mut |bytes| {
                wanted = wanted && each(bytes, size)?;
                Ok(())
            })?;
            if !more || !wanted {
                break;
            }
        }
        for notice in self.running.download.notices() {
            eprintln!("webtern: {notice}");
        }
        Ok(())
    }
}

/// Downloads all files of a model into the cache, and says where they are: names and paths.
pub(crate) fn fetch(source: &Source) -> Result<Vec<Kept>> {
    let cache = Cache::open()?;
    let mut kept = Vec::new();
    for remote in find(source)? {
        let (key, name) = (remote.key(), remote.name.clone());
        let mut file = RemoteFile::open(remote)?;
        let progress = bar("downloading", file.size().unwrap_or(0));
        let read = file.read(|bytes, size| {
            advance(&progress, size, bytes);
            Ok(true)
        });
        progress.finish_and_clear();
        read?;
        drop(file);
        let found = cache.entry(&key).filter(|entry| entry.record.complete);
        let missing = || Error::new(ErrorCode::Io, format!("{name} could not be kept in {}", cache.folder().display()));
        kept.push(found.ok_or_else(missing)?);
    }
    Ok(kept)
}

/// Moves a bar on, whose length may have become known.
pub(crate) fn advance(bar: &ProgressBar, size: Option<u64>, bytes: &[u8]) {
    if let Some(size) = size.filter(|_| bar.length() == Some(0)) {
        bar.set_length(size);
    }
    bar.inc(bytes.len() as u64);
}

/// A download with its connection.
struct Running {
    download: Download<DiskStore>,
    client: Client,
    body: Option<Body>,
    timeout: Duration,
}

impl Running {
    fn new(remote: Remote, mode: CacheMode, store: Option<DiskStore>) -> Result<Self> {
        let timeout = settings().timeout;
        let seed = unix_seconds() ^ u64::from(std::process::id());
        let policy = Policy { seed, stall_ms: timeout.as_millis() as u64, ..Policy::default() };
        let download = Download::new(remote, policy, mode, store, unix_seconds())?;
        Ok(Self { download, client: Client::new(timeout), body: None, timeout })
    }

    /// One step; false when there is none left.
    fn advance(&mut self, consumer: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        match self.download.step() {
            Step::Request(request) => match self.client.send(&request) {
                Ok((status, headers, body)) => {
                    let response = Response::new(status, unix_seconds(), |name| headers.get(name).cloned());
                    self.body = Some(body);
                    self.download.respond(&response)?;
                }
                Err(why) => self.download.fail(&why)?,
            },
            Step::Receive => match self.body.as_mut().map(|body| body.next(self.timeout)) {
                Some(Ok(Some(bytes))) => self.download.receive(&bytes, consumer)?,
                Some(Ok(None)) | None => self.download.end()?,
                Some(Err(why)) => self.download.fail(&why)?,
            },
            Step::Wait(ms) => {
                self.body = None;
                std::thread::sleep(Duration::from_millis(ms));
                self.download.waited();
            }
            Step::Stored => self.download.read_stored(consumer)?,
            Step::Done => return Ok(false),
        }
        Ok(true)
    }
}
