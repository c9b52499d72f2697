//! Hugging Face's Jinja, in minijinja: its functions and filters, Python's methods.

#![forbid(unsafe_code)]

use std::error::Error as _;
use std::fmt;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::guard::Guard;
use super::{containers, json, metering, percent, strftime, strings};

/// What a template said in `raise_exception`.
#[derive(Debug)]
struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// An environment without clock, `tojson` and fuel.
pub(super) fn new() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_unknown_method_callback(|state, value, method, arguments| {
        let string = value.as_str().and_then(|text| strings::call(state, text, method, arguments));
        match string.or_else(|| containers::call(value, method, arguments)) {
            Some(result) => result,
            None => minijinja_contrib::pycompat::unknown_method_callback(state, value, method, arguments),
        }
    });
    // What Python can iterate over or index; minijinja iterates over none as well, and calls no
    // string a sequence.
    environment.add_test("iterable", |value: &Value| {
        matches!(
            value.kind(),
            ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::Undefined
        )
    });
    environment.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Undefined)
    });
    environment.set_formatter(|out, state, value| {
        metering::pay(state, value)?;
        minijinja::escape_formatter(out, state, value)
    });
    metering::install(&mut environment);
    environment.add_filter("percent", percent::percent);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, "raise_exception").with_source(Refusal(message)))
    });
    environment
}

/// Sets the time that `strftime_now` tells.
pub(super) fn set_clock(environment: &mut Environment<'_>, unix_seconds: u64) {
    environment.add_function("strftime_now", move |state: &mut State<'_, '_>, format: &str| {
        let text = strftime::strftime(format, unix_seconds)?;
        strings::charge(state, text.len())?;
        Ok::<_, Error>(text)
    });
}

/// Adds `tojson`, which escapes what the stand-ins of `guard` stand for.
pub(super) fn set_guard(environment: &mut Environment<'_>, guard: Guard) {
    let to_json = move |state: &mut State<'_, '_>, value: &Value, places: Rest<Value>, named: Kwargs| {
        json::to_json(state, value, places, named, &guard)
    };
    environment.add_filter("tojson", to_json);
}

/// What the template said, if it was the template that raised the error.
pub(super) fn refusal(error: &Error) -> Option<&str> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(Refusal(message)) = error.downcast_ref() {
            return Some(message);
        }
        source = error.source();
    }
    None
}
