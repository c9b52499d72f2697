//! The parameters that all ways of asking for text share, mapped to the options of a run.

#![forbid(unsafe_code)]

use super::Service;
use super::error::{ApiError, ApiResult};
use super::fields::{Fields, wrong};
use crate::decode::Options;
use crate::error::Result;
use serde_json::{Map, Value};

/// Choices of one prompt at most, as OpenAI has it.
const MAX_CHOICES: u64 = 128;
/// Stop strings at most, as OpenAI has it.
const MAX_STOP_STRINGS: usize = 4;

/// Parameters that are options of a run under another spelling: theirs, ours. `decode` knows what
/// they may be.
const OPTIONS: [(&str, &str); 16] = [
    ("mode", "mode"),
    ("threshold", "threshold"),
    ("acceptance", "acceptance"),
    ("steps", "steps"),
    ("block_size", "blockSize"),
    ("sub_block_size", "subBlockSize"),
    ("dual_cache", "dualCache"),
    ("temperature", "temperature"),
    ("top_k", "topK"),
    ("top_p", "topP"),
    ("min_p", "minP"),
    ("repetition_penalty", "repetitionPenalty"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
    ("logit_bias", "logitBias"),
    ("stop_token_ids", "stopTokenIds"),
];

/// What clients send that changes no answer of ours.
pub(super) const HARMLESS: [&str; 9] = [
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_*",
    "verbosity",
    "reasoning_effort",
    "moderation",
];

/// Takes the options of a run. Those that the request leaves open are the service's; the seed is
/// `seed` then.
///
/// # Errors
///
/// 400 that names the parameter as the client spelled it.
pub(super) fn options(fields: &mut Fields, service: &Service, seed: u64) -> ApiResult<Options> {
    let mut given = Map::new();
    for (theirs, ours) in OPTIONS {
        let Some(value) = fields.value(theirs) else { continue };
        let alone = Map::from_iter([(ours.to_owned(), value.clone())]);
        checked(alone).map_err(|error| {
            let path = fields.path(theirs);
            ApiError::bad_param(&*path, error.message().replace(&format!("`{ours}`"), &format!("`{path}`")))
        })?;
        given.insert(ours.to_owned(), value);
    }
    let mut options = checked(given.clone())?;
    if !given.contains_key("mode") {
        options.mode = service.mode;
    }
    options.threshold = options.threshold.or(service.threshold);
    options.seed = fields
        .take("seed", "a whole number", |value| value.as_u64().or_else(|| value.as_i64().map(i64::cast_unsigned)))?
        .unwrap_or(seed);
    options.stop = stop(fields)?;
    Ok(options)
}

fn checked(options: Map<String, Value>) -> Result<Options> {
    let options = Options::from_value(&Value::Object(options))?;
    options.validate()?;
    Ok(options)
}

/// How many answers a request wants.
pub(super) fn choices(fields: &mut Fields) -> ApiResult<usize> {
    Ok(fields.count("n", (1, MAX_CHOICES))?.unwrap_or(1))
}

/// Takes the number of new tokens, under any of `names`; two that differ contradict each other.
pub(super) fn max_tokens(fields: &mut Fields, names: &[&str]) -> ApiResult<Option<usize>> {
    let mut found: Option<(usize, &str)> = None;
    for name in names {
        let Some(count) = fields.count(name, (1, u64::from(u32::MAX)))? else { continue };
        if let Some((first, other)) = found
            && first != count
        {
            let message = format!("`{other}` is {first} and `{name}` is {count}: they mean the same, give one of them");
            return Err(ApiError::bad_param(*name, message));
        }
        found = Some((count, name));
    }
    Ok(found.map(|(count, _)| count))
}

/// `stop`: a string, or 1 to 4 of them, none empty.
fn stop(fields: &mut Fields) -> ApiResult<Vec<String>> {
    let expected = format!("a string or a list of 1 to {MAX_STOP_STRINGS} strings, none of them empty");
    let stop = fields.take("stop", &expected, |value| {
        let strings: Vec<String> = match value {
            Value::String(one) => vec![one.clone()],
            Value::Array(several) => {
                several.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>()?
            }
            _ => return None,
        };
        let fits = (1..=MAX_STOP_STRINGS).contains(&strings.len()) && !strings.iter().any(String::is_empty);
        fits.then_some(strings)
    })?;
    Ok(stop.unwrap_or_default())
}

/// Whether the answer is to be streamed, and whether the stream ends with its usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Streaming {
    pub(super) stream: bool,
    pub(super) include_usage: bool,
}

pub(super) fn streaming(fields: &mut Fields) -> ApiResult<Streaming> {
    let stream = fields.flag("stream")?;
    let path = fields.path("stream_options");
    let include_usage = match fields.value("stream_options") {
        None => false,
        Some(value) if !stream => {
            return Err(ApiError::bad_param(&*path, format!("`{path}` is {value}, but `stream` is not true")));
        }
        Some(value) => {
            let mut options = Fields::nested(&path, value)?;
            let include_usage = options.flag("include_usage")?;
            options.finish(&["include_obfuscation"])?;
            include_usage
        }
    };
    Ok(Streaming { stream, include_usage })
}

/// Checks that the request is for the model that is loaded, or for any.
pub(super) fn model(fields: &mut Fields, service: &Service) -> ApiResult<()> {
    match fields.string("model")? {
        Some(name) if !service.is_model(&name) => Err(ApiError::model_not_found(&name, &service.model)),
        _ => Ok(()),
    }
}

/// Takes an object of arguments for the chat template.
pub(super) fn template_args(fields: &mut Fields) -> ApiResult<Map<String, Value>> {
    let path = fields.path("chat_template_kwargs");
    match fields.value("chat_template_kwargs") {
        None => Ok(Map::new()),
        Some(Value::Object(args)) => Ok(args),
        Some(other) => Err(wrong(&path, "an object", &other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Mode;
    use crate::testing::test;

    fn read(body: &str) -> std::result::Result<Options, String> {
        let service = Service { mode: Mode::Adaptive, threshold: Some(0.8), ..Service::named("toy") };
        let mut fields = Fields::read(body.as_bytes()).unwrap();
        options(&mut fields, &service, 77)
            .map_err(|error| format!("{}: {}", error.param.unwrap_or_default(), error.message))
    }

    #[test]
    fn options_are_ours_under_their_names() {
        let options = read(
            r#"{"mode": "iterative", "threshold": 0.7, "block_size": 16, "sub_block_size": 4, "dual_cache": true,
            "temperature": 0.5, "top_k": 3, "top_p": 0.8, "min_p": 0.1, "repetition_penalty": 1.1, "presence_penalty": 1,
            "frequency_penalty": -1, "logit_bias": {"5": -100}, "seed": 9, "stop": ["x", "y"]}"#,
        )
        .unwrap();
        assert_eq!((options.mode, options.threshold, options.block_size), (Mode::Iterative, Some(0.7), Some(16)));
        assert_eq!((options.sub_block_size, options.dual_cache, options.temperature), (Some(4), true, 0.5));
        assert_eq!((options.top_k, options.top_p, options.min_p), (3, 0.8, 0.1));
        assert_eq!((options.presence_penalty, options.frequency_penalty), (1.0, -1.0));
        assert_eq!((options.seed, options.stop), (9, vec!["x".to_owned(), "y".to_owned()]));
        assert_eq!(options.logit_bias.into_iter().collect::<Vec<_>>(), [(5, -100.0)]);
    }

    #[test]
    fn what_is_left_open_is_the_services() {
        let options = read(r#"{"stop": "x", "temperature": null}"#).unwrap();
        assert_eq!((options.mode, options.threshold, options.seed), (Mode::Adaptive, Some(0.8), 77));
        assert_eq!((options.temperature, options.stop), (0.0, vec!["x".to_owned()]));
        assert_eq!(read(r#"{"seed": -1}"#).unwrap().seed, u64::MAX);
    }

    #[test]
    fn refusals_use_the_clients_spelling() {
        for (body, words) in [
            (r#"{"top_p": 2}"#, "top_p: option `top_p` is 2"),
            (r#"{"min_p": "low"}"#, "min_p: option `min_p` is \"low\""),
            (r#"{"mode": "fast"}"#, "mode: option `mode`"),
            (r#"{"block_size": 0}"#, "block_size: option `block_size` is 0"),
            (r#"{"presence_penalty": 3}"#, "presence_penalty: "),
            (r#"{"logit_bias": {"a": 3}}"#, "logit_bias: "),
            (r#"{"logit_bias": {"1": 101}}"#, "logit_bias: "),
            (r#"{"seed": 1.5}"#, "seed: `seed` is 1.5; it must be a whole number"),
            (r#"{"stop": []}"#, "stop: `stop` is a list"),
            (r#"{"stop": ""}"#, "stop: `stop` is \"\""),
            (
                r#"{"stop": ["1", "2", "3", "4", "5"]}"#,
                "stop: `stop` is a list; it must be a string or a list of 1 to 4",
            ),
        ] {
            let error = read(body).unwrap_err();
            assert!(error.contains(words), "{body}: {error}");
        }
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        let names = ["max_tokens", "max_completion_tokens"];
        let read =
            |body: &str| max_tokens(&mut Fields::read(body.as_bytes()).unwrap(), &names).map_err(|error| error.message);
        assert_eq!(read(r#"{"max_tokens": 5, "max_completion_tokens": 5}"#), Ok(Some(5)));
        assert_eq!(read(r#"{"max_completion_tokens": 5}"#), Ok(Some(5)));
        assert_eq!(read("{}"), Ok(None));
        assert!(read(r#"{"max_tokens": 5, "max_completion_tokens": 6}"#).unwrap_err().contains("give one of them"));
        for body in [r#"{"max_tokens": 0}"#, r#"{"max_tokens": -1}"#, r#"{"max_completion_tokens": 0}"#] {
            assert!(read(body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_stream_may_end_with_its_usage() {
        let read = |body: &str| streaming(&mut Fields::read(body.as_bytes()).unwrap()).map_err(|error| error.message);
        let expected = Streaming { stream: true, include_usage: true };
        assert_eq!(read(r#"{"stream": true, "stream_options": {"include_usage": true}}"#), Ok(expected));
        assert_eq!(read(r#"{"stream": false, "stream_options": null}"#), Ok(Streaming::default()));
        assert!(read(r#"{"stream_options": {}}"#).unwrap_err().contains("`stream` is not true"));
        assert!(read(r#"{"stream": true, "stream_options": {"x": 1}}"#).unwrap_err().contains("`stream_options.x`"));
    }
}
