//! One event of a stream, as server-sent events spell it.

#![forbid(unsafe_code)]

use super::error::ApiError;
use serde_json::Value;

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The type on the `event:` line, which only `/v1/responses` has.
    event: Option<&'static str>,
    /// `None` for the `[DONE]` that ends a stream.
    data: Option<Value>,
}

impl Frame {
    /// The end of a stream.
    pub(super) const DONE: Self = Self { event: None, data: None };

    pub(super) fn data(data: Value) -> Self {
        Self { event: None, data: Some(data) }
    }

    pub(super) fn event(event: &'static str, data: Value) -> Self {
        Self { event: Some(event), data: Some(data) }
    }

    /// What a stream whose headers are sent tells of an error.
    pub fn error(error: &ApiError) -> Self {
        Self::data(error.body())
    }

    /// The data, if this is not the end.
    pub fn json(&self) -> Option<&Value> {
        self.data.as_ref()
    }

    /// The frame as `text/event-stream`.
    pub fn to_sse(&self) -> String {
        let event = self.event.map_or_else(String::new, |event| format!("event: {event}\n"));
        match &self.data {
            // JSON of serde_json has no line breaks.
            Some(data) => format!("{event}data: {data}\n\n"),
            None => "data: [DONE]\n\n".to_owned(),
        }
    }
}
