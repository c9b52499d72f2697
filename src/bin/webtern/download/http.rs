//! The HTTP client.
//!
//! A thread of its own reads a body, so that the network and the packing of weights overlap, and so
//! that silence can be noticed: the client's own time-outs are for whole bodies.

use std::collections::HashMap;
use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};
use webtern::fetch::Request;

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// Chunks that wait to be taken.
const QUEUE: usize = 8;

/// What is read of a body: a chunk, or why there is none.
type Chunk = Result<Vec<u8>, String>;

/// Makes requests.
pub(super) struct Client {
    agent: Agent,
}

impl Client {
    /// A client that gives up when a server says nothing for `timeout`.
    pub(super) fn new(timeout: Duration) -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_resolve(Some(timeout))
            .timeout_connect(Some(timeout))
            .timeout_recv_response(Some(timeout))
            .user_agent(concat!("webtern/", env!("CARGO_PKG_VERSION")));
        Self { agent: config.build().into() }
    }

    /// Status, headers by their names in lower case, and body; or why there are none.
    pub(super) fn send(&self, request: &Request) -> Result<(u16, HashMap<String, String>, Body), String> {
        let mut builder = self.agent.get(&request.url).header("Accept-Encoding", "identity");
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let (head, body) = builder.call().map_err(|error| error.to_string())?.into_parts();
        let headers =
            head.headers.iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
        Ok((head.status.as_u16(), headers.collect(), Body::read(body)?))
    }
}

/// A body being read.
pub(super) struct Body {
    chunks: Receiver<Chunk>,
}

impl Body {
    fn read(body: ureq::Body) -> Result<Self, String> {
        let (sender, chunks) = sync_channel::<Chunk>(QUEUE);
        let mut reader = body.into_with_config().limit(u64::MAX).reader();
        let read = move || {
            loop {
                let mut chunk = vec![0; CHUNK];
                match reader.read(&mut chunk) {
                    Ok(0) => return,
                    Ok(count) => {
                        chunk.truncate(count);
                        // Nobody takes it any more: the download has ended.
                        if sender.send(Ok(chunk)).is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        let _ = sender.send(Err(error.to_string()));
                        return;
                    }
                }
            }
        };
        thread::Builder::new().name("download".into()).spawn(read).map_err(|error| error.to_string())?;
        Ok(Self { chunks })
    }

    /// The next bytes; `None` at the end; or why there are none.
    pub(super) fn next(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, String> {
        match self.chunks.recv_timeout(timeout) {
            Ok(chunk) => chunk.map(Some),
            Err(RecvTimeoutError::Timeout) => Err(format!("not a byte came for {} seconds", timeout.as_secs_f64())),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
        }
    }
}
