//! `webtern eval`: what it counts, draws and refuses.

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
fn draws_a_plot() {
    let evaluation = Evaluation::new(&[case("", "ab", "x")]);
    let svg = evaluation.path("plot.svg");
    evaluation.text(&["--modes", "ar,adaptive", "--thresholds", "0.9", "--svg", svg.to_str().unwrap()]);
    let svg = std::fs::read_to_string(svg).unwrap();
    assert!(svg.contains("1 cases") && svg.contains("<title>adaptive 0.9: 0.0 %"), "{svg}");
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
