//! What every request passes before it is looked at: Host, origin, key. And its line in the log.

use super::refusal::Refusal;
use super::routes::App;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HOST, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use axum::middleware::Next;
use axum::response::IntoResponse;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use webtern::openai::ApiError;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Lets a request in, or not, and completes its response.
pub(super) async fn pass(State(app): State<Arc<App>>, request: Request<Body>, next: Next) -> Response<Body> {
    let begin = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let id = format!("req_{:016x}", App::random());
    let origin = request.headers().get(ORIGIN).filter(|origin| app.allows(origin)).cloned();
    let preflight = method == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match app.check_host(&request) {
        Err(refusal) => refusal.into_response(),
        Ok(()) if preflight && origin.is_some() => allowed(request.headers()),
        Ok(()) if path != "/health" && !app.has_key(request.headers()) => wrong_key().into_response(),
        Ok(()) => next.run(request).await,
    };
    let headers = response.headers_mut();
    if app.cors.is_some() {
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("x-request-id, retry-after"));
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    let status = response.status().as_u16();
    app.metrics.requests.with_label_values(&[response.status().as_str()]).inc();
    tracing::info!(request = id, %method, path, status, seconds = begin.elapsed().as_secs_f64(), "request");
    response
}

/// What a browser asks before it sends a request of another origin.
fn allowed(asked: &HeaderMap) -> Response<Body> {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    if let Some(names) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    // A page of the public network may reach a server of the local one.
    if asked.contains_key("access-control-request-private-network") {
        headers.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
    }
    response
}

fn wrong_key() -> Refusal {
    let message = "the API key is missing or wrong: send it as `Authorization: Bearer KEY`";
    ApiError { status: 401, code: Some("invalid_api_key"), ..ApiError::bad_request(message) }.into()
}

impl App {
    fn allows(&self, origin: &HeaderValue) -> bool {
        self.cors.as_deref().is_some_and(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
    }

    fn has_key(&self, headers: &HeaderMap) -> bool {
        let Some(key) = &self.api_key else { return true };
        let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        let given = match given.split_at_checked(7) {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"bearer ") => key,
            _ => b"",
        };
        // Without an early end, which would tell how much of a guess is right.
        let differences = given.iter().zip(key.as_bytes()).map(|(a, b)| a ^ b).fold(0, |all, one| all | one);
        given.len() == key.len() && differences == 0
    }

    /// A server on a loopback address is called by its names only: a foreign page whose name was
    /// rebound to this machine is not.
    fn check_host(&self, request: &Request<Body>) -> Result<(), Refusal> {
        let mut hosts = request.headers().get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().unwrap_or_default(),
            (None, None) if request.version() < Version::HTTP_11 => return Ok(()),
            _ => return Err(Refusal::new(400, "bad_host", "the request must have one Host header")),
        };
        if !self.loopback || is_local(host) {
            return Ok(());
        }
        let message =
            format!("the server listens on a loopback address and does not answer as `{host}`; use localhost");
        Err(Refusal::new(403, "bad_host", message))
    }
}

/// Whether a Host header names this machine.
fn is_local(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, ""),
    };
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || name.len() > 10 && name[name.len().saturating_sub(10)..].eq_ignore_ascii_case(".localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for host in [
            "localhost",
            "localhost:8080",
            "LOCALHOST.",
            "127.0.0.1:1",
            "127.1.2.3",
            "[::1]:80",
            "[::1]",
            "a.localhost:3",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "evil-localhost",
            "127.0.0.1.nip.io",
            "10.0.0.1",
            "localhost:x",
            "::2",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
