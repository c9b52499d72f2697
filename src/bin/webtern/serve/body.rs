//! Reading the bodies of requests, within limits.

use super::refusal::Refusal;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use std::time::Duration;

/// The largest body.
const MAX_BYTES: usize = 4 << 20;
/// More than this is not read to be thrown away: the connection ends.
const MAX_DISCARDED: usize = 64 << 20;

/// The body of a request for JSON, which may take as long as `limit`.
///
/// # Errors
///
/// 415 for another type or an encoding, 413 above 4 MiB, 408 when it does not come, 400 when it
/// breaks off.
pub(super) async fn read(request: Request<Body>, limit: Duration) -> Result<Bytes, Refusal> {
    let (parts, mut body) = request.into_parts();
    check_type(&parts.headers)?;
    let declared = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > MAX_BYTES) {
        // A client that is still sending would not see the answer.
        if !parts.headers.contains_key(EXPECT) && declared.is_some_and(|length| length <= MAX_DISCARDED) {
            let _ = tokio::time::timeout(limit, discard(&mut body, MAX_DISCARDED)).await;
        }
        return Err(too_large());
    }
    match tokio::time::timeout(limit, collect(&mut body)).await {
        Ok(collected) => collected,
        Err(_) => {
            let message = format!("the body did not come within {} seconds", limit.as_secs());
            Err(Refusal::new(408, "timeout", message))
        }
    }
}

/// Only what a page of another origin cannot send without asking first.
fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let message = format!("Content-Type is `{kind}`; send application/json");
        return Err(Refusal::new(415, "unsupported_media_type", message));
    }
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(Refusal::new(415, "unsupported_media_type", "Content-Encoding is not supported: send plain JSON"));
    }
    Ok(())
}

async fn collect(body: &mut Body) -> Result<Bytes, Refusal> {
    let mut bytes = Vec::with_capacity(body.size_hint().lower().min(MAX_BYTES as u64) as usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::new(400, "broken_body", format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > MAX_BYTES {
            discard(body, MAX_DISCARDED).await;
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.into())
}

/// Reads so many bytes at most and forgets them.
async fn discard(body: &mut Body, most: usize) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > most {
            return;
        }
    }
}

fn too_large() -> Refusal {
    Refusal::new(413, "request_too_large", format!("the body is larger than {} MB", MAX_BYTES >> 20))
}
