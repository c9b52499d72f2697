//! The command line: what it prints where, how it exits, with text and with `--json`.

use crate::common;
use crate::common::{rewritten, toy, webtern};
use serde_json::Value;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Output, Stdio};
use tempfile::NamedTempFile;

fn model() -> NamedTempFile {
    stored(&toy())
}

fn stored(model: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix(".gguf").unwrap();
    file.write_all(model).unwrap();
    file
}

fn run(command: &str, model: &Path, args: &[&str]) -> Output {
    webtern().arg(command).arg(model).args(args).stdin(Stdio::null()).output().unwrap()
}

/// What a command that must succeed prints.
#[track_caller]
fn text(command: &str, model: &Path, args: &[&str]) -> String {
    let output = run(command, model, args);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn json(command: &str, model: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&text(command, model, &[args, &["--json"]].concat())).unwrap()
}

#[test]
fn inspect_describes_a_model() {
    let model = model();
    let report = json("inspect", model.path(), &[]);
    assert_eq!(report["architecture"], "llama");
    assert_eq!(
        report["diffusion"],
        serde_json::json!({
            "maskToken": 259, "blockSize": 32, "attention": "block", "shiftLogits": true, "autoregressive": false,
            "acceptance": null, "steps": null, "threshold": null, "tokensPerPass": null,
        })
    );
    assert_eq!(report["tensors"].as_array().unwrap().len(), 20);
    assert_eq!((&report["runs"], &report["maskTokenText"]), (&true.into(), &"|<MASK>|".into()));
    assert_eq!(report["findings"], serde_json::json!([]));
    let query = &report["tensors"][3];
    assert_eq!((&query["name"], &query["type"]), (&"blk.0.attn_q.weight".into(), &"Q2_0".into()));
    assert!(query["zeros"].as_f64().is_some_and(|zeros| (0.2..0.5).contains(&zeros)), "{query}");
    assert_eq!(report["bytes"], toy().len());
    let text = text("inspect", model.path(), &[]);
    for words in ["architecture   llama", "yes: mask token 259 (|<MASK>|)", "blk.1.ffn_down.weight", "runs: yes"] {
        assert!(text.contains(words), "{text} lacks {words:?}");
    }
}

#[test]
fn generate_prints_text_and_json() {
    let model = model();
    for mode in ["auto", "ar", "greedy", "iterative", "adaptive"] {
        let args = ["-p", "ab", "-n", "12", "--mode", mode];
        let outcome = json("generate", model.path(), &args);
        assert_eq!(outcome["tokens"].as_array().unwrap().len(), 12, "{outcome}");
        assert_eq!(outcome["finishReason"], "length");
        assert_eq!(outcome["stats"]["mode"], if mode == "auto" { "adaptive" } else { mode });
        assert_eq!(text("generate", model.path(), &args), format!("{}\n", outcome["text"].as_str().unwrap()));
    }
    let tokens = |args: &[&str]| json("generate", model.path(), args)["tokens"].clone();
    let drawn = ["-p", "ab", "-n", "12", "--mode", "ar", "--temperature", "1"];
    assert_eq!(tokens(&drawn), tokens(&[&drawn[..], &["--seed", "0"]].concat()), "the seed is 0 unless given");
    assert_ne!(tokens(&drawn), tokens(&[&drawn[..], &["--seed", "1"]].concat()));
    let ids = json("tokenize", model.path(), &["ab"])["ids"].to_string();
    assert_eq!(tokens(&["--tokens", ids.trim_matches(['[', ']']), "-n", "9"]), tokens(&["-p", "ab", "-n", "9"]));
    assert_eq!(tokens(&["--chat", "hi", "-n", "3"]).as_array().unwrap().len(), 3);
}

#[test]
fn tokenize_goes_both_ways() {
    let model = model();
    let encoded = json("tokenize", model.path(), &["aé"]);
    // BOS, then a token for each byte, the first of which has id 3. Sentencepiece puts a space in
    // front, which it spells ▁.
    let bytes = |text: &str| text.bytes().map(|byte| u32::from(byte) + 3).collect::<Vec<_>>();
    assert_eq!(encoded["ids"], serde_json::json!([vec![1], bytes("▁aé")].concat()));
    assert_eq!(encoded["pieces"].as_array().unwrap().len(), 7);
    assert_eq!(text("tokenize", model.path(), &["a"]).lines().count(), 5);
    assert_eq!(json("tokenize", model.path(), &["a", "--no-special"])["ids"], serde_json::json!(bytes("▁a")));
    assert_eq!(text("tokenize", model.path(), &["--decode", "35,100,198,172"]), "aé\n");
    assert_eq!(json("tokenize", model.path(), &["--decode", "100"])["text"], "a");
}

#[test]
fn perplexity_scores_a_text_and_compares_files() {
    let (model, mut words) = (model(), NamedTempFile::new().unwrap());
    // Byte tokens, three for each space: 784 with BOS, in 12 windows whose second halves count.
    words.write_all("some words, again and again; ".repeat(20).as_bytes()).unwrap();
    let path = words.path().to_owned();
    let path = path.to_str().unwrap();
    let same = json("perplexity", model.path(), &[path, "--window", "64", "--against", model.path().to_str().unwrap()]);
    assert_eq!((&same["window"], &same["tokens"]), (&64.into(), &(12 * 31).into()), "{same}");
    // Random weights know nothing: about as likely as any of the 260 tokens.
    let number = |value: &Value| value.as_f64().unwrap();
    assert!((100.0..1000.0).contains(&number(&same["perplexity"])), "{same}");
    assert!((100.0..1000.0).contains(&number(&same["maskedBlockPerplexity"])), "{same}");
    let against = &same["against"];
    assert_eq!(against["perplexity"], same["perplexity"]);
    assert!(number(&against["meanKl"]).abs() < 1e-9 && number(&against["maxKl"]).abs() < 1e-9, "{against}");
    assert_eq!(against["sameTop"], 1.0);
    let other = json("perplexity", model.path(), &[path, "--window", "64"]);
    assert_eq!((&other["perplexity"], &other["against"]), (&same["perplexity"], &Value::Null));
    assert!(text("perplexity", model.path(), &[path, "--window", "64"]).contains("perplexity     "));
    let short = run("perplexity", model.path(), &[path, "--window", "100000"]);
    assert_eq!(short.status.code(), Some(0), "a window is no longer than the context: {short:?}");
    std::fs::write(path, "few").unwrap();
    let short = run("perplexity", model.path(), &[path]);
    assert_eq!(short.status.code(), Some(2), "{short:?}");
    assert!(String::from_utf8_lossy(&short.stderr).contains("less than a window of 128"), "{short:?}");
}

#[test]
fn logits_has_a_row_per_position() {
    let model = model();
    for attention in ["causal", "block"] {
        let logits = json("logits", model.path(), &["--tokens", "1,70,71", "--attention", attention]);
        let rows = logits["logits"].as_array().unwrap();
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|row| row.as_array().unwrap().len() == 260));
    }
    let best = text("logits", model.path(), &["--tokens", "1,70"]);
    assert_eq!(best.lines().count(), 2, "{best}");
    let next = json("generate", model.path(), &["--tokens", "1,70", "-n", "1", "--mode", "ar"])["tokens"][0].clone();
    let line = best.lines().last().unwrap();
    assert!(line.starts_with(&format!("1\t{next} ")), "{line}: the best logit is the next token, {next}");
}

#[test]
fn bench_times_passes_and_kernels() {
    let model = model();
    let timings = json("bench", model.path(), &["--runs", "1"]);
    let names: Vec<&Value> = timings["passes"].as_array().unwrap().iter().map(|pass| &pass["name"]).collect();
    assert_eq!(names, ["prefill", "ar", "sub-block", "block"]);
    let kernels = timings["kernels"].as_array().unwrap();
    assert!(kernels.iter().any(|kernel| kernel["name"] == "scalar ternary" && kernel["gmacs"].as_f64() > Some(0.0)));
    assert!(text("bench", model.path(), &["--runs", "1"]).contains("GMAC/s"));
    let short = run("bench", model.path(), &["--runs", "1", "--context-length", "1"]);
    assert_eq!(short.status.code(), Some(1), "{short:?}");
}

/// The model inside the program, in an empty folder: what it is and that it answers, whatever it
/// answers.
#[test]
fn tiny_needs_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let output =
            webtern().current_dir(folder.path()).args(args).arg("--json").stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let json = |args: &[&str]| serde_json::from_str::<Value>(&run(args)).unwrap();
    let report = json(&["inspect", "tiny"]);
    assert_eq!((&report["architecture"], &report["runs"]), (&"bitnet".into(), &true.into()));
    assert_eq!((&report["maskTokenText"], &report["chatTemplate"]), (&"|<MASK>|".into(), &true.into()));
    assert!(report["findings"].as_array().unwrap().iter().all(|finding| finding["severity"] == "note"), "{report}");

    let ids = json(&["tokenize", "tiny", "What is 2 + 3?"])["ids"].as_array().unwrap().clone();
    let ids = ids.iter().map(Value::to_string).collect::<Vec<_>>().join(",");
    assert_eq!(json(&["tokenize", "tiny", "--decode", &ids])["text"], "What is 2 + 3?");
    let logits = json(&["logits", "tiny", "--tokens", &ids]);
    assert_eq!(logits["logits"].as_array().unwrap().len(), ids.split(',').count());

    for mode in ["ar", "greedy", "iterative", "adaptive"] {
        let outcome = json(&["generate", "tiny", "--chat", "What is 2 + 3?", "--mode", mode, "-n", "40"]);
        assert!(outcome["text"].as_str().is_some_and(|text| !text.is_empty()), "{outcome}");
    }
    assert_eq!(run(&["chat", "tiny"]), "", "nothing was said");
    assert_eq!(json(&["bench", "tiny", "--runs", "1"])["passes"].as_array().unwrap().len(), 4);
    let cases = folder.path().join("cases.jsonl");
    std::fs::write(&cases, r#"{"prompt": "a", "answer": "b", "maxTokens": 4}"#).unwrap();
    let scores = json(&["eval", "tiny", cases.to_str().unwrap()])["scores"].as_array().unwrap().clone();
    assert!(scores.len() > 2 && scores.iter().all(|score| score["cases"] == 1), "{scores:?}");
}

#[test]
fn tiny_is_a_name_and_a_file_called_so_is_reached_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let run = |command: &str, model: &str, args: &[&str]| {
        let mut webtern = webtern();
        webtern.current_dir(folder.path()).arg(command).arg(model).args(args).arg("--json");
        serde_json::from_slice::<Value>(&webtern.output().unwrap().stdout).unwrap()
    };
    let missing = run("generate", "./tiny", &["-p", "a"]);
    assert_eq!(missing["error"]["code"], "io", "{missing}");
    std::fs::write(folder.path().join("tiny"), toy()).unwrap();
    for (model, architecture) in [("tiny", "bitnet"), ("./tiny", "llama")] {
        assert_eq!(run("inspect", model, &[])["architecture"], architecture, "{model}");
    }
    let ids = |model: &str| run("tokenize", model, &["a"])["ids"].clone();
    assert_ne!(ids("tiny"), ids("./tiny"));
    std::fs::remove_file(folder.path().join("tiny")).unwrap();
    std::fs::create_dir(folder.path().join("tiny")).unwrap();
    assert_eq!(run("inspect", "tiny", &[])["architecture"], "bitnet");
    let checkpoint = run("inspect", "./tiny", &[]);
    assert!(checkpoint["error"]["message"].as_str().unwrap().contains("config.json is missing"), "{checkpoint}");
}

#[test]
fn an_assumed_template_is_told_to_those_who_use_it() {
    let model = model();
    let told = |args: &[&str]| {
        let output = run("generate", model.path(), &[args, &["-n", "1"]].concat());
        String::from_utf8(output.stderr).unwrap().contains("ChatML is assumed")
    };
    assert!(told(&["--chat", "a"]) && !told(&["-p", "a"]));
}

#[test]
fn chat_answers_each_line() {
    let model = model();
    let chat = |lines: &str, args: &[&str]| {
        let mut child = webtern()
            .arg("chat")
            .arg(model.path())
            .args(args)
            .args(["-n", "4"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let answers: Vec<Value> =
        chat("a\n\nb\n/reset\na\n", &["--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 3);
    let prompts: Vec<u64> = answers.iter().map(|answer| answer["stats"]["promptTokens"].as_u64().unwrap()).collect();
    assert!(prompts[1] > prompts[0] && prompts[2] == prompts[0], "{prompts:?}");
    assert_eq!(answers[0]["tokens"], answers[2]["tokens"], "/reset forgets everything");
    assert_eq!(chat("a\n/exit\nb\n", &[]), format!("{}\n", answers[0]["text"].as_str().unwrap()));
    let with_system = chat("a\n", &["--json", "--system", "s"]);
    let with_system: Value = serde_json::from_str(&with_system).unwrap();
    assert!(with_system["stats"]["promptTokens"].as_u64().unwrap() > prompts[0]);
}

/// Command, model, arguments, exit code, code and words of the message.
type Failure<'a> = (&'a str, &'a Path, &'a [&'a str], i32, &'a str, &'a str);

/// Exit code, words on standard error (standard output with `--json`), and nothing on the other.
#[test]
fn failures_say_why_and_exit_with_1_or_2() {
    let model = model();
    let path = model.path();
    let missing = Path::new("no-such-model.gguf");
    let mut page = NamedTempFile::new().unwrap();
    page.write_all(b"<html>").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(300);
    let cases: &[Failure<'_>] = &[
        ("generate", missing, &["-p", "a"], 1, "io", "no-such-model.gguf"),
        ("inspect", missing, &[], 1, "io", "no-such-model.gguf"),
        ("inspect", folder.path(), &[], 1, "io", "config.json is missing"),
        ("inspect", page.path(), &[], 1, "not-gguf", "HTML"),
        ("tokenize", page.path(), &["a"], 1, "not-gguf", "HTML"),
        ("generate", page.path(), &["-p", "a"], 1, "not-gguf", "HTML"),
        ("chat", page.path(), &[], 1, "not-gguf", "HTML"),
        ("bench", page.path(), &[], 1, "not-gguf", "HTML"),
        ("logits", path, &["--tokens", "999"], 2, "bad-option", "999"),
        ("tokenize", path, &["--decode", "999"], 2, "bad-option", "999"),
        ("generate", path, &["-p", &long], 1, "context-full", "128"),
        ("generate", path, &["-p", "a", "--temperature=-1"], 2, "bad-option", "temperature"),
        ("generate", path, &["-p", "a", "--context-length", "999"], 2, "bad-option", "999"),
        ("generate", path, &["-p", "a", "--mask-token-id", "2"], 2, "bad-option", "ends answers"),
        // Usage that the parser of arguments refuses.
        ("generate", path, &[], 2, "bad-option", "--prompt"),
        ("generate", path, &["-p", "a", "--chat", "b"], 2, "bad-option", "--chat"),
        ("generate", path, &["-p", "a", "--mode", "fast"], 2, "bad-option", "adaptive"),
        ("logits", path, &[], 2, "bad-option", "--tokens"),
        ("bench", path, &["--runs", "0"], 2, "bad-option", "--runs"),
        ("frobnicate", path, &[], 2, "bad-option", "frobnicate"),
    ];
    for (command, model, args, exit, code, words) in cases {
        let name = format!("{command} {} {args:?}", model.display());
        let output = run(command, model, args);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(*exit), "{name}: {message}");
        assert!(message.contains(words) && !message.contains("panicked"), "{name}: {message}");
        assert!(message.matches("no-such-model").count() <= 1, "{name}: {message}");
        assert_eq!(output.stdout, b"", "{name}");

        let output = run(command, model, &[args, &["--json"][..]].concat());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(*exit), "{name}: {report}");
        assert_eq!(report["error"]["code"], *code, "{name}");
        assert!(report["error"]["message"].as_str().unwrap().contains(words), "{name}: {report}");
        assert_eq!(output.stderr, b"", "{name}");
    }
    let help = webtern().arg("--help").output().unwrap();
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("inspect") && help.contains("`tiny`") && help.contains("`./tiny`"), "{help}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_answer_and_reports_it() {
    // Long enough to be interrupted: the whole context, one token a pass.
    let mut model = common::TOY;
    model.shape.context_length = 1 << 16;
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(&model.write(Vec::new(), &common::byte_tokenizer()).unwrap()).unwrap();
    let start = |json: &[&str]| {
        let mut command = webtern();
        command.arg("generate").arg(file.path()).args(["-p", "a", "-n", "60000", "--mode", "ar"]).args(json);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let interrupt = |child: &std::process::Child| {
        let status = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(status.success());
    };
    let mut child = start(&[]);
    // The first byte of text says that it is running.
    let mut first = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stdout.ends_with(b"\n"));

    let child = start(&["--json"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(outcome["finishReason"], "abort");
    assert!(outcome["tokens"].as_array().unwrap().len() < 60_000);
}

#[test]
fn a_closed_standard_output_ends_the_program_quietly() {
    // With a chat template, there is nothing to notice about the model.
    let model = stored(&rewritten(&toy(), |metadata, _| drop(metadata.insert("tokenizer.chat_template", "x"))));
    let long_prompt = vec!["70"; 120].join(",");
    let commands: [(&str, &[&str]); 4] = [
        ("inspect", &[]),
        ("generate", &["-p", "a", "-n", "100"]),
        ("logits", &["--json", "--tokens", &long_prompt]),
        ("bench", &["--runs", "1"]),
    ];
    for (command, args) in commands {
        // Closed before the program starts: otherwise it may have written everything by then.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = webtern().arg(command).arg(model.path()).args(args).stdout(writer).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), message.as_str()), (Some(0), ""), "{command}");
    }
}
