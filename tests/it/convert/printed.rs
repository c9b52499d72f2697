//! What `inspect`, `convert` and `verify` print, and how they exit.

use super::*;
use crate::common::webtern;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A checkpoint with SubLN norms and rows that fit no ternary block.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoint = Checkpoint::new("BitnetForCausalLM", 64, 96, 2, 2);
    for layer in 0..2 {
        checkpoint.sub_norm(layer, "self_attn.o_proj");
        checkpoint.sub_norm(layer, "mlp.down_proj");
    }
    for (name, bytes) in checkpoint.files() {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// Exit code, standard output and standard error.
fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = webtern().args(args).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn text(folder: &Path, args: &[&str]) -> String {
    let (code, out, err) = run(folder, args);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    out
}

#[track_caller]
fn has(text: &str, lines: &[&str]) {
    for wanted in lines {
        assert!(text.lines().any(|line| line == *wanted), "{text}\nlacks the line {wanted:?}");
    }
}

/// The columns in which `word` stands in rows of the table that opens the text.
fn columns(text: &str, word: &str) -> Vec<usize> {
    let mut found: Vec<usize> =
        text.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.find(word)).collect();
    found.dedup();
    found
}

const NOTES: [&str; 4] = ["sub-norms", "block-size-assumed", "attention-assumed", "shift-assumed"];

#[test]
fn the_answers_of_people_are_aligned_and_complete() {
    let folder = folder();
    let path = folder.path();
    let before = text(path, &["inspect", "."]);
    let written = text(path, &["convert", ".", "-o", "model.gguf"]);
    for out in [&before, &written] {
        has(
            out,
            &[
                "architecture   BitnetForCausalLM to bitnet",
                "ternary        yes: the class is BitNet",
                "weights        full-precision masters, ternarized with one scale a tensor",
                "sub-norms      two",
                "tokenizer      gpt2 (gpt-2), 288 tokens",
                "diffusion      yes: mask token 2 (|<MASK>|), block size 32, block attention, rows predict the next position",
                "modes          adaptive, iterative, greedy, ar",
                "  tensor blk.0.ffn_down.weight and 1 more",
            ],
        );
        assert_eq!(columns(out, " to ").len(), 1, "{out}");
        for code in NOTES {
            assert_eq!(out.matches(&format!("[{code}]")).count(), 1, "{out}");
        }
    }
    assert_eq!(before.matches("% zeros").count(), 7, "the first layer: {before}");
    assert_eq!(written.matches("% zeros").count(), 14, "{written}");
    has(&written, &["written        model.gguf"]);

    let inspected = text(path, &["inspect", "model.gguf"]);
    has(&inspected, &["architecture   bitnet", "sub-norms      two", "runs: yes"]);
    assert_eq!((columns(&inspected, "  scale ").len(), inspected.matches("% zeros").count()), (1, 12), "{inspected}");

    let verified = text(path, &["verify", "model.gguf", "--against", "."]);
    has(&verified, &["15 matrices and 9 vectors compared", "verified: the file computes what the checkpoint does"]);
    assert_eq!(columns(&verified, "cosine 1.000000").len(), 1, "{verified}");
}

#[test]
fn the_answers_of_programs_keep_their_keys() {
    let folder = folder();
    let path = folder.path();
    let json = |args: &[&str]| serde_json::from_str::<Value>(&text(path, &[args, &["--json"]].concat())).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    let report = "class architecture ternaryBecause weightScale subNorms tokenizer chatTemplate diffusion maskTokenText modes bytes tensors dropped findings";
    let tensor = "name source sourceType type dims fallback origin scale group zeros";
    for args in [&["inspect", "."][..], &["convert", ".", "-o", "model.gguf"]] {
        let found = json(args);
        assert_eq!((keys(&found), keys(&found["tensors"][0])), (report.to_owned(), tensor.to_owned()));
        assert_eq!(
            keys(&found["diffusion"]),
            "maskToken blockSize attention shiftLogits autoregressive acceptance steps threshold tokensPerPass"
        );
        assert_eq!(keys(&found["findings"][0]), "severity code message remedy tensors");
        let codes: Vec<_> = found["findings"].as_array().unwrap().iter().map(|finding| &finding["code"]).collect();
        assert_eq!(codes, [&["fallback-type"], &NOTES[..]].concat());
    }
    let found = json(&["inspect", "model.gguf"]);
    let report = "name architecture files bytes parameters subNorms tokenizer chatTemplate diffusion maskTokenText modes types tensors runs findings";
    assert_eq!(keys(&found), report);
    assert_eq!(keys(&found["types"][0]), "type tensors weights bytes");
    assert_eq!(keys(&found["tensors"][0]), "name type dims scale zeros");
    let found = json(&["verify", "model.gguf", "--against", "."]);
    assert_eq!(keys(&found), "matrices vectors tokenizer findings");
    assert_eq!(keys(&found["matrices"][0]), "name type cosine leastCosine ratio ratioSpread zeros");
    assert_eq!(keys(&found["tokenizer"]), "reference texts differing lossy");
}

#[test]
fn what_is_wrong_is_listed_and_exits_with_1() {
    let folder = folder();
    let path = folder.path();
    text(path, &["convert", ".", "-o", "model.gguf"]);
    let mut file = fs::read(path.join("model.gguf")).unwrap();
    let header = header(&file);
    file[(header.data_offset + header.tensor("output_norm.weight").unwrap().1.offset) as usize] ^= 1;
    fs::write(path.join("model.gguf"), file).unwrap();
    let arguments = ["verify", "model.gguf", "--against", "."];
    let (code, out, err) = run(path, &arguments);
    assert_eq!(code, 1);
    has(&out, &["problem: its values differ from the checkpoint's [vector]", "  tensor output_norm.weight"]);
    assert_eq!(err, "webtern: model.gguf differs from the checkpoint; what is wrong is listed above [malformed]\n");
    let (code, out, err) = run(path, &[&arguments[..], &["--json"]].concat());
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, err.as_str(), &found["findings"][0]["severity"]), (1, "", &json!("problem")));

    for (arguments, exit, words) in [
        (&["verify", "model.gguf"][..], 2, "--against"),
        (&["verify", "none.gguf", "--against", "."], 1, "none.gguf: No such file"),
        (&["verify", "model.gguf", "--against", "none"], 1, "none: "),
        (&["verify", "..", "--against", "."], 2, "..: not a file name"),
        (&["inspect", "none-00001-of-00002.gguf"], 1, "none-00001-of-00002.gguf: "),
    ] {
        let (code, out, err) = run(path, arguments);
        assert_eq!((code, out.as_str()), (exit, ""), "{err}");
        assert!(err.contains(words), "{arguments:?}: {err}");
    }
}
