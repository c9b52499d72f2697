//! Refusals in OpenAI's form: `{ "error": { message, type, param, code } }` and an HTTP status.

#![forbid(unsafe_code)]

use crate::error::{Error, ErrorCode};
use serde_json::{Value, json};
use std::fmt;

/// `Result` with an [`ApiError`].
pub type ApiResult<T> = Result<T, ApiError>;

/// Why a request gets no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// Whose fault it is, in OpenAI's words: `invalid_request_error`, `server_error`, ...
    pub kind: &'static str,
    /// The key of the request at fault, spelled as the client spelled it.
    pub param: Option<String>,
    /// A stable code for programs.
    pub code: Option<&'static str>,
    /// What is wrong, where, and what to do.
    pub message: String,
}

impl ApiError {
    /// 400: the request is wrong as a whole.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self { status: 400, kind: "invalid_request_error", param: None, code: None, message: message.into() }
    }

    /// 400: `param` is wrong.
    pub fn bad_param(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::bad_request(message) }
    }

    /// 400: nothing here understands `param`.
    pub fn unsupported(param: impl Into<String>, advice: &str) -> Self {
        let param = param.into();
        let message = format!("`{param}` is not supported{advice}");
        Self { code: Some("unsupported_parameter"), ..Self::bad_param(param, message) }
    }

    /// 404: another model than the one that is loaded.
    pub fn model_not_found(asked: &str, loaded: &str) -> Self {
        Self {
            status: 404,
            code: Some("model_not_found"),
            ..Self::bad_param("model", format!("the model `{asked}` does not exist; the loaded model is `{loaded}`"))
        }
    }

    /// 404: nothing is served under `path`.
    pub fn unknown_path(path: &str) -> Self {
        let message = format!("there is nothing at {path}; try /v1/chat/completions");
        Self { status: 404, code: Some("unknown_url"), ..Self::bad_request(message) }
    }

    /// 405: `path` takes another method.
    pub fn wrong_method(method: &str, path: &str) -> Self {
        let message = format!("{path} does not take {method}");
        Self { status: 405, code: Some("method_not_allowed"), ..Self::bad_request(message) }
    }

    /// 500, or 503 when the client should come again: the request is right, but cannot be answered.
    pub fn server(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind: "server_error", param: None, code: Some(code), message: message.into() }
    }

    /// The same error for a key of the request.
    #[must_use]
    pub fn of(mut self, param: &str) -> Self {
        self.param.get_or_insert_with(|| param.to_owned());
        self
    }

    /// The body of the answer, and the event of a stream that fails.
    pub fn body(&self) -> Value {
        let Self { kind, param, code, message, .. } = self;
        json!({ "error": { "message": message, "type": kind, "param": param, "code": code } })
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let message = error.message().to_owned();
        match error.code() {
            ErrorCode::ContextFull => Self { code: Some("context_length_exceeded"), ..Self::bad_request(message) },
            // `limits`: a chat template did more work than the messages can need.
            code @ (ErrorCode::BadOption | ErrorCode::NoMaskToken | ErrorCode::Limits) => {
                Self { code: Some(code.as_str()), ..Self::bad_request(message) }
            }
            code => Self::server(500, code.as_str(), message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn codes_of_the_crate_have_a_status() {
        for (error, status, kind, code) in [
            (err!(ContextFull, "x"), 400, "invalid_request_error", "context_length_exceeded"),
            (err!(BadOption, "x"), 400, "invalid_request_error", "bad-option"),
            (err!(NoMaskToken, "x"), 400, "invalid_request_error", "no-mask-token"),
            (err!(Malformed, "x"), 500, "server_error", "malformed"),
            (err!(OutOfMemory, "x"), 500, "server_error", "out-of-memory"),
        ] {
            let api = ApiError::from(error);
            assert_eq!((api.status, api.kind, api.code), (status, kind, Some(code)));
        }
    }

    #[test]
    fn the_body_has_all_four_fields() {
        let error = ApiError::unsupported("audio", ": webtern answers with text");
        assert_eq!(
            error.body(),
            json!({ "error": {
                "message": "`audio` is not supported: webtern answers with text",
                "type": "invalid_request_error",
                "param": "audio",
                "code": "unsupported_parameter",
            } })
        );
        assert_eq!(ApiError::bad_request("no").body()["error"]["param"], Value::Null);
    }
}
