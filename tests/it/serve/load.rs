//! Many clients behind a proxy that drops connections: `make load-test` for five minutes, a few
//! seconds otherwise.

use super::question;
use super::server::{Request, Server};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const CHAT: &str = "/v1/chat/completions";
const CLIENTS: u64 = 64;
const QUESTIONS: usize = 20;
/// Memory that a server may gain after its warm-up, in kB: an allocator's slack, not a leak.
const SLACK_KB: usize = 64 << 10;

#[test]
fn no_answer_is_lost_or_mixed_under_load() {
    let seconds = std::env::var("WEBTERN_LOAD_SECONDS").map_or(3, |seconds| seconds.parse().unwrap());
    let server = Server::start("tiny", &[]);
    let ask = |index: usize| {
        super::with(
            question(&format!("What is {} + {}?", 3 * index, 50 - index)),
            &serde_json::json!({ "stream": index.is_multiple_of(2) }),
        )
    };
    let lone: Vec<String> =
        (0..QUESTIONS).map(|index| text(&server.send(&Request::post(CHAT, &ask(index))).text())).collect();
    let proxy = proxy(server.address.clone());
    let (answered, dropped) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let before = server.resident_kb();
    let end = Instant::now() + Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (lone, proxy, answered, dropped, ask) = (&lone, &proxy, &answered, &dropped, &ask);
            scope.spawn(move || {
                let mut random = Pcg64::seed_from_u64(client);
                while Instant::now() < end {
                    let index = random.next_u32() as usize % QUESTIONS;
                    match exchange(proxy, &Request::post(CHAT, &ask(index)).bytes("localhost")) {
                        Some(answer) => {
                            assert_eq!(text(&answer), lone[index]);
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        None => _ = dropped.fetch_add(1, Ordering::Relaxed),
                    }
                }
            });
        }
    });
    let (answered, dropped) = (answered.into_inner(), dropped.into_inner());
    server.wait_for("webtern_requests_running", 0.0);
    let after = server.resident_kb();
    println!("{answered} answers, {dropped} connections dropped, {before} kB of memory, then {after} kB");
    assert!(answered > 0 && dropped > 0, "{answered} answers, {dropped} dropped");
    assert!(after < before + SLACK_KB, "memory grew from {before} kB to {after} kB");
}

/// A complete response, or nothing when the connection was dropped.
fn exchange(proxy: &str, request: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(proxy).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    stream.write_all(request).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let response = String::from_utf8(bytes).ok()?;
    let (head, body) = response.split_once("\r\n\r\n")?;
    let complete = match head.to_ascii_lowercase().split_once("content-length: ") {
        Some((_, length)) => length.lines().next()?.parse() == Ok(body.len()),
        None => body.ends_with("\r\n0\r\n\r\n"),
    };
    if !complete {
        return None;
    }
    assert!(head.starts_with("HTTP/1.1 200"), "{response}");
    Some(body.to_owned())
}

/// The text of an answer, streamed or whole.
fn text(answer: &str) -> String {
    let content = |json: &str, part: &str| -> Option<String> {
        let value: Value = serde_json::from_str(json).ok()?;
        value["choices"][0][part]["content"].as_str().map(str::to_owned)
    };
    if let Some(text) = content(answer, "message") {
        return text;
    }
    answer.lines().filter_map(|line| content(line.strip_prefix("data: ")?, "delta")).collect()
}

/// A proxy that drops every third connection at some point of the answer.
fn proxy(server: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let (Ok(client), server) = (client, server.clone()) else { continue };
            std::thread::spawn(move || forward(client, &server, number));
        }
    });
    address
}

fn forward(mut client: TcpStream, server: &str, number: usize) -> Option<()> {
    let mut upstream = TcpStream::connect(server).ok()?;
    let (mut from, mut to) = (client.try_clone().ok()?, upstream.try_clone().ok()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let limit = if number.is_multiple_of(3) { (number * 37 % 700) as u64 } else { u64::MAX };
    let _ = std::io::copy(&mut (&mut upstream).take(limit), &mut client);
    let _ = client.shutdown(Shutdown::Both);
    let _ = upstream.shutdown(Shutdown::Both);
    Some(())
}
