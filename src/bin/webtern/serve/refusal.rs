//! Errors as HTTP responses.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde_json::Value;
use webtern::openai::ApiError;

/// Seconds after which a client that found the queue full may try again.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// An error that a handler returns.
#[derive(Debug)]
pub(super) struct Refusal {
    error: ApiError,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        ApiError { status, code: Some(code), ..ApiError::bad_request(message) }.into()
    }

    /// 503 while the server finishes what it has begun.
    pub(super) fn stopping() -> Self {
        ApiError::server(503, "stopping", "the server is stopping: send the request to another").into()
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let header = match error.status {
            401 => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            429 | 503 => Some((RETRY_AFTER, RETRY_SECONDS)),
            _ => None,
        };
        Self { error, header }
    }
}

impl From<webtern::Error> for Refusal {
    fn from(error: webtern::Error) -> Self {
        ApiError::from(error).into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        let mut response = json(&self.error.body());
        *response.status_mut() = StatusCode::from_u16(self.error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().extend(self.header);
        response
    }
}

/// A response of JSON.
pub(super) fn json(value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
