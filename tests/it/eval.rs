//! `webtern eval`: what it counts, writes and refuses.

use crate::common::{toy, webtern};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

struct Evaluation {
    folder: TempDir,
}

impl Evaluation {
    /// A model, and cases that ask for four tokens after each prompt.
    fn new(cases: &[Value]) -> Self {
        let evaluation = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(evaluation.path("toy.gguf"), toy()).unwrap();
        let lines: Vec<String> = cases.iter().map(Value::to_string).collect();
        std::fs::write(evaluation.path("cases.jsonl"), lines.join("\n")).unwrap();
        evaluation
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = webtern();
        command.arg("eval").arg(self.path("toy.gguf")).arg(self.path("cases.jsonl")).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    #[track_caller]
    fn text(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn scores(&self, args: &[&str]) -> Vec<Value> {
        let report: Value = serde_json::from_str(&self.text(&[args, &["--json"]].concat())).unwrap();
        report["scores"].as_array().unwrap().clone()
    }
}

fn case(task: &str, prompt: &str, answer: &str) -> Value {
    json!({ "task": task, "prompt": prompt, "answer": answer, "maxTokens": 4 })
}

/// What the toy answers in a mode.
fn answer(model: &Path, mode: &str, prompt: &str) -> String {
    let args = ["-p", prompt, "-n", "4", "--mode", mode, "--json"];
    let output = webtern().arg("generate").arg(model).args(args).output().unwrap();
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["text"].as_str().unwrap().to_owned()
}

#[test]
fn counts_right_answers_by_mode_and_task() {
    let toy = Evaluation::new(&[]);
    let known = |prompt: &str| answer(&toy.path("toy.gguf"), "ar", prompt);
    let cases =
        [case("one", "ab", &known("ab")), case("two", "cd", &known("cd")), case("two", "ef", "not what it says")];
    let evaluation = Evaluation::new(&cases);
    let scores = evaluation.scores(&["--thresholds", "0.5,1"]);
    let settings: Vec<_> = scores.iter().map(|score| (score["mode"].as_str().unwrap(), &score["threshold"])).collect();
    let expected = [
        ("ar", &Value::Null),
        ("greedy", &Value::Null),
        ("iterative", &json!(0.5)),
        ("iterative", &json!(1.0)),
        ("adaptive", &json!(0.5)),
        ("adaptive", &json!(1.0)),
    ];
    assert_eq!(settings, expected);
    let ar = &scores[0];
    assert_eq!((&ar["cases"], &ar["exact"], &ar["newTokens"]), (&json!(3), &json!(2), &json!(12)));
    assert_eq!(ar["tasks"], json!([["one", { "cases": 1, "exact": 1 }], ["two", { "cases": 2, "exact": 1 }]]));
    assert_eq!(ar["passesPerBlock"], Value::Null);
    assert!(ar["tokensPerSecond"].as_f64() > Some(0.0));
    let greedy = &scores[1];
    assert_eq!(greedy["passesPerBlock"], json!(1.0), "{greedy}");
    assert_eq!(greedy["tokensPerPass"], json!(12.0 / greedy["passes"].as_f64().unwrap()));

    let text = evaluation.text(&["--modes", "ar"]);
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1][..3], ["ar", "66.7", "%"], "{text}");
    assert_eq!(rows.last().unwrap()[..], ["two", "2", "50.0", "%"], "{text}");
    let wrong = evaluation.run(&["--modes", "ar", "--wrong"]);
    let wrong = String::from_utf8(wrong.stderr).unwrap();
    assert!(wrong.contains("ar two: ") && wrong.contains("instead of \"not what it says\""), "{wrong}");
    assert_eq!(evaluation.scores(&["--modes", "ar", "--limit", "1"])[0]["cases"], json!(1));
}

#[test]
fn writes_what_json_prints_beside_the_table() {
    let evaluation = Evaluation::new(&[case("one", "ab", "x")]);
    let path = evaluation.path("report.json");
    let table = evaluation.text(&["--modes", "ar", "--report", path.to_str().unwrap()]);
    assert!(table.starts_with("mode "), "{table}");
    let report: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!((&report["cases"], &report["scores"][0]["mode"]), (&json!(1), &json!("ar")));
}

#[test]
fn refuses_what_it_cannot_measure() {
    let evaluation = Evaluation::new(&[case("", "ab", "x"), json!({ "prompt": "a" })]);
    let cases = evaluation.path("cases.jsonl");
    let long = "x".repeat(300);
    let too_long = Evaluation::new(&[case("", "ab", "x"), case("", &long, "x")]);
    for (evaluation, args, exit, words) in [
        (&evaluation, &[][..], 1, "line 2: `answer` is missing"),
        (&evaluation, &["--modes", "fast"], 2, "adaptive"),
        (&evaluation, &["--thresholds", "0.9,1.5"], 2, "at most 1"),
        (&too_long, &[], 1, "case 2"),
    ] {
        let output = evaluation.run(args);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{message}");
        assert!(message.contains(words), "{message}");
    }
    std::fs::remove_file(cases).unwrap();
    let message = String::from_utf8(evaluation.run(&[]).stderr).unwrap();
    assert!(message.contains("cases.jsonl"), "{message}");
}

/// An evaluation over HTTP counts what one here counts, goes on where it was interrupted, and does
/// not ask twice.
#[cfg(all(feature = "serve", target_os = "linux"))]
#[test]
fn an_endpoint_answers_as_the_model_does() {
    let cases = [
        json!({ "task": "add", "messages": [{ "role": "user", "content": "What is 24 + 64?" }], "answer": "24 + 64 = 88." }),
        json!({ "task": "add", "messages": [{ "role": "user", "content": "What is 5 + 8?" }], "answer": "no", "maxTokens": 5 }),
        json!({ "task": "text", "prompt": "Once upon a time", "answer": "", "maxTokens": 9, "temperature": 1 }),
        json!({ "task": "text", "tokens": [5, 6, 7], "answer": "", "maxTokens": 9, "topK": 3, "temperature": 1, "seed": 4 }),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let lines: Vec<String> = cases.iter().map(Value::to_string).collect();
    std::fs::write(path("cases.jsonl"), lines.join("\n")).unwrap();
    let server = crate::serve::server::Server::start("tiny", &["--api-key", "sesame"]);
    let modes = ["--modes", "ar,adaptive", "--thresholds", "0.9", "--json"];
    let evaluate = |first: &[&str], more: &[&str]| {
        let mut command = webtern();
        command.arg("eval").args(first).arg(path("cases.jsonl")).args(modes).args(more);
        let output = command.env_remove("WEBTERN_API_KEY").output().unwrap();
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    let counted = |report: &Value| -> Vec<Value> {
        let names = ["mode", "cases", "exact", "tasks", "newTokens", "passes", "blocks", "commits", "evaluatedRows"];
        let scores = report["scores"].as_array().unwrap().iter();
        scores.map(|score| names.iter().map(|name| score[*name].clone()).collect()).collect()
    };
    let (_, here) = evaluate(&["tiny"], &[]);
    assert_eq!(here["scores"][0]["exact"], 1, "{here}");
    let url = format!("http://{}/v1/", server.address);
    let endpoint = ["--endpoint", &url, "--api-key", "sesame"];
    let results = path("results.jsonl");
    let kept = ["--results", results.to_str().unwrap()];
    let (_, there) = evaluate(&endpoint, &kept);
    assert_eq!((counted(&there), &there["model"]), (counted(&here), &json!("tiny")));

    // Interrupted in the middle of the fourth answer, and gone on with.
    let text = std::fs::read_to_string(&results).unwrap();
    let all: Vec<&str> = text.lines().collect();
    assert_eq!(all.len(), 8);
    std::fs::write(&results, format!("{}\n{}", all[..3].join("\n"), &all[3][..40])).unwrap();
    let asked = server.metric_with_key("webtern_jobs_total{end=\"finished\"}", "sesame");
    assert_eq!(counted(&evaluate(&endpoint, &kept).1), counted(&here));
    let again = server.metric_with_key("webtern_jobs_total{end=\"finished\"}", "sesame") - asked;
    assert_eq!(again, 5.0, "what is known is not asked again");
    drop(server);
    let parts: Vec<String> = std::fs::read_to_string(&results).unwrap().lines().rev().map(str::to_owned).collect();
    std::fs::write(&results, parts.join("\n") + "\n").unwrap();
    let (code, merged) = evaluate(&["tiny"], &kept);
    assert_eq!((code, counted(&merged)), (Some(0), counted(&here)), "files of parts are a file of all");
    std::fs::write(&results, text.replace("\"model\":\"tiny\"", "\"model\":\"other\"")).unwrap();
    let (code, refused) = evaluate(&["tiny"], &kept);
    assert_eq!((code, &refused["error"]["code"]), (Some(2), &json!("bad-option")));
    for inputs in [&["tiny", "--endpoint", &url][..], &[]] {
        assert_eq!(evaluate(inputs, &[]).0, Some(2));
    }
}
