//! What the server refuses, and how: bad requests, foreign pages, outsized bodies.

use super::question;
use super::server::{Request, Response, Server};
use crate::common::webtern;
use serde_json::{Value, json};
use std::io::Write;

const CHAT: &str = "/v1/chat/completions";

#[track_caller]
fn assert_refused(response: &Response, status: u16, words: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/json"));
    let error = &response.json()["error"];
    assert!(error["message"].as_str().unwrap().contains(words), "{error}");
    assert!(error["type"].is_string());
    assert!(response.header("x-request-id").is_some());
}

#[test]
fn bad_requests_are_refused_by_name() {
    let server = Server::start("tiny", &["--context-length", "64"]);
    let chat = |more: Value| super::with(question("hi"), &more);
    let long = "a b c d e f g ".repeat(100);
    for (path, body, status, words) in [
        (CHAT, chat(json!({ "maxTokens": 3 })), 400, "`maxTokens`"),
        (CHAT, chat(json!({ "max_tokens": 0 })), 400, "`max_tokens`"),
        (CHAT, chat(json!({ "max_tokens": -1 })), 400, "`max_tokens`"),
        (CHAT, chat(json!({ "max_completion_tokens": 3 })), 400, "`max_completion_tokens`"),
        (CHAT, chat(json!({ "n": 0 })), 400, "`n`"),
        (CHAT, chat(json!({ "n": 1000 })), 400, "`n`"),
        (CHAT, chat(json!({ "top_p": "high" })), 400, "`top_p`"),
        (CHAT, chat(json!({ "stop": vec!["x"; 10_000] })), 400, "`stop`"),
        (CHAT, chat(json!({ "tools": [{}] })), 400, "`tools[0].type` is missing"),
        (CHAT, chat(json!({ "model": "gpt-4o" })), 404, "`gpt-4o`"),
        (CHAT, chat(json!({ "messages": [] })), 400, "`messages`"),
        (CHAT, json!({}), 400, "`messages` is missing"),
        (CHAT, question("a\0b"), 400, "NUL"),
        (CHAT, question(&long), 400, "context"),
        ("/v1/completions", json!({ "prompt": "a", "best_of": 2 }), 400, "`best_of`"),
        ("/v1/completions", json!({ "prompt": [99999999] }), 400, "99999999"),
        ("/v1/responses", json!({ "input": "a", "previous_response_id": "x" }), 400, "`previous_response_id`"),
        ("/v1/choose", json!({ "prompt": "a", "options": [] }), 400, "`options`"),
        ("/v1/nothing", json!({}), 404, "/v1/nothing"),
    ] {
        assert_refused(&server.post(path, &body), status, words);
    }
    let error = server.post(CHAT, &question(&long)).json();
    assert_eq!(error["error"]["code"], "context_length_exceeded");
    let error = server.post(CHAT, &chat(json!({ "model": "x" }))).json();
    assert_eq!((&error["error"]["code"], &error["error"]["param"]), (&json!("model_not_found"), &json!("model")));
    let cut = server.answer(CHAT, &chat(json!({ "max_tokens": 100_000, "stop": null, "model": "tiny" })));
    assert_eq!(cut["object"], "chat.completion", "max_tokens beyond the room is cut to it");
    assert_refused(&server.send(&Request::of("DELETE", CHAT)), 405, "DELETE");
    assert_refused(&server.get(CHAT), 405, "GET");
    assert_refused(&server.get("/v1/responses/resp_1"), 404, "resp_1");
    for body in [&b"{\"messages\": [}"[..], b"{\"a\": \"\\ud800\"}", b"\xff\xfe", b""] {
        let request = Request::of("POST", CHAT).header("Content-Type", "application/json").body(body);
        assert_refused(&server.send(&request), 400, "not valid JSON");
    }
}

#[test]
fn only_json_of_a_limited_size_is_read() {
    let server = Server::start("tiny", &[]);
    let post = |kind: &str| Request::of("POST", CHAT).header("Content-Type", kind).body(question("hi").to_string());
    assert_refused(&server.send(&post("text/plain")), 415, "text/plain");
    assert_eq!(server.send(&post("application/json; charset=utf-8")).status, 200);
    assert_refused(&server.send(&post("application/json").header("Content-Encoding", "gzip")), 415, "Content-Encoding");
    let huge = question(&"x".repeat(10_000_000));
    assert_refused(&server.post(CHAT, &huge), 413, "larger than 4 MB");
    let chunked = Request::of("POST", CHAT)
        .header("Content-Type", "application/json")
        .header("Transfer-Encoding", "chunked")
        .body([b"500000\r\n", vec![b' '; 0x50_0000].as_slice(), b"\r\n0\r\n\r\n"].concat());
    assert_refused(&server.send(&chunked), 413, "larger than 4 MB");
    let large = question(&"x".repeat(3_900_000));
    assert_refused(&server.post(CHAT, &large), 400, "context");
    let claims =
        Request::of("POST", CHAT).header("Content-Type", "application/json").header("Content-Length", "99999999999");
    assert_refused(&server.send(&claims), 413, "larger than 4 MB");
}

#[test]
fn foreign_pages_do_not_drive_a_local_server() {
    let server = Server::start("tiny", &["--cors", "https://app.example"]);
    let ask = || Request::post(CHAT, &question("hi"));
    assert_refused(&server.send(&ask().host("evil.example")), 403, "evil.example");
    assert_eq!(server.send(&ask().host("localhost:1")).status, 200);
    let preflight = |origin: &str| {
        let request = Request::of("OPTIONS", CHAT).header("Origin", origin);
        let request = request.header("Access-Control-Request-Method", "POST");
        server.send(&request.header("Access-Control-Request-Headers", "content-type, x-stainless-lang"))
    };
    let allowed = preflight("https://app.example");
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(allowed.header("access-control-allow-headers"), Some("content-type, x-stainless-lang"));
    let refused = preflight("https://evil.example");
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (405, None));
    let error = server.send(&Request::post(CHAT, &json!({})).header("Origin", "https://app.example"));
    assert_refused(&error, 400, "`messages`");
    assert_eq!(error.header("access-control-allow-origin"), Some("https://app.example"), "on errors, too");
    assert_eq!(
        server.send(&ask().header("Origin", "https://evil.example")).header("access-control-allow-origin"),
        None
    );
}

#[test]
fn the_key_opens_everything_but_health() {
    let server = Server::start("tiny", &["--api-key", "sesame", "--cors", "https://app.example"]);
    for path in ["/v1/models", "/metrics", "/nothing"] {
        assert_refused(&server.get(path), 401, "API key");
        assert_refused(&server.send(&Request::get(path).header("Authorization", "Bearer sesam")), 401, "API key");
    }
    assert_eq!(server.get("/health").status, 200);
    let preflight = Request::of("OPTIONS", CHAT).header("Origin", "https://app.example");
    assert_eq!(server.send(&preflight.header("Access-Control-Request-Method", "POST")).status, 204);
    assert_eq!(server.send(&Request::get("/v1/models").header("Authorization", "Bearer sesame")).status, 200);
    assert_eq!(server.send(&Request::get("/v1/models").header("Authorization", "Bearer sesame")).status, 200);
}

#[test]
fn the_key_may_be_in_the_environment_and_is_in_no_log() {
    let mut command = webtern();
    command.args(["serve", "tiny"]).env("WEBTERN_API_KEY", "open-sesame");
    let server = Server::spawn(command);
    assert_eq!(server.get("/v1/models").status, 401);
    let wrong = Request::get("/v1/models?key=x").header("Authorization", "Bearer closed-sesame");
    assert_eq!(server.send(&wrong).status, 401);
    assert_eq!(server.send(&Request::get("/v1/models").header("Authorization", "Bearer open-sesame")).status, 200);
    while server.log().matches("\"request\"").count() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(!server.log().contains("sesame"), "{}", server.log());
}

/// Connections that never finish a request do not keep others from being answered.
#[test]
fn half_open_connections_cost_nothing() {
    let server = Server::start("tiny", &[]);
    let mut open = Vec::new();
    for start in
        ["", "POST /v1/chat/compl", "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"]
    {
        let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
        stream.write_all(start.as_bytes()).unwrap();
        open.push(stream);
    }
    assert_eq!(server.post(CHAT, &question("hi")).status, 200);
}
