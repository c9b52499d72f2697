//! Several requests at once, clients that leave, and the end of the server.

use super::server::{Request, Response, Server};
use super::{endless, question, with};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::time::Duration;

const CHAT: &str = "/v1/chat/completions";
const RUNNING: &str = "webtern_requests_running";
const QUEUED: &str = "webtern_queue_requests";
/// How long a client that left may go on being computed for: half a second, and more on a machine
/// that is busy.
const LEAVING: Duration = Duration::from_secs(2);

/// Sessions take turns and are reused, and nobody's answer depends on it.
#[test]
fn every_answer_is_that_of_a_lone_run() {
    let server = Server::start("tiny", &["--sessions", "3"]);
    let ask = |index: usize| {
        let sum = format!("What is {} + {}?", 10 + index, 80 - index);
        let mode = ["ar", "adaptive", "iterative", "greedy"][index % 4];
        with(
            question(&sum),
            &json!({ "mode": mode, "temperature": (index % 2) as f64, "seed": index, "stream": index.is_multiple_of(3) }),
        )
    };
    let content = |response: &Response, body: &Value| -> String {
        assert_eq!(response.status, 200, "{}", response.text());
        if body["stream"] == true {
            let events = response.events();
            return events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
        }
        response.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    };
    let lone: Vec<String> = (0..24).map(|index| content(&server.post(CHAT, &ask(index)), &ask(index))).collect();
    std::thread::scope(|scope| {
        for client in 0..8 {
            let (server, lone, ask, content) = (&server, &lone, &ask, &content);
            scope.spawn(move || {
                for step in 0..12 {
                    let index = (client * 7 + step * 5) % 24;
                    assert_eq!(content(&server.post(CHAT, &ask(index)), &ask(index)), lone[index], "{}", ask(index));
                }
            });
        }
    });
}

#[test]
fn a_client_that_leaves_ends_its_computation() {
    let server = Server::start("tiny", &["--sessions", "1"]);
    let body = endless(&server);
    let whole = server.connect(&Request::post("/v1/completions", &body));
    server.wait_for(RUNNING, 1.0);
    let queued = server.connect(&Request::post("/v1/completions", &body));
    server.wait_for(QUEUED, 1.0);
    drop(queued);
    let took = server.wait_for(QUEUED, 0.0);
    assert!(took < LEAVING, "{took:?}");
    drop(whole);
    let took = server.wait_for(RUNNING, 0.0);
    assert!(took < LEAVING, "{took:?}");
    let mut stream = server.connect(&Request::post("/v1/completions", &with(body, &json!({ "stream": true }))));
    let mut some = [0; 2000];
    stream.read_exact(&mut some).unwrap();
    drop(stream);
    let took = server.wait_for(RUNNING, 0.0);
    assert!(took < LEAVING, "{took:?}");
    assert_eq!(server.post(CHAT, &question("hi")).status, 200);
}

/// A client that leaves is not kept waiting for the turns of others.
#[test]
fn clients_that_leave_together_end_together() {
    let server = Server::start("tiny", &["--sessions", "4"]);
    let body = endless(&server);
    let clients: Vec<_> = (0..4).map(|_| server.connect(&Request::post("/v1/completions", &body))).collect();
    server.wait_for(RUNNING, 4.0);
    drop(clients);
    let took = server.wait_for(RUNNING, 0.0);
    assert!(took < LEAVING, "{took:?}");
}

#[test]
fn a_reader_that_takes_nothing_loses_its_session() {
    let server = Server::start("tiny", &["--sessions", "1", "--reader-timeout", "1"]);
    // Enough of an answer to fill what the system buffers.
    let much = json!({ "stream": true, "logprobs": true, "top_logprobs": 20 });
    let mut body = with(with(endless(&server), &question("hi")), &with(much, &json!({ "max_tokens": 400 })));
    body.as_object_mut().unwrap().remove("prompt");
    let _slow = server.connect(&Request::post(CHAT, &body));
    server.wait_for(RUNNING, 1.0);
    server.wait_for(RUNNING, 0.0);
    // The connection gives up writing, or the scheduler waiting for it, whichever notices first.
    let ends = ["left", "stalled"].map(|end| server.metric(&format!("webtern_jobs_total{{end=\"{end}\"}}")));
    assert_eq!(ends.iter().sum::<f64>(), 1.0, "{ends:?}");
    assert_eq!(server.post(CHAT, &question("hi")).status, 200);
}

#[test]
fn requests_that_do_not_come_are_given_up() {
    let server = Server::start("tiny", &["--request-timeout", "1"]);
    let head = format!("POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
    let mut silent = std::net::TcpStream::connect(&server.address).unwrap();
    let mut body = std::net::TcpStream::connect(&server.address).unwrap();
    silent.write_all(head.as_bytes()).unwrap();
    body.write_all(format!("{head}Content-Length: 100\r\nConnection: close\r\n\r\n{{").as_bytes()).unwrap();
    let refused = Response::read(&mut body);
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (408, &json!("timeout")));
    // Without a whole head there is no request to answer.
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest);
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{rest:?}");
}

#[test]
fn thirty_two_clients_are_never_told_to_come_again() {
    let server = Server::start("tiny", &[]);
    std::thread::scope(|scope| {
        for client in 0..32 {
            let server = &server;
            scope.spawn(move || {
                let response = server.post(CHAT, &question(&format!("What is {client} + 1?")));
                assert_eq!(response.status, 200, "{}", response.text());
            });
        }
    });
}

/// What an earlier prompt has in common with a later one is read once, whichever of them goes on.
#[test]
fn prompts_that_share_a_beginning_share_its_cache() {
    let server = Server::start("tiny", &[]);
    let ask = |text: &str, max_tokens: usize| {
        let body = json!({ "prompt": text, "mode": "ar", "max_tokens": max_tokens });
        let usage = server.answer("/v1/completions", &body)["usage"].clone();
        let cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
        (usage["prompt_tokens"].as_u64().unwrap(), cached)
    };
    let (tokens, cached) = ask("Tell me a story.", 100);
    assert_eq!(cached, 0);
    for _ in 0..6 {
        assert_eq!(ask("Tell me a story.", 100), (tokens, tokens - 1), "all but the last, whose logits are needed");
    }
    let (_, cached) = ask("Tell me a story.", 1);
    assert_eq!(cached, tokens - 1);
    let (longer, cached) = ask("Tell me a story. It is about a dog", 2);
    assert!(cached >= tokens - 1 && cached < longer, "{cached} of {longer}");
}

#[test]
fn beyond_the_queue_clients_are_told_to_come_again() {
    let server = Server::start("tiny", &["--sessions", "1", "--queue", "1"]);
    let body = endless(&server);
    let _running = server.connect(&Request::post("/v1/completions", &body));
    server.wait_for(RUNNING, 1.0);
    let _queued = server.connect(&Request::post("/v1/completions", &body));
    server.wait_for(QUEUED, 1.0);
    let response = server.post(CHAT, &question("hi"));
    assert_eq!(response.status, 429);
    assert!(response.header("retry-after").unwrap().parse::<u32>().is_ok());
    assert_eq!(response.json()["error"]["code"], "queue_full");
}

#[test]
fn a_stopping_server_finishes_what_runs() {
    let mut server = Server::start("tiny", &["--sessions", "1"]);
    let body = with(endless(&server), &json!({ "n": 8 }));
    let mut running = server.connect(&Request::post("/v1/completions", &body));
    server.wait_for(RUNNING, 1.0);
    let mut queued = server.connect(&Request::post("/v1/completions", &body));
    server.wait_for(QUEUED, 1.0);
    let _idle = std::net::TcpStream::connect(&server.address).unwrap();
    server.terminate();
    let refused = Response::read(&mut queued);
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (503, &json!("stopping")));
    let late = server.post(CHAT, &question("hi"));
    assert_eq!((late.status, &late.json()["error"]["code"]), (503, &json!("stopping")));
    let answer = Response::read(&mut running);
    assert_eq!(answer.json()["choices"].as_array().unwrap().len(), 8);
    let (status, took) = server.wait();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn an_idle_server_stops_at_once_and_a_second_signal_does_not_wait() {
    for signal in ["-TERM", "-INT"] {
        let mut server = Server::start("tiny", &[]);
        let _idle = std::net::TcpStream::connect(&server.address).unwrap();
        server.signal(signal);
        let (status, took) = server.wait();
        assert_eq!(status.code(), Some(0));
        assert!(took < Duration::from_secs(5), "{took:?}");
    }

    let mut server = Server::start("tiny", &[]);
    let body = endless(&server);
    let _running = server.connect(&Request::post("/v1/completions", &body));
    server.wait_for(RUNNING, 1.0);
    server.terminate();
    // The first signal is handled once new requests are refused.
    while server.get("/health").status == 200 {
        std::thread::sleep(Duration::from_millis(10));
    }
    server.terminate();
    let (status, took) = server.wait();
    assert_ne!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}
