//! Answers in a file, a line of JSON each, so that an evaluation that was interrupted asks only
//! what it has no answer to.
//!
//! ```text
//! {"model": "tiny", "case": "HASH", "task": "add", "setting": {"mode": "ar", ...}, "answer": {"text": ...}, "exact": true}
//! ```
//!
//! A case goes by the hash of its line, so that files of parts of the cases, one after the other,
//! are a file of all.

use super::score::{Case, Setting, Work};
use crate::output::failure;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use webtern::decode::Outcome;
use webtern::{Error, ErrorCode, Result};

/// What counts of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) text: String,
    #[serde(flatten)]
    pub(super) work: Work,
}

impl From<Outcome> for Answer {
    fn from(Outcome { text, stats, .. }: Outcome) -> Self {
        let work = Work {
            new_tokens: stats.new_tokens,
            passes: stats.passes,
            blocks: stats.blocks,
            commits: stats.commits,
            evaluated_rows: stats.evaluated_rows,
            decode_ms: stats.decode_ms,
        };
        Self { text, work }
    }
}

/// A line of the file.
#[derive(Deserialize)]
struct Line {
    model: String,
    case: String,
    setting: Value,
    answer: Answer,
}

/// The answers so far, and where they are kept.
#[derive(Default)]
pub(super) struct Results {
    file: Option<(PathBuf, File)>,
    model: String,
    known: HashMap<(String, String), Answer>,
}

impl Results {
    /// Those of `model` in a file, which is made if there is none; without a path, results that are
    /// not kept. A last line that was cut off, as by the end of the process, is removed.
    ///
    /// # Errors
    ///
    /// `io`; `malformed` for a line that is no result; `bad-option` for results of another model.
    pub(super) fn open(path: Option<&Path>, model: &str) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let failed = |error| failure(path.display(), &error);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = opened.map_err(failed)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).and_then(|()| file.seek(SeekFrom::End(0))).map_err(failed)?;
        let mut known = HashMap::new();
        for (index, line) in text[..whole].lines().enumerate() {
            let place = || format!("{}, line {}", path.display(), index + 1);
            let Line { model: theirs, case, setting, answer } = serde_json::from_str(line)
                .map_err(|error| Error::new(ErrorCode::Malformed, format!("not a result: {error}")).at(place()))?;
            if theirs != model {
                let message = format!("the file holds answers of {theirs}, not of {model}: choose another file");
                return Err(Error::new(ErrorCode::BadOption, message).at(place()));
            }
            known.insert((case, setting.to_string()), answer);
        }
        Ok(Self { file: Some((path.to_owned(), file)), model: model.to_owned(), known })
    }

    /// The answer that is known, or else that of `ask`, which is kept.
    ///
    /// # Errors
    ///
    /// Those of `ask`, and `io`.
    pub(super) fn answer(
        &mut self,
        case: &Case,
        setting: &Setting,
        ask: impl FnOnce() -> Result<Answer>,
    ) -> Result<Answer> {
        let setting = json!(setting);
        let key = (case.hash.clone(), setting.to_string());
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let answer = ask()?;
        if let Some((path, file)) = &mut self.file {
            let (model, exact) = (&self.model, case.is_answered_by(&answer.text));
            let line = json!({
                "model": model, "case": case.hash, "task": case.task, "setting": setting, "answer": answer, "exact": exact,
            });
            // One write, so that what is cut off is a last line.
            file.write_all(format!("{line}\n").as_bytes()).map_err(|error| failure(path.display(), &error))?;
            self.known.insert(key, answer.clone());
        }
        Ok(answer)
    }
}
