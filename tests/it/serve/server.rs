//! A server as a child process, and a client that speaks just enough HTTP to misbehave with.

use crate::common::webtern;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Nothing here takes longer, even on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Serves `model` on a free port.
    pub(crate) fn start(model: &str, args: &[&str]) -> Self {
        let mut command = webtern();
        command.args(["serve", model]).args(args).env_remove("WEBTERN_API_KEY");
        Self::spawn(command)
    }

    /// Runs a command that serves.
    pub(super) fn spawn(mut command: Command) -> Self {
        let args = ["--port", "0", "--json", "--threads", "1"];
        let mut child = command.args(args).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let address = loop {
            let mut line = String::new();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the server ended before it listened");
            log.lock().unwrap().push_str(&line);
            let Ok(entry) = serde_json::from_str::<Value>(&line) else { continue };
            if entry["message"] == "listening" {
                break entry["address"].as_str().unwrap().trim_start_matches("http://").to_owned();
            }
        };
        let all = Arc::clone(&log);
        std::thread::spawn(move || {
            lines.lines().map_while(Result::ok).for_each(|line| all.lock().unwrap().push_str(&line));
        });
        Self { child, address, log }
    }

    /// What it has logged.
    pub(super) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Sends a request and reads the response to its end.
    pub(super) fn send(&self, request: &Request) -> Response {
        Response::read(&mut self.connect(request))
    }

    /// Sends a request.
    pub(super) fn connect(&self, request: &Request) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // The server may refuse and close before it has read everything.
        let _ = stream.write_all(&request.bytes(&self.address));
        stream
    }

    pub(super) fn get(&self, path: &str) -> Response {
        self.send(&Request::get(path))
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Response {
        self.send(&Request::post(path, body))
    }

    /// The JSON of an answer that must be one.
    #[track_caller]
    pub(super) fn answer(&self, path: &str, body: &Value) -> Value {
        let response = self.post(path, body);
        assert_eq!(response.status, 200, "{body}: {}", response.text());
        response.json()
    }

    /// The value of a metric.
    pub(super) fn metric(&self, name: &str) -> f64 {
        self.metric_with_key(name, "")
    }

    /// The same of a server with a key.
    pub(crate) fn metric_with_key(&self, name: &str, key: &str) -> f64 {
        let request = Request::get("/metrics").header("Authorization", &format!("Bearer {key}"));
        let text = self.send(&request).text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Waits until a metric has a value; returns how long that took.
    #[track_caller]
    pub(super) fn wait_for(&self, name: &str, value: f64) -> Duration {
        let begin = Instant::now();
        while self.metric(name) != value {
            assert!(begin.elapsed() < PATIENCE, "{name} is {}, not {value}", self.metric(name));
            std::thread::sleep(Duration::from_millis(10));
        }
        begin.elapsed()
    }

    /// Memory of the process, in kB.
    pub(super) fn resident_kb(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Sends SIGTERM.
    pub(super) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends a signal.
    pub(super) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Waits for the end; returns how long that took, too.
    pub(super) fn wait(&mut self) -> (ExitStatus, Duration) {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, begin.elapsed());
            }
            assert!(begin.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone)]
pub(super) struct Request {
    head: String,
    host: Option<String>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub(super) fn get(path: &str) -> Self {
        Self::of("GET", path)
    }

    pub(super) fn of(method: &str, path: &str) -> Self {
        Self { head: format!("{method} {path} HTTP/1.1"), host: None, headers: Vec::new(), body: Vec::new() }
    }

    pub(super) fn post(path: &str, body: &Value) -> Self {
        Self::of("POST", path).header("Content-Type", "application/json").body(body.to_string())
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn host(self, host: &str) -> Self {
        Self { host: Some(host.to_owned()), ..self }
    }

    pub(super) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    pub(super) fn bytes(&self, address: &str) -> Vec<u8> {
        let Self { head, host, headers, body } = self;
        let host = host.as_deref().unwrap_or(address);
        let mut text = format!("{head}\r\nHost: {host}\r\nConnection: close\r\n");
        let has_length = headers.iter().any(|(name, _)| name == "Content-Length" || name == "Transfer-Encoding");
        if !body.is_empty() && !has_length {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
        [text.as_bytes(), b"\r\n", body].concat()
    }
}

pub(super) struct Response {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Response {
    pub(super) fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no response: {:?}", String::from_utf8_lossy(&bytes)));
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head[9..12].parse().unwrap();
        let headers: Vec<(String, String)> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut body = bytes.split_off(end + 4);
        if headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked") {
            body = unchunked(&body);
        }
        Self { status, headers, body }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The data of the events of a stream, which must end with `[DONE]`.
    #[track_caller]
    pub(super) fn events(&self) -> Vec<Value> {
        let text = self.text();
        let mut data: Vec<&str> = text.split("\n\n").filter(|event| !event.is_empty()).collect();
        assert_eq!(data.pop(), Some("data: [DONE]"), "{text}");
        data.iter().map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap()).collect()
    }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(line) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        body.extend_from_slice(&bytes[line + 2..][..size]);
        bytes = &bytes[line + 4 + size..];
    }
    body
}
