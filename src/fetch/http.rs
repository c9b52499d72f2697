//! What of an HTTP response matters to a download.

#![forbid(unsafe_code)]

use std::time::{Duration, SystemTime};

/// The head of a response, as far as a page is allowed to see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// `Content-Length`: bytes of the body, as sent.
    pub length: Option<u64>,
    /// `Content-Range`.
    pub range: Option<ContentRange>,
    /// `ETag`, with its quotes.
    pub etag: Option<String>,
    /// `Content-Encoding`, unless that is `identity`.
    pub encoding: Option<String>,
    /// Whether the body is a web page.
    pub html: bool,
    /// `Retry-After`, in milliseconds from now.
    pub retry_after_ms: Option<u64>,
}

/// `Content-Range: bytes FIRST-LAST/TOTAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte of the body.
    pub first: u64,
    /// The last byte of the body.
    pub last: u64,
    /// Bytes of the whole file, where the server says it.
    pub total: Option<u64>,
}

impl Response {
    /// Reads the headers; `header` gets a name in lower case. `now` is in seconds since 1970.
    pub fn new(status: u16, now: u64, header: impl Fn(&str) -> Option<String>) -> Self {
        let encoding = header("content-encoding").filter(|encoding| encoding != "identity" && !encoding.is_empty());
        let html = header("content-type").is_some_and(|kind| kind.trim_start().starts_with("text/html"));
        Self {
            status,
            length: header("content-length").and_then(|length| length.trim().parse().ok()),
            range: header("content-range").and_then(|range| ContentRange::parse(&range)),
            etag: header("etag").filter(|etag| !etag.is_empty()),
            encoding,
            html,
            retry_after_ms: header("retry-after").and_then(|after| retry_after(&after, now)),
        }
    }
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        let total = total.trim().parse().ok();
        (first <= last && total.is_none_or(|total| last < total)).then_some(Self { first, last, total })
    }
}

/// Seconds, or a date.
fn retry_after(text: &str, now: u64) -> Option<u64> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let date = httpdate::parse_http_date(text.trim()).ok()?;
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
    Some(date.duration_since(now).map_or(0, |wait| wait.as_millis().try_into().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    fn read(headers: &[(&str, &str)]) -> Response {
        Response::new(206, 784_111_777, |name| {
            headers.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn reads_the_headers_of_a_range() {
        let response = read(&[("content-length", "10"), ("content-range", "bytes 90-99/100"), ("etag", "\"a\"")]);
        assert_eq!(response.length, Some(10));
        assert_eq!(response.range, Some(ContentRange { first: 90, last: 99, total: Some(100) }));
        assert_eq!((response.etag.as_deref(), response.encoding, response.html), (Some("\"a\""), None, false));
    }

    #[test]
    fn a_range_that_makes_no_sense_is_none() {
        for text in ["", "bytes */100", "bytes 5-4/100", "bytes 0-100/100", "items 0-1/2", "bytes 0-/5", "bytes -1-2/3"]
        {
            assert_eq!(ContentRange::parse(text), None, "{text}");
        }
        assert_eq!(ContentRange::parse("bytes 0-1/*"), Some(ContentRange { first: 0, last: 1, total: None }));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // The date of RFC 9110's examples, 1994-11-06 08:49:37, is second 784111777.
        for (text, wait) in [
            ("3", Some(3000)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10_000)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("soon", None),
        ] {
            assert_eq!(read(&[("retry-after", text)]).retry_after_ms, wait, "{text}");
        }
    }

    #[test]
    fn tells_encodings_and_web_pages() {
        assert_eq!(read(&[("content-encoding", "gzip")]).encoding.as_deref(), Some("gzip"));
        assert_eq!(read(&[("content-encoding", "identity")]).encoding, None);
        assert!(read(&[("content-type", "text/html; charset=utf-8")]).html);
    }
}
