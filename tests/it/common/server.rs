//! An HTTP server on the loopback interface that misbehaves on request.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// Path and query.
    pub(crate) path: String,
    /// Header lines, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Received {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The range that is asked for: the first byte, and the last.
    pub(crate) fn range(&self) -> Option<(usize, Option<usize>)> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().unwrap(), last.parse().ok()))
    }
}

/// What to answer.
#[derive(Clone, Default)]
pub(crate) struct Reply {
    /// The status code.
    pub(crate) status: u16,
    /// Header lines beside the length.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// After how many bytes of the body the connection is cut.
    pub(crate) cut: Option<usize>,
    /// After how many bytes of the body the server falls silent.
    pub(crate) stall: Option<usize>,
}

impl Reply {
    /// What a good server answers.
    pub(crate) fn file(bytes: &[u8], request: &Received) -> Self {
        let etag = ("ETag", "\"1\"".to_owned());
        match request.range() {
            None => Self { status: 200, headers: vec![etag], body: bytes.to_vec(), ..Self::default() },
            Some((first, _)) if first >= bytes.len() => Self { status: 416, ..Self::default() },
            Some((first, last)) => {
                let end = last.map_or(bytes.len(), |last| bytes.len().min(last + 1));
                let range = format!("bytes {first}-{}/{}", end - 1, bytes.len());
                let headers = vec![etag, ("Content-Range", range)];
                Self { status: 206, headers, body: bytes[first..end].to_vec(), ..Self::default() }
            }
        }
    }

    /// Sends the client elsewhere.
    pub(crate) fn redirect(to: &str) -> Self {
        Self { status: 302, headers: vec![("Location", to.to_owned())], ..Self::default() }
    }

    /// Nothing but a status.
    pub(crate) fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }
}

/// A server that ends with the test process.
pub(crate) struct Server {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    /// Answers every request, numbered from 0, as `answer` says.
    pub(crate) fn start(answer: impl Fn(usize, &Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (received.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (log.clone(), answer.clone());
                // A client that has gone away is no failure of the server.
                thread::spawn(move || drop(serve(stream, &log, &*answer)));
            }
        });
        Self { port, received }
    }

    /// An address on this server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The requests since the last call.
    pub(crate) fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.received.lock().unwrap())
    }
}

fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Received>>,
    answer: &dyn Fn(usize, &Received) -> Reply,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let request = Received { path, headers };
    let number = {
        let mut log = log.lock().unwrap();
        log.push(request.clone());
        log.len() - 1
    };
    let reply = answer(number, &request);
    let length = reply.body.len();
    write!(stream, "HTTP/1.1 {} Test\r\nConnection: close\r\n", reply.status)?;
    if !reply.headers.iter().any(|(name, _)| ["Content-Length", "Transfer-Encoding"].contains(name)) {
        write!(stream, "Content-Length: {length}\r\n")?;
    }
    for (name, value) in &reply.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    let end = reply.cut.or(reply.stall).unwrap_or(length).min(length);
    stream.write_all(&reply.body[..end])?;
    stream.flush()?;
    if reply.stall.is_some() {
        thread::sleep(Duration::from_secs(60));
    }
    Ok(())
}
