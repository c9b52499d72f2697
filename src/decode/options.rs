//! What a caller may ask of a run. Field for field the options of the TypeScript library, in camel
//! case there, and of the command line, in kebab case there.

#![forbid(unsafe_code)]

use super::format::ResponseFormat;
use super::mode::{Acceptance, Mode};
use crate::error::{Error, ErrorCode, Result};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::{self, Display};

/// Options of a run. Everything has a default.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct Options {
    /// How tokens are found.
    #[cfg_attr(feature = "cli", arg(long, default_value = "auto"))]
    pub mode: Mode,
    /// Probability above which a diffusion mode accepts a token; 1 accepts one token a pass
    /// [default: the model's own, or 0.9]
    #[cfg_attr(feature = "cli", arg(long))]
    pub threshold: Option<f64>,
    /// Which tokens a pass of `iterative` and `adaptive` accepts [default: the model's own, or
    /// threshold]
    #[cfg_attr(feature = "cli", arg(long, value_name = "RULE"))]
    pub acceptance: Option<Acceptance>,
    /// Passes over a sub-block that `dynamic` and `static` plan [default: the model's own, or one a
    /// position]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub steps: Option<usize>,
    /// Positions in a block; another number than the model was trained with costs accuracy
    /// [default: the model's own]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub block_size: Option<usize>,
    /// Positions in a sub-block; divides the block size [default: the largest such number up to 8]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub sub_block_size: Option<usize>,
    /// Reuse the block's keys and values and run one sub-block a pass. Faster; slightly stale, so
    /// tokens may differ.
    #[cfg_attr(feature = "cli", arg(long))]
    pub dual_cache: bool,
    /// New tokens at most [default: as many as the context holds, up to 512]
    #[cfg_attr(feature = "cli", arg(short = 'n', long, value_name = "N"))]
    pub max_tokens: Option<usize>,
    /// 0 takes the most probable token; above 0 tokens are sampled.
    #[cfg_attr(feature = "cli", arg(long, default_value_t = Self::default().temperature))]
    pub temperature: f64,
    /// Sample among this many most probable tokens; 0 for all.
    #[cfg_attr(feature = "cli", arg(long, value_name = "K", default_value_t = Self::default().top_k))]
    pub top_k: usize,
    /// Sample among the most probable tokens that together have this probability.
    #[cfg_attr(feature = "cli", arg(long, value_name = "P", default_value_t = Self::default().top_p))]
    pub top_p: f64,
    /// Sample among tokens at least this probable, relative to the most probable one.
    #[cfg_attr(feature = "cli", arg(long, value_name = "P", default_value_t = Self::default().min_p))]
    pub min_p: f64,
    /// Divides the positive (multiplies the negative) logits of tokens already in the sequence, the
    /// prompt included; 1 for no penalty.
    #[cfg_attr(feature = "cli", arg(long, value_name = "X", default_value_t = Self::default().repetition_penalty))]
    pub repetition_penalty: f64,
    /// Subtracted from the logits of tokens that were generated.
    #[cfg_attr(feature = "cli", arg(long, value_name = "X", default_value_t = Self::default().presence_penalty))]
    pub presence_penalty: f64,
    /// Subtracted from the logits of generated tokens as often as they were.
    #[cfg_attr(feature = "cli", arg(long, value_name = "X", default_value_t = Self::default().frequency_penalty))]
    pub frequency_penalty: f64,
    /// Added to the logits of these tokens.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub logit_bias: BTreeMap<u32, f64>,
    /// Report how probable each token was, with this many alternatives.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub logprobs: Option<usize>,
    /// Same seed, same samples. It matters only above temperature 0.
    #[cfg_attr(feature = "cli", arg(long, default_value_t = Self::default().seed))]
    pub seed: u64,
    /// Text or control token that ends the output before it; may be given more than once.
    #[cfg_attr(feature = "cli", arg(long, value_name = "TEXT"))]
    pub stop: Vec<String>,
    /// Token that ends the output, beside those of the model; may be given more than once.
    #[cfg_attr(feature = "cli", arg(long = "stop-token-id", value_name = "ID"))]
    pub stop_token_ids: Vec<u32>,
    /// What the answer must be.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub response_format: Option<ResponseFormat>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            threshold: None,
            acceptance: None,
            steps: None,
            block_size: None,
            sub_block_size: None,
            dual_cache: false,
            max_tokens: None,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: BTreeMap::new(),
            logprobs: None,
            seed: 0,
            stop: Vec::new(),
            stop_token_ids: Vec::new(),
            response_format: None,
        }
    }
}

/// The values that an option may have; as text, it completes "it must be".
#[derive(Clone, Copy, Debug, PartialEq)]
enum Range {
    /// Numbers from the first to the second.
    Between(f64, f64),
    /// Numbers greater than the first, up to the second.
    Above(f64, f64),
    /// Whole numbers from this one on, with more to know about them.
    Whole(u32, &'static str),
    /// What the type of the field says.
    Type(&'static str),
}

/// The range of every option but those whose values have names. Written here once: checks and
/// messages of the library and of the command line derive from it, and `tests/cases/options.json`
/// holds the TypeScript library to the same ranges.
const RANGES: [(&str, Range); 18] = [
    ("threshold", Range::Above(0.0, 1.0)),
    ("steps", Range::Whole(1, ", at most the positions of a sub-block")),
    ("blockSize", Range::Whole(1, ", at most the context length")),
    ("subBlockSize", Range::Whole(1, " that divides the block size")),
    ("dualCache", Range::Type("true or false")),
    ("maxTokens", Range::Whole(1, "")),
    ("temperature", Range::Between(0.0, 100.0)),
    ("topK", Range::Whole(0, "; 0 for no limit")),
    ("topP", Range::Above(0.0, 1.0)),
    ("minP", Range::Between(0.0, 1.0)),
    ("repetitionPenalty", Range::Between(0.01, 100.0)),
    ("presencePenalty", Range::Between(-2.0, 2.0)),
    ("frequencyPenalty", Range::Between(-2.0, 2.0)),
    ("logitBias", Range::Type("an object of token ids with numbers from -100 to 100")),
    ("logprobs", Range::Type("a whole number from 0 to 20")),
    ("seed", Range::Type("a whole number from 0 to 2^64 - 1")),
    ("stop", Range::Type("a list of strings, none of them empty")),
    ("stopTokenIds", Range::Type("a list of token ids")),
];

impl Range {
    fn of(option: &str) -> Option<Self> {
        RANGES.iter().find(|(name, _)| *name == option).map(|(_, range)| *range)
    }

    /// Whether `number` is in the range; NaN never is.
    fn holds(self, number: f64) -> bool {
        match self {
            Self::Between(min, max) => (min..=max).contains(&number),
            Self::Above(min, max) => number > min && number <= max,
            Self::Whole(min, _) => number >= f64::from(min),
            Self::Type(_) => true,
        }
    }
}

impl Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between(min, max) => write!(f, "a number from {min} to {max}"),
            Self::Above(min, max) => write!(f, "a number above {min} and at most {max}"),
            Self::Whole(min, more) => write!(f, "a whole number of at least {min}{more}"),
            Self::Type(words) => f.write_str(words),
        }
    }
}

/// A `bad-option` error that names option, value and range.
pub(super) fn refuse(option: &str, value: impl Display) -> Error {
    let must = Range::of(option).map_or_else(|| "left out".to_owned(), |range| range.to_string());
    Error::new(ErrorCode::BadOption, format!("option `{option}` is {value}; it must be {must}"))
}

impl Options {
    /// Where `max_tokens` is not given.
    pub const DEFAULT_MAX_TOKENS: usize = 512;

    /// Alternatives that a run reports at most with each token.
    pub const MAX_LOGPROBS: usize = 20;

    /// Reads options from a JSON object. Ranges are checked when a run starts, or before by
    /// [`Options::validate`].
    ///
    /// # Errors
    ///
    /// `bad-option` for an unknown name and for a value of the wrong type; the message names them.
    pub fn from_value(object: &Value) -> Result<Self> {
        // Serde would take a list for the fields in order.
        if !object.is_object() {
            bail!(BadOption, "the options are not a JSON object");
        }
        serde_path_to_error::deserialize(object).map_err(|error| {
            let name = error.path().to_string();
            let name = name.split(['[', '.']).next().unwrap_or_default();
            match object.get(name).filter(|_| Range::of(name).is_some()) {
                Some(value) => refuse(name, value),
                None => err!(BadOption, "option `{name}`: {}", error.inner()),
            }
        })
    }

    /// Checks everything that can be checked without a model;
    /// [`Generation::start`](super::Generation::start) does as well.
    ///
    /// # Errors
    ///
    /// `bad-option`, naming option, value and range.
    pub fn validate(&self) -> Result<()> {
        let whole = |size: Option<usize>| size.map(|size| size as f64);
        for (name, number) in [
            ("threshold", self.threshold),
            ("steps", whole(self.steps)),
            ("blockSize", whole(self.block_size)),
            ("subBlockSize", whole(self.sub_block_size)),
            ("maxTokens", whole(self.max_tokens)),
            ("temperature", Some(self.temperature)),
            ("topP", Some(self.top_p)),
            ("minP", Some(self.min_p)),
            ("repetitionPenalty", Some(self.repetition_penalty)),
            ("presencePenalty", Some(self.presence_penalty)),
            ("frequencyPenalty", Some(self.frequency_penalty)),
        ] {
            if let (Some(number), Some(range)) = (number, Range::of(name))
                && !range.holds(number)
            {
                return Err(refuse(name, number));
            }
        }
        if let Some((id, bias)) = self.logit_bias.iter().find(|(_, bias)| !(-100.0..=100.0).contains(*bias)) {
            return Err(refuse("logitBias", format_args!("{bias} for token {id}")));
        }
        if let Some(count) = self.logprobs.filter(|&count| count > Self::MAX_LOGPROBS) {
            return Err(refuse("logprobs", count));
        }
        if self.stop.iter().any(String::is_empty) {
            return Err(refuse("stop", format_args!("{:?}", self.stop)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::Format;
    use super::*;
    use crate::testing::test;
    use serde_json::json;

    fn read(json: &str) -> Result<Options> {
        let options = Options::from_value(&serde_json::from_str(json).unwrap())?;
        options.validate()?;
        Ok(options)
    }

    #[test]
    fn reads_every_option() {
        let options = read(
            r#"{"mode":"iterative","threshold":0.7,"acceptance":"dynamic","steps":3,"blockSize":16,"subBlockSize":4,"dualCache":true,"maxTokens":9,
                "temperature":0.5,"topK":3,"topP":0.8,"minP":0.1,"repetitionPenalty":1.1,"presencePenalty":-2,
                "frequencyPenalty":2,"logitBias":{"7":-100},"logprobs":20,"seed":9007199254740991,"stop":["x"],"stopTokenIds":[2],"responseFormat":{"type":"choice","choice":["x"]}}"#,
        );
        let expected = Options {
            mode: Mode::Iterative,
            threshold: Some(0.7),
            acceptance: Some(Acceptance::Dynamic),
            steps: Some(3),
            block_size: Some(16),
            sub_block_size: Some(4),
            dual_cache: true,
            max_tokens: Some(9),
            temperature: 0.5,
            top_k: 3,
            top_p: 0.8,
            min_p: 0.1,
            repetition_penalty: 1.1,
            presence_penalty: -2.0,
            frequency_penalty: 2.0,
            logit_bias: BTreeMap::from([(7, -100.0)]),
            logprobs: Some(20),
            seed: (1 << 53) - 1,
            stop: vec!["x".to_owned()],
            stop_token_ids: vec![2],
            response_format: Some(Format::Choice { choice: vec!["x".to_owned()] }.into()),
        };
        assert_eq!(options, Ok(expected));
        assert_eq!(read("{}"), Ok(Options::default()));
    }

    #[derive(Deserialize)]
    struct Case {
        option: String,
        value: Value,
        ok: bool,
    }

    /// The TypeScript library runs the same cases.
    #[test]
    fn the_cases_of_both_libraries_hold() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../tests/cases/options.json")).unwrap();
        let mut seen: BTreeMap<&str, [bool; 2]> = BTreeMap::new();
        for Case { option, value, ok } in &cases {
            let read = read(&json!({ option.as_str(): value }).to_string());
            assert_eq!(read.is_ok(), *ok, "{option} {value}: {read:?}");
            seen.entry(option).or_default()[usize::from(*ok)] = true;
            if let Err(error) = read {
                assert_eq!(error.code(), ErrorCode::BadOption);
                let must = Range::of(option).map_or_else(|| "expected".into(), |range| range.to_string());
                for part in [&format!("`{option}`"), &must] {
                    assert!(error.message().contains(part), "{error} lacks {part}");
                }
            }
        }
        let lacking = RANGES.iter().find(|(name, _)| seen.get(name) != Some(&[true; 2]));
        assert_eq!(lacking, None, "an option without a good and a bad case");
    }

    #[test]
    fn rejects_numbers_that_json_does_not_have() {
        for nan in [f64::NAN, f64::INFINITY] {
            assert!(Options { temperature: nan, ..Options::default() }.validate().is_err());
            assert!(Options { threshold: Some(nan), ..Options::default() }.validate().is_err());
            assert!(Options { top_p: nan, ..Options::default() }.validate().is_err());
            assert!(Options { min_p: nan, ..Options::default() }.validate().is_err());
            assert!(Options { repetition_penalty: nan, ..Options::default() }.validate().is_err());
        }
    }

    #[test]
    fn an_error_names_option_value_and_range() {
        let message = |json: &str| read(json).unwrap_err().message().to_owned();
        assert_eq!(message(r#"{"topP":0}"#), "option `topP` is 0; it must be a number above 0 and at most 1");
        assert_eq!(
            message(r#"{"topK":-1}"#),
            "option `topK` is -1; it must be a whole number of at least 0; 0 for no limit"
        );
        assert_eq!(
            message(r#"{"stop":["a",1]}"#),
            "option `stop` is [\"a\",1]; it must be a list of strings, none of them empty"
        );
        let unknown = message(r#"{"max_tokens":3}"#);
        assert!(unknown.contains("`max_tokens`") && unknown.contains("`maxTokens`"), "{unknown}");
        for json in ["[]", "3", "null"] {
            assert_eq!(read(json).unwrap_err().code(), ErrorCode::BadOption, "{json}");
        }
    }
}
