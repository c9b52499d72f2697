//! Models from the network and the cache, by the command line, against servers that misbehave.

use crate::common::server::{Received, Reply, Server};
use crate::common::{toy, webtern};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;
use tempfile::TempDir;

/// A model of 2.3 MB: bytes after the last tensor mean nothing, but they are downloaded.
fn model() -> Vec<u8> {
    let mut bytes = toy();
    let mut state = 1u32;
    bytes.extend(
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(2_300_000 - bytes.len()),
    );
    bytes
}

fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A program whose cache is `cache`.
fn command(cache: &Path, args: &[&str]) -> Command {
    let mut command = webtern();
    command.args(args).env("WEBTERN_CACHE", cache).env_remove("HF_TOKEN").env_remove("HF_ENDPOINT");
    // Whatever the machine has for a proxy is not for the loopback interface.
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(proxy);
    }
    command.stdin(Stdio::null());
    command
}

fn run(cache: &Path, args: &[&str]) -> Output {
    command(cache, args).output().unwrap()
}

/// What a run that must succeed prints.
#[track_caller]
fn text(cache: &Path, args: &[&str]) -> String {
    let output = run(cache, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The code and the message of a run that must fail.
#[track_caller]
fn failure(cache: &Path, args: &[&str]) -> (String, String) {
    let output = run(cache, &[args, &["--json"]].concat());
    assert!(!output.status.success(), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let word = |name: &str| answer["error"][name].as_str().unwrap().to_owned();
    (word("code"), word("message"))
}

/// The arguments that generate a few tokens.
fn generate(model: &str) -> [&str; 6] {
    ["generate", model, "-p", "ab", "-n", "8"]
}

/// What the model writes when it is a file.
fn expected(folder: &TempDir) -> String {
    let path = folder.path().join("plain.gguf");
    std::fs::write(&path, model()).unwrap();
    text(folder.path(), &generate(path.to_str().unwrap()))
}

fn files(cache: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

fn ranges(requests: &[Received]) -> Vec<Option<(usize, Option<usize>)>> {
    requests.iter().map(Received::range).collect()
}

#[test]
fn a_model_from_an_address_is_loaded_kept_and_found_again() {
    let (folder, cache) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = Server::start(|_, request| Reply::file(&model(), request));
    let url = server.url("/model.gguf?download=true");
    let expected = expected(&folder);
    assert_eq!(text(cache.path(), &generate(&url)), expected);
    assert_eq!(ranges(&server.take()), [None]);
    assert_eq!(text(cache.path(), &generate(&url)), expected);
    assert_eq!(ranges(&server.take()), [Some((0, Some(0)))], "whether it has changed is all that is asked");
    let offline = [&generate(&url)[..], &["--offline"]].concat();
    assert_eq!(text(cache.path(), &offline), expected);
    assert_eq!(server.take(), []);
    let uncached = [&generate(&url)[..], &["--no-cache"]].concat();
    assert_eq!(text(cache.path(), &uncached), expected);
    assert_eq!(ranges(&server.take()), [None]);
    let report: Value = serde_json::from_str(&text(cache.path(), &["inspect", &url, "--json"])).unwrap();
    assert_eq!(report["bytes"], model().len());
}

#[test]
fn a_server_that_cuts_is_asked_for_the_rest() {
    let (folder, cache) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = Server::start(|_, request| Reply { cut: Some(700_000), ..Reply::file(&model(), request) });
    assert_eq!(text(cache.path(), &generate(&server.url("/m.gguf"))), expected(&folder));
    let first = |number: usize| Some((700_000 * number, None));
    assert_eq!(ranges(&server.take()), [None, first(1), first(2), first(3)]);
}

#[test]
fn a_server_that_falls_silent_is_asked_again() {
    let cache = TempDir::new().unwrap();
    let server = Server::start(|number, request| Reply {
        stall: (number == 0).then_some(900_000),
        ..Reply::file(&model(), request)
    });
    let begun = Instant::now();
    text(cache.path(), &[&generate(&server.url("/m.gguf"))[..], &["--timeout", "3"]].concat());
    assert!(begun.elapsed().as_secs() < 55, "the server is silent for a minute");
    // On a machine that is busy, others may have been silent as well.
    assert!(ranges(&server.take()).starts_with(&[None, Some((900_000, None))]));
}

/// A program that is killed leaves what it has; the next one goes on from there.
#[test]
fn a_download_that_was_killed_goes_on() {
    let (folder, cache) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = Server::start(|number, request| Reply {
        stall: (number == 0).then_some(1_500_000),
        ..Reply::file(&model(), request)
    });
    let url = server.url("/m.gguf");
    let mut first = command(cache.path(), &generate(&url)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while files(cache.path(), "part").first().is_none_or(|part| part.metadata().unwrap().len() < 1_500_000) {
        assert!(begun.elapsed().as_secs() < 60, "the download does not arrive");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(text(cache.path(), &generate(&url)), expected(&folder));
    assert_eq!(ranges(&server.take()), [None, Some((1 << 20, None))], "whole blocks are kept");
    assert_eq!(files(cache.path(), "part"), Vec::<PathBuf>::new());
}

#[test]
fn a_damaged_copy_is_repaired() {
    let (folder, cache) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = Server::start(|_, request| Reply::file(&model(), request));
    let args = ["--sha256", &checksum(&model())];
    let url = server.url("/m.gguf");
    let load = || text(cache.path(), &[&generate(&url)[..], &args].concat());
    let expected = expected(&folder);
    assert_eq!(load(), expected);
    let copy = files(cache.path(), "gguf").remove(0);
    let mut bytes = std::fs::read(&copy).unwrap();
    bytes[1_100_000] ^= 1;
    std::fs::write(&copy, bytes).unwrap();
    server.take();
    assert_eq!(load(), expected);
    assert_eq!(ranges(&server.take()), [Some((1 << 20, Some((2 << 20) - 1)))]);
    assert_eq!(std::fs::read(&copy).unwrap(), model());
}

#[test]
fn a_wrong_checksum_yields_no_model() {
    let cache = TempDir::new().unwrap();
    let server = Server::start(|_, request| Reply::file(&model(), request));
    let (url, other) = (server.url("/m.gguf"), checksum(b"other"));
    let (code, message) = failure(cache.path(), &[&generate(&url)[..], &["--sha256", &other]].concat());
    assert_eq!(code, "integrity");
    assert!(message.contains(&other) && message.contains(&checksum(&model())), "{message}");
    assert_eq!((files(cache.path(), "part"), files(cache.path(), "gguf")), (Vec::new(), Vec::new()));
}

#[test]
fn failures_say_what_to_do() {
    let cache = TempDir::new().unwrap();
    let html = || Reply { headers: vec![("Content-Type", "text/html".into())], ..Reply::status(200) };
    let server = Server::start(move |_, request| match request.path.as_str() {
        "/page.gguf" => Reply { body: b"<!doctype html>".to_vec(), ..html() },
        "/gzip.gguf" => {
            Reply { headers: vec![("Content-Encoding", "gzip".into())], body: vec![31, 139], ..Reply::status(200) }
        }
        "/busy.gguf" => Reply { headers: vec![("Retry-After", "9999".into())], ..Reply::status(503) },
        "/text.gguf" => Reply { body: b"hello, this is no model".to_vec(), ..Reply::status(200) },
        _ => Reply::status(404),
    });
    for (path, code, words) in [
        ("/none.gguf", "http", "answered 404"),
        ("/page.gguf", "http", "web page"),
        ("/gzip.gguf", "http", "gzip"),
        ("/busy.gguf", "http", "9999 seconds"),
        ("/text.gguf", "not-gguf", "does not begin with the letters GGUF"),
        ("/m-00002-of-00002.gguf", "bad-option", "give the first part"),
    ] {
        let (found, message) = failure(cache.path(), &generate(&server.url(path)));
        assert_eq!(found, code, "{message}");
        assert!(message.contains(words) && message.contains(path), "{message}");
    }
    let (code, message) = failure(cache.path(), &[&generate("smollm2-135m")[..], &["--offline"]].concat());
    assert_eq!(code, "network");
    assert!(message.contains("not in the cache"), "{message}");
}

/// A hub with one repository: the listing, and files that redirect to addresses that expire.
fn hub() -> Server {
    Server::start(move |_, request| {
        let path = request.path.as_str();
        if request.header("authorization") != Some("Bearer secret") && !path.starts_with("/signed/") {
            return Reply::status(401);
        }
        match path {
            "/api/models/me/toy/revision/main?blobs=true" => {
                let lfs = serde_json::json!({ "sha256": checksum(&model()), "size": model().len() });
                let files = serde_json::json!([
                    { "rfilename": "toy-F16.gguf", "size": 1 },
                    { "rfilename": "sub dir/toy-Q4_0.gguf", "size": model().len(), "lfs": lfs },
                ]);
                let body = serde_json::json!({ "sha": "c0ffee", "siblings": files }).to_string().into_bytes();
                Reply { body, ..Reply::status(200) }
            }
            "/me/toy/resolve/c0ffee/sub%20dir/toy-Q4_0.gguf" => Reply::redirect("/signed/1"),
            "/signed/1" => Reply { cut: Some(1_300_000), ..Reply::file(&model(), request) },
            _ => Reply::status(404),
        }
    })
}

#[test]
fn a_repository_is_downloaded_by_its_commit() {
    let (folder, cache) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let hub = hub();
    let load = |args: &[&str]| {
        let args = [&generate("hf:me/toy")[..], args].concat();
        let output =
            command(cache.path(), &args).env("HF_ENDPOINT", hub.url("")).env("HF_TOKEN", "secret").output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{words}");
        (String::from_utf8(output.stdout).unwrap(), words)
    };
    let (answer, words) = load(&[]);
    assert_eq!(answer, expected(&folder));
    assert!(words.contains("toy-Q4_0.gguf is chosen; others are toy-F16.gguf"), "{words}");
    let requests = hub.take();
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    let file = "/me/toy/resolve/c0ffee/sub%20dir/toy-Q4_0.gguf";
    assert_eq!(paths, ["/api/models/me/toy/revision/main?blobs=true", file, "/signed/1", file, "/signed/1"]);
    assert_eq!(requests[4].range(), Some((1_300_000, None)), "a range survives the redirect");
    // A stored copy of a commit needs no question but which commit that is.
    load(&[]);
    assert_eq!(hub.take().len(), 1);
    load(&["--offline"]);
    assert_eq!(hub.take().len(), 0);
    let names = std::fs::read_dir(cache.path()).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    assert!(
        !names.flatten().collect::<Vec<u8>>().windows(6).any(|bytes| bytes == b"secret"),
        "the token is kept nowhere"
    );
}

#[test]
fn models_lists_downloads_and_deletes() {
    let cache = TempDir::new().unwrap();
    let server = Server::start(|_, request| Reply::file(&model(), request));
    let url = server.url("/m.gguf");
    let list = || serde_json::from_str::<Value>(&text(cache.path(), &["models", "--json"])).unwrap();
    assert_eq!(list()["stored"], Value::Array(Vec::new()));
    assert_eq!(list()["models"][0]["name"], "smollm2-135m");
    let path = text(cache.path(), &["models", "download", &url]);
    assert_eq!(std::fs::read(path.trim_end()).unwrap(), model());
    let stored = &list()["stored"][0];
    assert_eq!(
        (&stored["complete"], &stored["url"], &stored["size"]),
        (&true.into(), &url.as_str().into(), &model().len().into())
    );
    assert!(text(cache.path(), &["models"]).contains(&url));
    text(cache.path(), &["models", "delete", &url]);
    assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0);
    assert_eq!(failure(cache.path(), &["models", "delete", &url]).0, "bad-option");
    text(cache.path(), &["models", "download", &url]);
    text(cache.path(), &["models", "clear"]);
    assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0);
}

/// Two programs that want the same model: one downloads.
#[test]
fn two_programs_download_once() {
    let cache = TempDir::new().unwrap();
    let server = Server::start(|_, request| {
        std::thread::sleep(std::time::Duration::from_millis(300));
        Reply::file(&model(), request)
    });
    let (url, sha256) = (server.url("/m.gguf"), checksum(&model()));
    let args = [&generate(&url)[..], &["--sha256", &sha256]].concat();
    let both: Vec<_> = (0..2).map(|_| command(cache.path(), &args).stdout(Stdio::piped()).spawn().unwrap()).collect();
    let outputs: Vec<Output> = both.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    assert!(outputs.iter().all(|output| output.status.success()));
    assert_eq!(outputs[0].stdout, outputs[1].stdout);
    assert_eq!(server.take().len(), 1);
}

#[test]
fn a_cache_that_cannot_be_written_is_left_out() {
    let folder = TempDir::new().unwrap();
    let blocked = folder.path().join("a-file");
    std::fs::write(&blocked, "not a folder").unwrap();
    let server = Server::start(|_, request| Reply::file(&model(), request));
    let output = run(&blocked, &generate(&server.url("/m.gguf")));
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing is kept in the cache"));
}
