//! Sessions in files: `--session FILE` of `generate` and `chat`.

use crate::common::{toy, webtern};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

fn generate(model: &Path, session: &Path, args: &[&str]) -> Output {
    let mut command = webtern();
    command.arg("generate").arg(model).arg("--session").arg(session).args(args).args(["--json"]);
    command.output().unwrap()
}

#[track_caller]
fn outcome(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What `webtern chat` prints for some lines.
#[track_caller]
fn chat(session: Option<&Path>, lines: &str) -> Vec<Value> {
    let mut command = webtern();
    command.args(["chat", "tiny", "--json", "-n", "40"]);
    session.map(|path| command.arg("--session").arg(path));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_conversation_goes_on_where_it_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.session");
    let (first, second) = ("What is 24 + 64?\n", "Spell the word house.\n");
    let whole = chat(None, &format!("{first}{second}"));
    let parts = [chat(Some(&path), first), chat(Some(&path), second)].concat();
    let texts = |outcomes: &[Value]| outcomes.iter().map(|outcome| outcome["tokens"].clone()).collect::<Vec<_>>();
    assert_eq!(texts(&parts), texts(&whole));
    assert_eq!(parts[1]["stats"]["promptTokens"], whole[1]["stats"]["promptTokens"]);
    assert_eq!(parts[1]["stats"]["reusedTokens"], whole[1]["stats"]["reusedTokens"], "nothing is read twice");
    let more = chat(Some(&path), &format!("/reset\n{first}"));
    assert_eq!(more[0]["tokens"], whole[0]["tokens"]);
}

#[test]
fn text_goes_on_where_it_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let (model, session) = (folder.path().join("toy.gguf"), folder.path().join("text.session"));
    std::fs::write(&model, toy()).unwrap();
    let args = |count: &'static str| ["-p", "ab", "-n", count, "--mode", "ar"];
    let tokens = |outcome: Value| outcome["tokens"].as_array().unwrap().clone();
    let mut both = tokens(outcome(&generate(&model, &session, &args("5"))));
    let more = outcome(&generate(&model, &session, &["-p", "", "-n", "5", "--mode", "ar"]));
    assert!(more["stats"]["reusedTokens"].as_u64() > Some(4), "{more}");
    both.extend(tokens(more));
    let whole = tokens(outcome(&generate(&model, &folder.path().join("other.session"), &args("10"))));
    assert_eq!(both, whole);
}

#[test]
fn sessions_that_cannot_be_used_are_refused_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (model, session) = (folder.path().join("toy.gguf"), folder.path().join("text.session"));
    std::fs::write(&model, toy()).unwrap();
    let args = ["-p", "ab", "-n", "5"];
    outcome(&generate(&model, &session, &args));
    let saved = std::fs::read(&session).unwrap();
    let refusal = |output: Output| {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let error = serde_json::from_slice::<Value>(&output.stdout).unwrap()["error"].clone();
        assert!(error["message"].as_str().unwrap().contains("text.session"), "{error}");
        error["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(refusal(generate(Path::new("tiny"), &session, &args)), "foreign-session");
    assert_eq!(std::fs::read(&session).unwrap(), saved);
    let mut damaged = saved.clone();
    damaged[saved.len() - 40] ^= 1;
    for (bytes, code) in [
        (&damaged[..], "integrity"),
        (&saved[..saved.len() - 1], "truncated"),
        (&b"a text that is no session at all"[..], "malformed"),
    ] {
        std::fs::write(&session, bytes).unwrap();
        assert_eq!(refusal(generate(&model, &session, &args)), code);
    }
}
