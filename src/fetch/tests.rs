//! Faults, injected: given these responses, these requests, and the right bytes or a named error.

use super::cache::{BLOCK_BYTES, Record, Store};
use super::download::{CacheMode, Download, Step};
use super::http::{ContentRange, Response};
use super::integrity::Checksum;
use super::source::Remote;
use super::transfer::{Policy, Request};
use crate::error::{ErrorCode, Result};
use crate::testing::test;
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;

const URL: &str = "https://a.b/model.gguf";
/// Two whole blocks and a short one.
const SIZE: usize = 2 * BLOCK_BYTES as usize + 300_001;
/// How many bytes a body hands over at a time: no divisor of a block.
const PIECE: usize = 70_001;

/// A file that looks like none of its own parts.
fn file(seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8 | 1
    };
    (0..SIZE).map(step).collect()
}

/// A hundred positions all over the file, the edges of blocks among them.
fn positions() -> impl Iterator<Item = usize> {
    let edges = [0, 1, BLOCK_BYTES as usize - 1, BLOCK_BYTES as usize, BLOCK_BYTES as usize + 1, SIZE - 1];
    let spread = (1..95).map(|index| index * (SIZE / 95) + index);
    edges.into_iter().chain(spread)
}

fn remote() -> Remote {
    Remote::all(URL, &[]).unwrap().remove(0)
}

fn pinned(bytes: &[u8]) -> Remote {
    remote().with_checksum(Checksum::of(bytes))
}

/// How a body ends.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    End,
    Cut,
}

/// An answer to one request.
struct Answer {
    response: Response,
    body: Vec<u8>,
    ending: Ending,
}

impl Answer {
    fn status(status: u16) -> Self {
        Self { response: Response { status, ..Response::default() }, body: Vec::new(), ending: Ending::End }
    }

    /// Cuts the body off after `count` bytes.
    fn cut(mut self, count: usize) -> Self {
        self.body.truncate(count);
        self.ending = Ending::Cut;
        self
    }
}

/// The range that a request asks for.
fn range(request: &Request) -> Option<(usize, Option<usize>)> {
    let (_, value) = request.headers.iter().find(|(name, _)| name == "Range")?;
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().unwrap(), last.parse().ok()))
}

/// What a good server answers.
fn serve(bytes: &[u8], etag: &str, request: &Request) -> Answer {
    let etag = Some(etag.to_owned());
    let total = bytes.len();
    let Some((first, last)) = range(request) else {
        let response = Response { status: 200, length: Some(total as u64), etag, ..Response::default() };
        return Answer { response, body: bytes.to_vec(), ending: Ending::End };
    };
    if first >= total {
        return Answer::status(416);
    }
    let end = last.map_or(total, |last| total.min(last + 1));
    let range = ContentRange { first: first as u64, last: end as u64 - 1, total: Some(total as u64) };
    let length = Some((end - first) as u64);
    let response = Response { status: 206, length, range: Some(range), etag, ..Response::default() };
    Answer { response, body: bytes[first..end].to_vec(), ending: Ending::End }
}

/// What became of a download.
struct Outcome {
    bytes: Vec<u8>,
    requests: Vec<Option<(usize, Option<usize>)>>,
    waits: Vec<u64>,
    /// Bytes of bodies that were read.
    read: usize,
    notices: Vec<String>,
    result: Result<()>,
}

impl Outcome {
    fn bytes(self) -> Vec<u8> {
        self.result.unwrap();
        self.bytes
    }

    fn code(&self) -> ErrorCode {
        self.result.as_ref().unwrap_err().code()
    }
}

/// Runs a download against `server`, which answers each request (numbered from 0), or nothing when
/// there is no network.
fn run(
    remote: Remote,
    mode: CacheMode,
    disk: Option<&Disk>,
    mut server: impl FnMut(usize, &Request) -> Option<Answer>,
) -> Outcome {
    let mut outcome = Outcome {
        bytes: Vec::new(),
        requests: Vec::new(),
        waits: Vec::new(),
        read: 0,
        notices: Vec::new(),
        result: Ok(()),
    };
    let policy = Policy { decodes: remote.headers.iter().any(|(name, _)| name == "decodes"), ..Policy::default() };
    outcome.result = drive(remote, policy, mode, disk, &mut server, &mut outcome);
    outcome
}

fn drive(
    remote: Remote,
    policy: Policy,
    mode: CacheMode,
    disk: Option<&Disk>,
    server: &mut dyn FnMut(usize, &Request) -> Option<Answer>,
    outcome: &mut Outcome,
) -> Result<()> {
    let mut download = Download::new(remote, policy, mode, disk.map(Disk::handle), 1_000)?;
    let mut body: Option<(Vec<u8>, usize, Ending)> = None;
    for _ in 0..100_000 {
        let mut take = |bytes: &[u8]| {
            outcome.bytes.extend_from_slice(bytes);
            Ok(())
        };
        match download.step() {
            Step::Request(request) => {
                body = None;
                let number = outcome.requests.len();
                outcome.requests.push(range(&request));
                match server(number, &request) {
                    Some(answer) => {
                        download.respond(&answer.response)?;
                        body = Some((answer.body, 0, answer.ending));
                    }
                    None => download.fail("no route to host")?,
                }
            }
            Step::Receive => {
                let (bytes, at, ending) = body.as_mut().expect("a body follows a response");
                let piece = &bytes[*at..bytes.len().min(*at + PIECE)];
                match (piece.is_empty(), *ending) {
                    (false, _) => {
                        download.receive(piece, &mut take)?;
                        outcome.read += piece.len();
                        *at += piece.len();
                    }
                    (true, Ending::End) => download.end()?,
                    (true, Ending::Cut) => download.fail("connection reset")?,
                }
            }
            Step::Wait(ms) => {
                outcome.waits.push(ms);
                download.waited();
            }
            Step::Stored => download.read_stored(&mut take)?,
            Step::Done => {
                outcome.notices = download.notices().to_vec();
                return Ok(());
            }
        }
    }
    panic!("the download does not end");
}

/// A disk that outlives the downloads that write to it, and fails when told to.
#[derive(Clone, Default)]
struct Disk(Rc<RefCell<DiskState>>);

#[derive(Default)]
struct DiskState {
    file: Vec<u8>,
    record: String,
    /// How many more writes succeed.
    writes: Option<usize>,
    /// Whether the first write that fails is half done, and panics: the process dies in it.
    dies: bool,
    named: bool,
}

impl Disk {
    fn handle(&self) -> Handle {
        self.0.borrow_mut().writes.get_or_insert(usize::MAX);
        Handle(self.clone())
    }

    fn with<T>(&self, change: impl FnOnce(&mut DiskState) -> T) -> T {
        change(&mut self.0.borrow_mut())
    }

    fn record(&self) -> Option<Record> {
        Record::parse(&self.with(|disk| disk.record.clone()))
    }
}

struct Handle(Disk);

/// The error of a disk that stops the whole process.
const DEATH: &str = "the process is gone";

impl Handle {
    /// Whether a write of `count` bytes succeeds; how many of them are there if it does not.
    fn write(&self, count: usize) -> std::result::Result<(), usize> {
        self.0.with(|disk| match disk.writes {
            Some(0) => Err(if disk.dies { count / 2 } else { 0 }),
            ref mut left => {
                *left = left.map(|left| left - 1);
                Ok(())
            }
        })
    }

    fn full(&self) -> io::Error {
        if self.0.with(|disk| disk.dies) { io::Error::other(DEATH) } else { ErrorKind::QuotaExceeded.into() }
    }
}

impl Store for Handle {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.with(|disk| {
            let bytes = disk.file.get(offset as usize..offset as usize + buffer.len());
            bytes.map(|bytes| buffer.copy_from_slice(bytes)).ok_or_else(|| ErrorKind::UnexpectedEof.into())
        })
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let written = Handle::write(self, bytes.len());
        let count = written.err().unwrap_or(bytes.len());
        let end = offset as usize + count;
        self.0.with(|disk| {
            if disk.file.len() < end {
                disk.file.resize(end, 0);
            }
            disk.file[offset as usize..end].copy_from_slice(&bytes[..count]);
        });
        written.map_err(|_| self.full())
    }

    fn record(&mut self) -> io::Result<String> {
        Ok(self.0.with(|disk| disk.record.clone()))
    }

    fn append(&mut self, text: &str) -> io::Result<()> {
        let written = Handle::write(self, text.len());
        let count = written.err().unwrap_or(text.len());
        self.0.with(|disk| disk.record.push_str(&text[..count]));
        written.map_err(|_| self.full())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.0.with(|disk| (disk.file.clear(), disk.record.clear(), disk.named = false));
        Ok(())
    }

    fn complete(&mut self) -> io::Result<()> {
        self.0.with(|disk| disk.named = true);
        Ok(())
    }
}

/// A disk with a complete copy.
fn filled(remote: Remote, bytes: &[u8]) -> Disk {
    let disk = Disk::default();
    let got = run(remote, CacheMode::Auto, Some(&disk), |_, request| Some(serve(bytes, "\"1\"", request))).bytes();
    assert_eq!(got, bytes);
    assert!(disk.record().unwrap().complete && disk.with(|disk| disk.named && disk.file == bytes));
    disk
}

#[test]
fn a_cut_anywhere_goes_on_from_the_first_missing_byte() {
    let bytes = file(1);
    for at in positions() {
        let outcome = run(remote(), CacheMode::Off, None, |number, request| {
            let answer = serve(&bytes, "\"1\"", request);
            Some(if number == 0 { answer.cut(at) } else { answer })
        });
        let again = if at == 0 { None } else { Some((at, None)) };
        assert_eq!(outcome.requests, [None, again], "{at}");
        assert_eq!(outcome.read, SIZE, "no byte comes twice, {at}");
        assert!(outcome.bytes() == bytes, "{at}");
    }
}

#[test]
fn a_server_that_cuts_all_the_time_gets_there() {
    let bytes = file(1);
    let outcome = run(remote(), CacheMode::Off, None, |_, request| Some(serve(&bytes, "\"1\"", request).cut(100_000)));
    assert_eq!(outcome.requests.len(), SIZE.div_ceil(100_000));
    assert!(outcome.waits.is_empty(), "a cut after progress is no reason to wait");
    assert!(outcome.bytes() == bytes);
}

#[test]
fn a_server_that_never_answers_is_asked_six_times() {
    let outcome = run(remote(), CacheMode::Off, None, |_, _| None);
    assert_eq!(outcome.code(), ErrorCode::Network);
    assert_eq!(outcome.requests.len(), 6);
    for (wait, longest) in outcome.waits.iter().zip([500, 1000, 2000, 4000, 8000]) {
        assert!((longest / 2..=longest).contains(wait), "{:?}", outcome.waits);
    }
    let message = outcome.result.unwrap_err().to_string();
    assert!(message.contains(URL) && message.contains("no route to host"), "{message}");
}

/// Some hosts answer ranges of other sites with an error that a page cannot see.
#[test]
fn a_range_that_fails_is_tried_without() {
    let bytes = file(1);
    let remote = Remote { headers: vec![("decodes".into(), String::new())], ..remote() };
    let outcome = run(remote, CacheMode::Off, None, |_, request| {
        range(request).is_none().then(|| serve(&bytes, "\"1\"", request))
    });
    assert_eq!(outcome.requests, [Some((0, None)), Some((0, None)), None]);
    assert!(outcome.bytes() == bytes);
}

#[test]
fn the_whole_file_for_a_range_is_skipped_up_to_the_right_byte() {
    let bytes = file(1);
    for at in positions().filter(|at| *at > 0) {
        let outcome = run(remote(), CacheMode::Off, None, |number, request| {
            let answer = serve(&bytes, "\"1\"", &Request { headers: Vec::new(), ..request.clone() });
            Some(if number == 0 { answer.cut(at) } else { answer })
        });
        assert!(outcome.bytes() == bytes, "{at}");
    }
}

#[test]
fn another_range_than_asked_for_is_not_taken() {
    let bytes = file(1);
    let shifted = |request: &Request| {
        let mut answer = serve(&bytes, "\"1\"", request);
        if let Some(range) = &mut answer.response.range {
            range.first = range.first.saturating_sub(1);
        }
        answer
    };
    let once = run(remote(), CacheMode::Off, None, |number, request| {
        Some(if number == 0 { serve(&bytes, "\"1\"", request).cut(500_000) } else { shifted(request) })
    });
    assert_eq!(once.requests, [None, Some((500_000, None)), None]);
    assert!(once.bytes() == bytes);
    let always = run(remote(), CacheMode::Off, None, |number, request| {
        let asked = Request { headers: vec![("Range".into(), "bytes=7-".into())], ..request.clone() };
        Some(if number == 0 { serve(&bytes, "\"1\"", request).cut(500_000) } else { serve(&bytes, "\"1\"", &asked) })
    });
    assert_eq!(always.code(), ErrorCode::Http);
}

#[test]
fn a_file_that_changes_under_a_load_is_never_mixed() {
    let (old, new) = (file(1), file(2));
    for at in positions().filter(|at| *at > 0) {
        for (etag, size) in [("\"2\"", SIZE), ("\"1\"", SIZE - 1)] {
            let disk = Disk::default();
            let outcome = run(remote(), CacheMode::Auto, Some(&disk), |number, request| {
                Some(if number == 0 {
                    serve(&old, "\"1\"", request).cut(at)
                } else {
                    serve(&new[..size.max(at + 1)], etag, request)
                })
            });
            if size == SIZE || at + 1 < SIZE {
                assert_eq!(outcome.code(), ErrorCode::Network, "{at}");
                assert_eq!(disk.with(|disk| (disk.file.len(), disk.record.len())), (0, 0));
            }
        }
    }
}

#[test]
fn a_body_that_ends_early_is_asked_for_the_rest() {
    let bytes = file(1);
    let outcome = run(remote(), CacheMode::Off, None, |number, request| {
        let mut answer = serve(&bytes, "\"1\"", request);
        answer.body.truncate(if number == 0 { 1_000_000 } else { usize::MAX });
        Some(answer)
    });
    assert_eq!(outcome.requests, [None, Some((1_000_000, None))]);
    assert!(outcome.bytes() == bytes);
    let never = run(remote(), CacheMode::Off, None, |_, request| {
        let mut answer = serve(&bytes, "\"1\"", request);
        answer.body.truncate(if range(request).is_none() { 1_000_000 } else { 0 });
        Some(answer)
    });
    assert_eq!(never.code(), ErrorCode::Truncated);
    assert!(never.result.unwrap_err().message().contains(&format!("1000000 of {SIZE}")));
}

#[test]
fn more_bytes_than_promised_are_refused() {
    let bytes = file(1);
    let outcome = run(remote(), CacheMode::Off, None, |_, request| {
        let mut answer = serve(&bytes, "\"1\"", request);
        answer.body.push(0);
        Some(answer)
    });
    assert_eq!(outcome.code(), ErrorCode::Malformed);
    let sized = Remote { size: Some(SIZE as u64 - 1), ..remote() };
    let outcome = run(sized, CacheMode::Off, None, |_, request| Some(serve(&bytes, "\"1\"", request)));
    assert_eq!(outcome.code(), ErrorCode::Integrity, "another size than the hub says");
}

#[test]
fn what_is_no_model_is_refused_by_name() {
    for (answer, words) in [
        (Answer::status(404), "answered 404"),
        (Answer::status(403), "token"),
        (
            Answer { response: Response { status: 200, html: true, ..Response::default() }, ..Answer::status(200) },
            "web page",
        ),
        (Answer { body: b"<html>".to_vec(), ..Answer::status(200) }, "begins with \"<\""),
        (
            Answer {
                response: Response { encoding: Some("gzip".into()), ..Answer::status(200).response },
                ..Answer::status(200)
            },
            "gzip",
        ),
    ] {
        let mut answer = Some(answer);
        let outcome = run(remote(), CacheMode::Off, None, |_, _| answer.take());
        assert_eq!(outcome.requests.len(), 1, "{words}: asking again would not help");
        let error = outcome.result.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Http, "{error}");
        assert!(error.message().contains(words) && error.message().contains(URL), "{error}");
    }
    let empty = run(remote(), CacheMode::Off, None, |_, request| Some(serve(b"", "\"1\"", request)));
    assert_eq!(empty.code(), ErrorCode::Truncated);
}

#[test]
fn a_busy_server_is_given_the_time_it_asks_for() {
    let bytes = file(1);
    let busy = |status, retry_after_ms| {
        move |number: usize, request: &Request| {
            let answer =
                Answer { response: Response { status, retry_after_ms, ..Response::default() }, ..Answer::status(0) };
            Some(if number < 3 { answer } else { serve(&file(1), "\"1\"", request) })
        }
    };
    let outcome = run(remote(), CacheMode::Off, None, busy(429, Some(7000)));
    assert_eq!(outcome.waits, [7000, 7000, 7000]);
    assert!(outcome.bytes() == bytes);
    assert!(run(remote(), CacheMode::Off, None, busy(503, None)).bytes() == bytes);
    let patient = run(remote(), CacheMode::Off, None, busy(503, Some(3_600_000)));
    assert_eq!(patient.code(), ErrorCode::Http);
    assert!(patient.result.unwrap_err().message().contains("3600 seconds"));
}

#[test]
fn an_address_that_has_expired_is_asked_for_again() {
    let bytes = file(1);
    let outcome = run(remote(), CacheMode::Off, None, |number, request| match number {
        0 => Some(serve(&bytes, "\"1\"", request).cut(800_000)),
        1 => Some(Answer::status(403)),
        _ => Some(serve(&bytes, "\"1\"", request)),
    });
    assert_eq!(outcome.requests, [None, Some((800_000, None)), Some((800_000, None))]);
    assert!(outcome.bytes() == bytes);
}

#[test]
fn what_the_browser_unpacks_has_no_length_and_no_ranges() {
    let bytes = file(1);
    let decoding = Remote { headers: vec![("decodes".into(), String::new())], ..remote() };
    let outcome = run(decoding, CacheMode::Auto, Some(&Disk::default()), |number, _| {
        let response = Response { encoding: Some("gzip".into()), length: Some(99), ..Answer::status(200).response };
        let answer = Answer { response, body: bytes.clone(), ending: Ending::End };
        Some(if number == 0 { answer.cut(700_000) } else { answer })
    });
    assert_eq!(outcome.requests, [Some((0, None)), None]);
    assert!(outcome.notices.iter().any(|notice| notice.contains("how long")), "{:?}", outcome.notices);
    assert!(outcome.bytes() == bytes);
}

#[test]
fn a_pinned_copy_needs_no_question_and_another_needs_one() {
    let bytes = file(1);
    let disk = filled(pinned(&bytes), &bytes);
    let outcome = run(pinned(&bytes), CacheMode::Auto, Some(&disk), |_, _| None);
    assert_eq!(outcome.requests, []);
    assert!(outcome.bytes() == bytes);

    let disk = filled(remote(), &bytes);
    let asked = run(remote(), CacheMode::Auto, Some(&disk), |_, request| Some(serve(&bytes, "\"1\"", request)));
    assert_eq!(asked.requests, [Some((0, Some(0)))]);
    assert!(asked.bytes() == bytes);
    let offline = run(remote(), CacheMode::Auto, Some(&disk), |_, _| None);
    assert!(offline.notices[0].contains("may be an old one"), "{:?}", offline.notices);
    assert!(offline.bytes() == bytes);
    let only = run(remote(), CacheMode::Only, Some(&disk), |_, _| unreachable!("no request is allowed"));
    assert!(only.bytes() == bytes);
    let none = run(remote(), CacheMode::Only, Some(&Disk::default()), |_, _| unreachable!("no request is allowed"));
    assert_eq!(none.code(), ErrorCode::Network);
}

#[test]
fn a_copy_of_a_file_that_has_changed_is_replaced() {
    let (old, new) = (file(1), file(2));
    let disk = filled(remote(), &old);
    let outcome = run(remote(), CacheMode::Auto, Some(&disk), |_, request| Some(serve(&new, "\"2\"", request)));
    assert_eq!(outcome.requests, [Some((0, Some(0))), None]);
    assert!(outcome.bytes() == new && disk.with(|disk| disk.file == new));
}

/// The process dies in every one of its writes, in the middle of it; the next one goes on.
#[test]
fn a_load_that_dies_in_any_write_costs_one_block() {
    let bytes = file(1);
    let writes = {
        let disk = Disk::default();
        disk.with(|disk| disk.writes = Some(usize::MAX));
        run(remote(), CacheMode::Auto, Some(&disk), |_, request| Some(serve(&bytes, "\"1\"", request))).bytes();
        usize::MAX - disk.with(|disk| disk.writes).unwrap()
    };
    assert!(writes > 30, "{writes}");
    for count in 0..writes {
        for remote in [remote(), pinned(&bytes)] {
            let disk = Disk::default();
            disk.with(|disk| (disk.writes, disk.dies) = (Some(count), true));
            // The download notices only that its store fails; what matters is the disk it leaves.
            run(remote.clone(), CacheMode::Auto, Some(&disk), |_, request| Some(serve(&bytes, "\"1\"", request)));
            disk.with(|disk| (disk.writes, disk.dies) = (Some(usize::MAX), false));
            let there = disk.record().map_or(0, |record| record.stored()) as usize;
            let written = disk.with(|disk| disk.file.len());
            assert!(there + 2 * BLOCK_BYTES as usize > written, "{count}: {there} of {written}");
            let outcome = run(remote, CacheMode::Auto, Some(&disk), |_, request| Some(serve(&bytes, "\"1\"", request)));
            assert!(outcome.read <= SIZE - there + 1, "{count}: {} read again", outcome.read);
            assert!(outcome.bytes() == bytes, "{count}");
            assert!(disk.record().unwrap().complete && disk.with(|disk| disk.file == bytes), "{count}");
        }
    }
}

#[test]
fn a_full_disk_at_any_write_does_not_stop_a_load() {
    let bytes = file(1);
    for count in 0..40 {
        let disk = Disk::default();
        disk.with(|disk| disk.writes = Some(count));
        let outcome =
            run(pinned(&bytes), CacheMode::Auto, Some(&disk), |_, request| Some(serve(&bytes, "\"1\"", request)));
        if disk.record().is_none_or(|record| !record.complete) {
            assert!(outcome.notices[0].contains("not kept"), "{count}: {:?}", outcome.notices);
        }
        assert!(outcome.bytes() == bytes, "{count}");
        disk.with(|disk| disk.writes = Some(usize::MAX));
        let again =
            run(pinned(&bytes), CacheMode::Auto, Some(&disk), |_, request| Some(serve(&bytes, "\"1\"", request)));
        assert!(again.bytes() == bytes, "{count}");
    }
}

#[test]
fn a_damaged_byte_on_disk_costs_one_block() {
    let bytes = file(1);
    for remote in [remote(), pinned(&bytes)] {
        let disk = filled(remote.clone(), &bytes);
        for at in positions() {
            disk.with(|disk| disk.file[at] ^= 4);
            let outcome =
                run(remote.clone(), CacheMode::Auto, Some(&disk), |_, request| Some(serve(&bytes, "\"1\"", request)));
            assert!(outcome.notices[0].contains("damaged"), "{:?}", outcome.notices);
            assert!(outcome.read <= BLOCK_BYTES as usize + 1, "{at}: {}", outcome.read);
            assert!(outcome.bytes() == bytes, "{at}");
            assert!(disk.with(|disk| disk.file == bytes), "{at}: and it is repaired");
            let only = run(remote.clone(), CacheMode::Only, Some(&disk), |_, _| None);
            assert!(only.bytes() == bytes, "{at}");
        }
        disk.with(|disk| disk.file[5] ^= 1);
        assert_eq!(run(remote, CacheMode::Only, Some(&disk), |_, _| None).code(), ErrorCode::Io);
    }
}

#[test]
fn a_file_on_disk_that_somebody_replaced_is_downloaded_again() {
    let bytes = file(1);
    let disk = filled(pinned(&bytes), &bytes);
    for (other, record) in [(file(2), true), (Vec::new(), true), (bytes[..1_500_000].to_vec(), true), (file(3), false)]
    {
        disk.with(|disk| {
            disk.file = other;
            if !record {
                disk.record = "{\"file\":".into();
            }
        });
        let outcome =
            run(pinned(&bytes), CacheMode::Auto, Some(&disk), |_, request| Some(serve(&bytes, "\"1\"", request)));
        assert!(outcome.bytes() == bytes);
        assert!(disk.with(|disk| disk.file == bytes));
    }
}

#[test]
fn a_damaged_byte_from_the_network_never_yields_a_file() {
    let bytes = file(1);
    for at in positions() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 2;
        let disk = Disk::default();
        let outcome =
            run(pinned(&bytes), CacheMode::Auto, Some(&disk), |_, request| Some(serve(&damaged, "\"1\"", request)));
        assert_eq!(outcome.code(), ErrorCode::Integrity, "{at}");
        assert_eq!(disk.with(|disk| (disk.file.len(), disk.record.len())), (0, 0), "{at}: nothing of it is kept");
    }
    // A repair is held to the checksum of the block it replaces.
    let disk = filled(pinned(&bytes), &bytes);
    disk.with(|disk| disk.file[1_200_000] ^= 1);
    let outcome =
        run(pinned(&bytes), CacheMode::Auto, Some(&disk), |_, request| Some(serve(&file(2), "\"1\"", request)));
    assert_eq!(outcome.code(), ErrorCode::Integrity);
}

#[test]
fn a_load_that_is_stopped_anywhere_goes_on_later() {
    let bytes = file(1);
    for at in positions() {
        let disk = Disk::default();
        let first = run(pinned(&bytes), CacheMode::Auto, Some(&disk), |number, request| {
            (number == 0).then(|| serve(&bytes, "\"1\"", request).cut(at))
        });
        assert_eq!(first.code(), ErrorCode::Network, "{at}");
        let there = disk.record().map_or(0, |record| record.stored()) as usize;
        assert!(at < there + BLOCK_BYTES as usize, "{at}");
        let outcome =
            run(pinned(&bytes), CacheMode::Auto, Some(&disk), |_, request| Some(serve(&bytes, "\"1\"", request)));
        assert_eq!(outcome.read, SIZE - there, "{at}");
        assert!(outcome.bytes() == bytes, "{at}");
    }
}

#[test]
fn what_the_consumer_says_ends_a_load() {
    let mut download: Download<Handle> = Download::new(remote(), Policy::default(), CacheMode::Off, None, 0).unwrap();
    let Step::Request(request) = download.step() else { panic!() };
    download.respond(&serve(&file(1), "\"1\"", &request).response).unwrap();
    let error = download.receive(b"GGUF", &mut |_| Err(err!(NotGguf, "no"))).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotGguf);
}
