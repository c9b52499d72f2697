//! One file over HTTP, as a state machine.
//!
//! A [`Transfer`] brings the bytes from [`Transfer::want`]'s `from` up to its `until`, in order,
//! over as many requests as that takes. Every request goes to the file's first address: those that
//! servers redirect to expire. After a cut the next request asks for the bytes from the first
//! missing one on (`Range: bytes=N-`). A server that answers such a request with the whole file is
//! listened to from its beginning, and what is known already is skipped.
//!
//! What a cut may not do is mix two files. Every response says how long the file is, most say its
//! version (`ETag`); a response that says otherwise than the first is [`Verdict::Changed`].

#![forbid(unsafe_code)]

use super::http::Response;
use super::source::Remote;
use crate::error::{Error, ErrorCode, Result};
use rand_pcg::Pcg32;
use rand_pcg::rand_core::Rng;

/// An attempt that brings this much has got somewhere, and the count of failures begins anew.
const PROGRESS_BYTES: u64 = 64 << 10;

/// How patient a transfer is.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Failures in a row, without progress between them, that are forgiven.
    pub retries: u32,
    /// The wait before the second attempt of such a row; it doubles from one to the next.
    pub first_wait_ms: u64,
    /// The longest wait of our own choice.
    pub max_wait_ms: u64,
    /// The longest wait that a server may ask for.
    pub max_retry_after_ms: u64,
    /// How long the caller lets a connection be silent before it reports a failure.
    pub stall_ms: u64,
    /// Whether the caller decodes `Content-Encoding`, as browsers do.
    pub decodes: bool,
    /// What the jitter of waits is drawn from.
    pub seed: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retries: 5,
            first_wait_ms: 500,
            max_wait_ms: 30_000,
            max_retry_after_ms: 120_000,
            stall_ms: 30_000,
            decodes: false,
            seed: 0,
        }
    }
}

/// A request to make: a GET that follows redirects and uses no HTTP cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The address.
    pub url: String,
    /// Headers to send, `Range` among them. `Authorization` must not follow a redirect to another
    /// host.
    pub headers: Vec<(String, String)>,
}

/// What a transfer needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// A response to this request.
    Response(Request),
    /// More of the body of the last response.
    Bytes,
    /// That many milliseconds to pass.
    Wait(u64),
    /// Nothing: all that was wanted is there.
    Nothing,
}

/// Whether a response belongs to the file known so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does, or nothing was known.
    Same,
    /// The file at this address is another one now.
    Changed,
}

/// What tells two versions of a file apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// The server's name for it.
    pub etag: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The next thing is a request.
    Ask,
    /// A request is to follow after a pause.
    Pause { ms: u64 },
    /// A body is being read: `skip` bytes of it are known already, `left` are still to come as far
    /// as the server said.
    Body { skip: u64, left: Option<u64> },
    /// All that was wanted has arrived.
    Rest,
}

/// One file being transferred. See the module documentation.
#[derive(Debug)]
pub struct Transfer {
    remote: Remote,
    policy: Policy,
    jitter: Pcg32,
    state: State,
    version: Version,
    /// The next byte that is wanted.
    position: u64,
    /// Where to stop; the end of the file when `None`.
    until: Option<u64>,
    /// Whether requests ask for ranges: not after the server got one wrong.
    ranges: bool,
    /// Whether the next request does without a range, because the first ones failed.
    plain: bool,
    /// Failures in a row.
    failures: u32,
    /// What arrived since the last failure.
    progress: u64,
    /// What arrived in all.
    received: u64,
}

impl Transfer {
    /// A transfer of `remote` from its beginning.
    pub fn new(remote: Remote, policy: Policy) -> Self {
        let jitter = Pcg32::new(policy.seed, 0);
        let version = Version { etag: None, size: remote.size };
        Self {
            remote,
            policy,
            jitter,
            state: State::Ask,
            version,
            position: 0,
            until: None,
            ranges: true,
            plain: false,
            failures: 0,
            progress: 0,
            received: 0,
        }
    }

    /// Expects the version of a stored copy.
    pub fn expect(&mut self, version: Version) {
        self.version = version;
    }

    /// Begins anew, with whatever is at the address now.
    pub fn restart(&mut self) {
        self.version = Version { etag: None, size: self.remote.size };
        (self.position, self.until, self.state) = (0, None, State::Ask);
    }

    /// What is known of the file.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// What is transferred.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// The bytes to bring next, up to the end of the file where `until` is `None`. A body that is
    /// being read goes on when it is the right one.
    pub fn want(&mut self, from: u64, until: Option<u64>) {
        let goes_on = from == self.position && matches!(self.state, State::Body { .. } | State::Pause { .. });
        if !goes_on {
            self.state = State::Ask;
        }
        (self.position, self.until) = (from, until);
        self.rest_at_the_end();
    }

    /// What to do now.
    pub fn need(&self) -> Need {
        match self.state {
            State::Ask => Need::Response(self.request()),
            State::Pause { ms } => Need::Wait(ms),
            State::Body { .. } => Need::Bytes,
            State::Rest => Need::Nothing,
        }
    }

    fn request(&self) -> Request {
        let Remote { url, headers, .. } = &self.remote;
        let mut headers = headers.clone();
        // A browser that is asked for a range asks the server not to compress.
        let whole = self.position == 0 && self.until.is_none() && !self.policy.decodes;
        if self.ranges && !self.plain && !whole {
            let last = self.until.map(|until| (until - 1).to_string()).unwrap_or_default();
            headers.push(("Range".to_owned(), format!("bytes={}-{last}", self.position)));
        }
        Request { url: url.clone(), headers }
    }

    /// Takes the head of the response to the request of [`Transfer::need`].
    ///
    /// # Errors
    ///
    /// `http` when it is nothing to wait for: a refusal, a web page, a part that was not asked for.
    pub fn respond(&mut self, response: &Response) -> Result<Verdict> {
        match response.status {
            200 | 206 => {}
            // What a server answers when it has less than it had.
            416 if self.position > 0 => return Ok(Verdict::Changed),
            408 | 425 | 429 | 500..=599 => {
                self.retry(Fault::Answer(response.status), response.retry_after_ms)?;
                return Ok(Verdict::Same);
            }
            // The address that a redirect led to has expired: the first one is asked for another.
            401 | 403 if self.received > 0 => {
                self.retry(Fault::Answer(response.status), None)?;
                return Ok(Verdict::Same);
            }
            status => return Err(self.refusal(status)),
        }
        self.plain = false;
        let url = &self.remote.url;
        if response.html {
            bail!(Http, "{url} answered with a web page (text/html), not a model: {}", self.remote.advice);
        }
        let encoded = response.encoding.is_some();
        if let Some(encoding) = response.encoding.as_ref().filter(|_| !self.policy.decodes) {
            bail!(Http, "{url} came compressed (Content-Encoding: {encoding}), though that was not asked for");
        }
        // Ranges would be those of the compressed file.
        self.ranges &= !encoded;
        if response.status == 206 {
            return self.partial(response);
        }
        let size = response.length.filter(|_| !encoded);
        if self.differs(response.etag.as_deref(), size) {
            return Ok(Verdict::Changed);
        }
        self.learn(response.etag.as_ref(), size);
        self.state = State::Body { skip: self.position, left: size };
        self.rest_at_the_end();
        Ok(Verdict::Same)
    }

    /// A part of the file. It must be the part that was asked for, as far as a page can see that.
    fn partial(&mut self, response: &Response) -> Result<Verdict> {
        let url = &self.remote.url;
        // Across origins `Content-Range` may be hidden, but `Content-Length` is not.
        let (first, end, total) = match response.range {
            Some(range) => (range.first, Some(range.last + 1), range.total),
            None => (self.position, response.length.map(|length| self.position + length), None),
        };
        let total = total.or_else(|| end.filter(|_| self.until.is_none()));
        let wrong = first != self.position || (!self.ranges && first > 0);
        if wrong {
            if !self.ranges {
                bail!(Http, "{url} answered with the bytes from {first} on, where those from 0 on were asked for");
            }
            // Once more, for the whole file.
            self.ranges = false;
            self.retry(Fault::Range { first, asked: self.position }, None)?;
            return Ok(Verdict::Same);
        }
        if self.differs(response.etag.as_deref(), total) {
            return Ok(Verdict::Changed);
        }
        self.learn(response.etag.as_ref(), total);
        self.state = State::Body { skip: 0, left: end.map(|end| end - self.position) };
        Ok(Verdict::Same)
    }

    /// Whether a response is about another file than the ones before. The checksum of a pinned file
    /// says more than an
    /// `ETag`, which two servers of one host may spell differently.
    fn differs(&self, etag: Option<&str>, size: Option<u64>) -> bool {
        let known = |ours: Option<&str>| ours.zip(etag).is_some_and(|(ours, theirs)| ours != theirs);
        (!self.remote.pinned && known(self.version.etag.as_deref()))
            || self.version.size.zip(size).is_some_and(|(ours, theirs)| ours != theirs)
    }

    fn learn(&mut self, etag: Option<&String>, size: Option<u64>) {
        self.version.etag = self.version.etag.take().or_else(|| etag.cloned());
        self.version.size = self.version.size.or(size);
    }

    /// Takes bytes of the body, and returns those of them that are wanted. [`Need::Nothing`] may
    /// leave some of the body unread.
    ///
    /// # Errors
    ///
    /// `malformed` when more bytes come than the server said.
    pub fn receive<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        let State::Body { skip, left } = &mut self.state else { return Ok(&[]) };
        let count = bytes.len() as u64;
        if let Some(left) = left {
            let Some(rest) = left.checked_sub(count) else {
                let url = &self.remote.url;
                bail!(Malformed, "{url} brings more bytes than its headers promise: try again, or take another server");
            };
            *left = rest;
        }
        let skipped = count.min(*skip);
        *skip -= skipped;
        let mut wanted = &bytes[skipped as usize..];
        let end = self.until.or(self.version.size);
        if let Some(room) = end.map(|end| end.saturating_sub(self.position)).filter(|room| *room < wanted.len() as u64)
        {
            if self.until.is_none() {
                let url = &self.remote.url;
                bail!(Malformed, "{url} brings more than the {} bytes it should have", self.version.size.unwrap_or(0));
            }
            wanted = &wanted[..room as usize];
        }
        let count = wanted.len() as u64;
        self.position += count;
        self.received += count;
        self.progress += count;
        if self.progress >= PROGRESS_BYTES {
            self.failures = 0;
        }
        self.rest_at_the_end();
        Ok(wanted)
    }

    fn rest_at_the_end(&mut self) {
        let end = self.until.or(self.version.size);
        if end.is_some_and(|end| self.position >= end) {
            self.state = State::Rest;
        }
    }

    /// The body has ended.
    ///
    /// # Errors
    ///
    /// `truncated` when it ended too early once too often.
    pub fn end(&mut self) -> Result<()> {
        let State::Body { skip, left } = self.state else { return Ok(()) };
        if skip == 0 && left.is_none_or(|left| left == 0) && self.until.is_none() && self.version.size.is_none() {
            // A file of unknown length ends where the server ends it.
            self.version.size = Some(self.position);
            self.state = State::Rest;
            return Ok(());
        }
        self.retry(Fault::End, None)
    }

    /// The request or the body failed, because of `why`: no connection, a cut, silence.
    ///
    /// # Errors
    ///
    /// `network` when that happened once too often.
    pub fn fail(&mut self, why: &str) -> Result<()> {
        // Some hosts let other sites read the whole file, but not a range of it.
        self.plain = self.received == 0 && self.position == 0 && self.until.is_none() && self.failures > 0;
        self.retry(Fault::Cut(why), None)
    }

    /// The wait that [`Need::Wait`] asked for is over.
    pub fn waited(&mut self) {
        if matches!(self.state, State::Pause { .. }) {
            self.state = State::Ask;
        }
    }

    /// Plans another attempt, or gives up.
    fn retry(&mut self, fault: Fault<'_>, retry_after: Option<u64>) -> Result<()> {
        let progressed = std::mem::take(&mut self.progress) >= PROGRESS_BYTES;
        if self.failures >= self.policy.retries {
            return Err(self.exhausted(&fault));
        }
        let Policy { first_wait_ms, max_wait_ms, max_retry_after_ms, .. } = self.policy;
        let ms = match retry_after {
            Some(wait) if wait > max_retry_after_ms => {
                let url = &self.remote.url;
                bail!(Http, "{url} asks for a wait of {} seconds: try again then", wait.div_ceil(1000));
            }
            Some(wait) => wait,
            None if progressed => 0,
            None => {
                let longest = (first_wait_ms << self.failures.min(20)).min(max_wait_ms);
                // Between half of it and all, so that clients of one failing server do not come
                // back together.
                longest / 2 + u64::from(self.jitter.next_u32()) % (longest / 2 + 1)
            }
        };
        self.failures += 1;
        self.state = if ms == 0 { State::Ask } else { State::Pause { ms } };
        Ok(())
    }

    fn exhausted(&self, fault: &Fault<'_>) -> Error {
        let Self { remote: Remote { url, .. }, received, policy, .. } = self;
        let tries = format!("{} attempts in a row failed", policy.retries + 1);
        let of = self.version.size.map_or_else(String::new, |size| format!(" of {size}"));
        let position = self.position;
        let remedy = "try again; what has arrived is kept where there is a cache";
        match fault {
            Fault::Cut(why) if *received == 0 => err!(
                Network,
                "{url} could not be reached ({why}; {tries}): check the address and the connection{}",
                self.remote.reach_advice()
            ),
            Fault::Cut(why) => {
                err!(Network, "{url}: the connection was cut after {position}{of} bytes ({why}; {tries}): {remedy}")
            }
            Fault::End => err!(Truncated, "{url} ended after {position}{of} bytes ({tries}): {remedy}"),
            Fault::Answer(status) => err!(Http, "{url} answered {status} ({tries}): the server is busy; {remedy}"),
            Fault::Range { first, asked } => {
                err!(Http, "{url} answered with the bytes from {first} on, where those from {asked} on were asked for")
            }
        }
    }

    fn refusal(&self, status: u16) -> Error {
        let Remote { url, advice, .. } = &self.remote;
        let remedy = match status {
            401 | 403 => "it wants a token of somebody who may read it, or it is gone",
            _ => advice,
        };
        Error::new(ErrorCode::Http, format!("{url} answered {status}: {remedy}"))
    }
}

/// Why an attempt failed.
enum Fault<'a> {
    Cut(&'a str),
    End,
    Answer(u16),
    Range { first: u64, asked: u64 },
}
