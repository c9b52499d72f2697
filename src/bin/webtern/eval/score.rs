//! Questions with known answers, and how often and how fast a model answers them exactly right.
//!
//! Cases are lines of JSON, each a request with the answer that is expected:
//!
//! ```text
//! {"task": "add", "messages": [{"role": "user", "content": "What is 2 + 3?"}], "answer": "2 + 3 = 5."}
//! ```
//!
//! An answer is right when its text equals the expected one, white space around it and reasoning
//! before it (up to `</think>`) aside. Tokens per pass count the passes that choose tokens; the
//! commit that stores each finished block comes on top, as its own figure.

use super::results::Answer;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::ops::AddAssign;
use webtern::decode::{Acceptance, Event, Mode};
use webtern::engine::{Engine, Request};
use webtern::{Error, ErrorCode, Result};
use xxhash_rust::xxh3::xxh3_64;

/// A request and what its answer should be.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// What kind of question it is; empty when the file does not say.
    pub(super) task: String,
    /// The line, hashed: its name in files of results.
    pub(super) hash: String,
    /// The line without `task` and `answer`.
    pub(super) fields: Map<String, Value>,
    /// What to ask.
    pub(super) request: Request,
    /// The right answer.
    pub(super) answer: String,
}

impl Case {
    /// Reads one case a line; empty lines are passed over.
    ///
    /// # Errors
    ///
    /// `malformed` with the number of the line; also when there is no case.
    pub(super) fn read_lines(text: &str) -> Result<Vec<Self>> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let cases = lines.map(|(index, line)| {
            Self::read(line).map_err(|error| malformed(format!("line {}: {}", index + 1, error.message())))
        });
        let cases: Vec<Self> = cases.collect::<Result<_>>()?;
        if cases.is_empty() {
            return Err(malformed(
                "there are no cases: each line is an object with `answer` and one of `messages`, `prompt` and `tokens`",
            ));
        }
        Ok(cases)
    }

    fn read(line: &str) -> Result<Self> {
        let mut object: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| malformed(format!("not a JSON object: {error}")))?;
        let mut text = |name: &str| match object.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(malformed(format!("`{name}` is {other}, not a string"))),
        };
        let task = text("task")?.unwrap_or_default();
        let Some(answer) = text("answer")? else { return Err(malformed("`answer` is missing")) };
        let hash = format!("{:016x}", xxh3_64(line.trim().as_bytes()));
        Ok(Self { task, hash, fields: object.clone(), answer, request: Request::from_object(object)? })
    }

    /// Whether `text` is the right answer.
    pub(super) fn is_answered_by(&self, text: &str) -> bool {
        let text = text.rsplit_once("</think>").map_or(text, |(_, answer)| answer);
        text.trim() == self.answer.trim()
    }
}

/// A way to decode.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Setting {
    /// The decode mode.
    pub(super) mode: Mode,
    /// The rule of acceptance, for the modes that have one; the model's own if none.
    pub(super) acceptance: Option<Acceptance>,
    /// The threshold, for the modes that have one.
    pub(super) threshold: Option<f64>,
    /// Whether most passes run only a sub-block: see [`webtern::decode::Options::dual_cache`].
    pub(super) dual_cache: bool,
}

impl Setting {
    /// Each of `modes`, those that have a threshold with each of `thresholds` and each of
    /// `acceptances`.
    pub(super) fn all(modes: &[Mode], acceptances: &[Acceptance], thresholds: &[f64]) -> Vec<Self> {
        let rules: Vec<Option<Acceptance>> = match acceptances {
            [] => vec![None],
            rules => rules.iter().copied().map(Some).collect(),
        };
        let mut settings = Vec::new();
        for &mode in modes {
            if !matches!(mode, Mode::Iterative | Mode::Adaptive) {
                settings.push(Self { mode, acceptance: None, threshold: None, dual_cache: false });
                continue;
            }
            for &acceptance in &rules {
                let with = |threshold| Self { mode, acceptance, threshold, dual_cache: false };
                match acceptance {
                    Some(Acceptance::Static) => settings.push(with(None)),
                    _ => settings.extend(thresholds.iter().map(|&threshold| with(Some(threshold)))),
                }
            }
        }
        settings
    }
}

/// What decoding took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Work {
    /// Tokens of the answer.
    pub(super) new_tokens: usize,
    /// Passes that found them.
    pub(super) passes: usize,
    /// Blocks begun.
    pub(super) blocks: usize,
    /// Passes that stored finished blocks.
    pub(super) commits: usize,
    /// Rows that passes and commits ran.
    pub(super) evaluated_rows: usize,
    /// Milliseconds spent decoding; prefill is not in it.
    pub(super) decode_ms: f64,
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.new_tokens += other.new_tokens;
        self.passes += other.passes;
        self.blocks += other.blocks;
        self.commits += other.commits;
        self.evaluated_rows += other.evaluated_rows;
        self.decode_ms += other.decode_ms;
    }
}

/// How a setting did.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Score {
    /// What was measured.
    #[serde(flatten)]
    pub(super) setting: Setting,
    /// Cases asked, and answered exactly right.
    #[serde(flatten)]
    pub(super) total: Count,
    /// The same for each task, in the order of the file.
    pub(super) tasks: Vec<(String, Count)>,
    /// What all answers took.
    #[serde(flatten)]
    pub(super) work: Work,
    /// New tokens per second of decoding.
    pub(super) tokens_per_second: f64,
    /// New tokens per pass; commits are not counted.
    pub(super) tokens_per_pass: f64,
    /// Rows that passes and commits ran per new token.
    pub(super) rows_per_token: f64,
    /// Passes per block; nothing without blocks.
    pub(super) passes_per_block: Option<f64>,
}

/// Cases, and how many of them were answered exactly right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Count {
    /// Cases.
    pub(super) cases: usize,
    /// Right answers.
    pub(super) exact: usize,
}

impl Count {
    /// Right answers as a share of all, in percent.
    pub(super) fn percent(self) -> f64 {
        ratio(100.0 * self.exact as f64, self.cases as f64)
    }

    fn add(&mut self, exact: bool) {
        self.cases += 1;
        self.exact += usize::from(exact);
    }
}

fn malformed(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::Malformed, message)
}

fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

/// Asks every case in one setting.
///
/// # Errors
///
/// Those of `ask`, with the number of the case: of a model here `no-mask-token` for diffusion modes
/// without a mask token and `context-full` for a prompt that leaves no room.
pub(super) fn evaluate(
    cases: &[Case],
    setting: Setting,
    ask: &mut dyn FnMut(&Case, &Setting) -> Result<Answer>,
) -> Result<Score> {
    let mut score = Score {
        setting,
        total: Count::default(),
        tasks: Vec::new(),
        work: Work::default(),
        tokens_per_second: 0.0,
        tokens_per_pass: 0.0,
        rows_per_token: 0.0,
        passes_per_block: None,
    };
    for (index, case) in cases.iter().enumerate() {
        let answer = ask(case, &setting).map_err(|error| error.at(format!("case {}", index + 1)))?;
        score.add(case, &answer);
    }
    let work = score.work;
    score.tokens_per_second = ratio(1e3 * work.new_tokens as f64, work.decode_ms);
    score.tokens_per_pass = ratio(work.new_tokens as f64, work.passes as f64);
    score.rows_per_token = ratio(work.evaluated_rows as f64, work.new_tokens as f64);
    score.passes_per_block = (work.blocks > 0).then(|| ratio(work.passes as f64, work.blocks as f64));
    Ok(score)
}

/// Asks a model that is loaded here.
pub(super) fn answer(engine: &mut Engine, case: &Case, setting: &Setting) -> Result<Answer> {
    let mut request = case.request.clone();
    request.options.mode = setting.mode;
    request.options.acceptance = setting.acceptance;
    request.options.threshold = setting.threshold;
    request.options.dual_cache = setting.dual_cache;
    engine.start(&request)?;
    let mut events = Vec::new();
    while engine.step(&mut events)? {
        events.clear();
    }
    match events.pop() {
        Some(Event::Done { result }) => Ok(result.into()),
        _ => Err(Error::new(ErrorCode::Crashed, "the generation ended without a result")),
    }
}

impl Score {
    fn add(&mut self, case: &Case, answer: &Answer) {
        let exact = case.is_answered_by(&answer.text);
        self.total.add(exact);
        let task = self.tasks.iter().position(|(task, _)| *task == case.task).unwrap_or_else(|| {
            self.tasks.push((case.task.clone(), Count::default()));
            self.tasks.len() - 1
        });
        self.tasks[task].1.add(exact);
        self.work += answer.work;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use webtern::chat::Message;
    use webtern::engine::Prompt;

    #[test]
    fn reads_cases_of_every_kind() {
        let lines = concat!(
            r#"{"task": "add", "messages": [{"role": "user", "content": "2 + 3?"}], "answer": "5."}"#,
            "\n\n",
            r#"{"prompt": "a", "answer": "b", "maxTokens": 7}"#,
            "\r\n",
            r#"{"tokens": [1], "answer": ""}"#,
        );
        let cases = Case::read_lines(lines).unwrap();
        assert_eq!(cases.iter().map(|case| case.task.as_str()).collect::<Vec<_>>(), ["add", "", ""]);
        assert_eq!(cases[0].request.prompt, Prompt::Messages(vec![Message::new("user", "2 + 3?")], Default::default()));
        assert_eq!(cases[1].request.options.max_tokens, Some(7));
        assert!(cases[0].is_answered_by(" 5.\n") && !cases[0].is_answered_by("5"));
        assert!(cases[0].is_answered_by("<think>\n2 + 3\n</think>\n\n5."));
    }

    #[test]
    fn rejects_cases_by_line() {
        for (lines, words) in [
            ("", "there are no cases"),
            ("{}", "line 1: `answer` is missing"),
            ("\n[1]", "line 2: not a JSON object"),
            (r#"{"prompt": "a", "answer": 5}"#, "line 1: `answer` is 5"),
            (r#"{"answer": "a"}"#, "exactly one of prompt, messages and tokens"),
            (r#"{"prompt": "a", "answer": "b", "max": 3}"#, "option `max`"),
        ] {
            let error = Case::read_lines(lines).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Malformed, "{lines}: {error}");
            assert!(error.message().contains(words), "{lines}: {error}");
        }
    }

    #[test]
    fn settings_have_thresholds_where_modes_do() {
        let modes = [Mode::Ar, Mode::Iterative, Mode::Greedy];
        let shown = |rules: &[Acceptance]| {
            let all = Setting::all(&modes, rules, &[0.5, 0.9]);
            all.iter().map(|setting| (setting.mode, setting.acceptance, setting.threshold)).collect::<Vec<_>>()
        };
        let iterative = |rule, threshold| (Mode::Iterative, rule, threshold);
        let expected = [
            (Mode::Ar, None, None),
            iterative(None, Some(0.5)),
            iterative(None, Some(0.9)),
            (Mode::Greedy, None, None),
        ];
        assert_eq!(shown(&[]), expected);
        let (product, fixed) = (Some(Acceptance::Product), Some(Acceptance::Static));
        let expected = [
            (Mode::Ar, None, None),
            iterative(product, Some(0.5)),
            iterative(product, Some(0.9)),
            iterative(fixed, None),
            (Mode::Greedy, None, None),
        ];
        assert_eq!(shown(&[Acceptance::Product, Acceptance::Static]), expected);
    }
}
