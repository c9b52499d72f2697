//! Several requests at once, clients that leave, and the end of the server.

use super::server::{Request, Response, Server};
use super::{endless, question, with};
use serde_json::{Value, json};
use std::io::Read;
use std::time::Duration;

const CHAT: &str = "/v1/chat/completions";
const RUNNING: &str = "webtern_requests_running";
const QUEUED: &str = "webtern_queue_requests";

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
    assert!(took < Duration::from_secs(2), "{took:?}");
    drop(whole);
    let took = server.wait_for(RUNNING, 0.0);
    assert!(took < Duration::from_secs(2), "{took:?}");
    let mut stream = server.connect(&Request::post("/v1/completions", &with(body, &json!({ "stream": true }))));
    let mut some = [0; 2000];
    stream.read_exact(&mut some).unwrap();
    drop(stream);
    let took = server.wait_for(RUNNING, 0.0);
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(server.post(CHAT, &question("hi")).status, 200);
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
    let mut server = Server::start("tiny", &[]);
    let _idle = std::net::TcpStream::connect(&server.address).unwrap();
    server.terminate();
    let (status, took) = server.wait();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");

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
