//! What a caller may ask of a run. Field for field the options of the TypeScript library, in camel case there.

#![forbid(unsafe_code)]

use crate::error::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt::Display;

/// How tokens are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// `Adaptive` when the model is a diffusion model, else `Ar`.
    #[default]
    Auto,
    /// One token after the other. Works on every model.
    Ar,
    /// Every position of a block in one pass.
    Greedy,
    /// Passes that accept what is more probable than the threshold.
    Iterative,
    /// As `Iterative`, with a lower threshold in the first two passes over a sub-block.
    Adaptive,
}

/// Options of a run. Everything has a default.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Options {
    /// How tokens are found.
    pub mode: Mode,
    /// Probability above which a token is accepted, in (0, 1]; 1 accepts one token per pass. None: the model's own, or 0.9.
    pub threshold: Option<f64>,
    /// Positions in a block. None: the model's own; another than it was trained with costs accuracy.
    pub block_size: Option<usize>,
    /// Positions in a sub-block; divides the block size. None: the largest such number up to 8.
    pub sub_block_size: Option<usize>,
    /// Reuse the block's keys and values and run one sub-block per pass. Faster; slightly stale, so tokens may differ.
    pub dual_cache: bool,
    /// New tokens at most. None: as many as the context holds, up to [`Options::DEFAULT_MAX_TOKENS`].
    pub max_tokens: Option<usize>,
    /// 0 takes the best token; above 0 tokens are drawn.
    pub temperature: f64,
    /// Draw among this many best tokens; 0 for all.
    pub top_k: usize,
    /// Draw among the best tokens that together have this probability.
    pub top_p: f64,
    /// Draw among tokens at least this probable, relative to the best.
    pub min_p: f64,
    /// Divides the positive (multiplies the negative) logits of tokens already in the sequence, the prompt included.
    pub repetition_penalty: f64,
    /// Same seed, same draws. The caller picks one; it matters only above temperature 0.
    pub seed: u64,
    /// Strings that end the text before them.
    pub stop: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            threshold: None,
            block_size: None,
            sub_block_size: None,
            dual_cache: false,
            max_tokens: None,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            seed: 0,
            stop: Vec::new(),
        }
    }
}

/// Every option and what it may be, in words for error messages.
const RANGES: [(&str, &str); 13] = [
    ("mode", "one of auto, ar, greedy, iterative, adaptive"),
    ("threshold", "above 0 and at most 1"),
    ("blockSize", "a whole number from 1 to the context length"),
    ("subBlockSize", "a whole number of at least 1 that divides the block size"),
    ("dualCache", "true or false"),
    ("maxTokens", "a whole number of at least 1"),
    ("temperature", "a number from 0 to 100"),
    ("topK", "a whole number; 0 for no limit"),
    ("topP", "above 0 and at most 1"),
    ("minP", "a number from 0 to 1"),
    ("repetitionPenalty", "a number from 0.01 to 100"),
    ("seed", "a whole number from 0 to 2^64 - 1"),
    ("stop", "a list of strings, none of them empty"),
];

/// A `bad-option` error that names option, value and range.
pub(super) fn refuse(option: &str, value: impl Display) -> Error {
    let range = RANGES.iter().find(|(name, _)| *name == option).map_or("left out", |(_, range)| range);
    Error::new(ErrorCode::BadOption, format!("option `{option}` is {value}; it must be {range}"))
}

impl Options {
    /// Where `max_tokens` is not given.
    pub const DEFAULT_MAX_TOKENS: usize = 512;

    /// Reads options from a JSON object and checks them.
    ///
    /// # Errors
    ///
    /// `bad-option` for an unknown name and for a value of the wrong type or out of range; the message names them.
    pub fn from_json(json: &str) -> Result<Self> {
        let object: Map<String, Value> =
            serde_json::from_str(json).map_err(|e| err!(BadOption, "the options are not a JSON object: {e}"))?;
        for (name, value) in &object {
            if !RANGES.iter().any(|(known, _)| known == name) {
                let known: Vec<&str> = RANGES.iter().map(|r| r.0).collect();
                bail!(BadOption, "there is no option `{name}`; the options are {}", known.join(", "));
            }
            // Alone, so that the error can name it: serde's own does not.
            let alone = Map::from_iter([(name.clone(), value.clone())]);
            serde_json::from_value::<Self>(Value::Object(alone)).map_err(|_| refuse(name, value))?;
        }
        let options: Self = serde_json::from_value(Value::Object(object))
            .map_err(|e| err!(BadOption, "the options cannot be read: {e}"))?;
        options.validate()?;
        Ok(options)
    }

    /// Checks everything that can be checked without a model.
    ///
    /// # Errors
    ///
    /// `bad-option`, naming option, value and range.
    pub fn validate(&self) -> Result<()> {
        let numbers = [
            ("temperature", self.temperature, (0.0..=100.0).contains(&self.temperature)),
            ("topP", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0),
            ("minP", self.min_p, (0.0..=1.0).contains(&self.min_p)),
            ("repetitionPenalty", self.repetition_penalty, (0.01..=100.0).contains(&self.repetition_penalty)),
            ("threshold", self.threshold.unwrap_or(1.0), self.threshold.is_none_or(|t| t > 0.0 && t <= 1.0)),
        ];
        if let Some((name, value, _)) = numbers.iter().find(|(_, _, valid)| !valid) {
            return Err(refuse(name, value));
        }
        let sizes =
            [("blockSize", self.block_size), ("subBlockSize", self.sub_block_size), ("maxTokens", self.max_tokens)];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == Some(0)) {
            return Err(refuse(name, 0));
        }
        if self.stop.iter().any(String::is_empty) {
            return Err(refuse("stop", format_args!("{:?}", self.stop)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn reads_every_option() {
        let options = Options::from_json(
            r#"{"mode":"iterative","threshold":0.7,"blockSize":16,"subBlockSize":4,"dualCache":true,"maxTokens":9,
                "temperature":0.5,"topK":3,"topP":0.8,"minP":0.1,"repetitionPenalty":1.1,"seed":9007199254740991,"stop":["x"]}"#,
        );
        let expected = Options {
            mode: Mode::Iterative,
            threshold: Some(0.7),
            block_size: Some(16),
            sub_block_size: Some(4),
            dual_cache: true,
            max_tokens: Some(9),
            temperature: 0.5,
            top_k: 3,
            top_p: 0.8,
            min_p: 0.1,
            repetition_penalty: 1.1,
            seed: (1 << 53) - 1,
            stop: vec!["x".to_owned()],
        };
        assert_eq!(options, Ok(expected));
        assert_eq!(Options::from_json("{}"), Ok(Options::default()));
    }

    #[test]
    fn rejects_every_option_out_of_range() {
        let cases: &[(&str, &[&str])] = &[
            ("mode", &["\"fast\"", "1"]),
            ("threshold", &["0.0", "1.01", "-0.5", "\"high\""]),
            ("blockSize", &["0", "-1", "2.5"]),
            ("subBlockSize", &["0", "-8", "true"]),
            ("dualCache", &["1", "\"yes\""]),
            ("maxTokens", &["0", "-1", "1.5", "\"many\""]),
            ("temperature", &["-0.1", "100.5", "\"hot\""]),
            ("topK", &["-1", "0.5"]),
            ("topP", &["0.0", "1.1", "-1.0"]),
            ("minP", &["-0.1", "1.1"]),
            ("repetitionPenalty", &["0.0", "-1.0", "101.0"]),
            ("seed", &["-1", "1.5"]),
            ("stop", &["[\"a\",\"\"]", "\"a\"", "[1]"]),
        ];
        assert_eq!(cases.iter().map(|c| c.0).collect::<Vec<_>>(), RANGES.map(|r| r.0));
        for ((name, values), (_, range)) in cases.iter().zip(RANGES) {
            for value in *values {
                let error = Options::from_json(&format!("{{\"{name}\":{value}}}")).unwrap_err();
                assert_eq!(error.code(), ErrorCode::BadOption);
                let message = error.message().replace(' ', "");
                let value = value.trim_end_matches(".0");
                for part in [format!("`{name}`is{value}"), range.replace(' ', "")] {
                    assert!(message.contains(&part), "{error} lacks {part}");
                }
            }
        }
        for nan in [f64::NAN, f64::INFINITY] {
            assert!(Options { temperature: nan, ..Options::default() }.validate().is_err());
            assert!(Options { threshold: Some(nan), ..Options::default() }.validate().is_err());
            assert!(Options { top_p: nan, ..Options::default() }.validate().is_err());
            assert!(Options { min_p: nan, ..Options::default() }.validate().is_err());
            assert!(Options { repetition_penalty: nan, ..Options::default() }.validate().is_err());
        }
    }

    #[test]
    fn rejects_unknown_names_and_no_objects() {
        let error = Options::from_json(r#"{"max_tokens":3}"#).unwrap_err();
        assert!(error.message().contains("`max_tokens`") && error.message().contains("maxTokens"), "{error}");
        for json in ["", "[]", "3", "{"] {
            assert_eq!(Options::from_json(json).unwrap_err().code(), ErrorCode::BadOption);
        }
    }
}
