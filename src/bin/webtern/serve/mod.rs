//! `webtern serve`: OpenAI's protocol over HTTP.
//!
//! ```text
//! connections ─▶ gate ─▶ routes ─▶ webtern::openai ─▶ scheduler
//! time-outs      host    bodies    requests, answers   the one thread that runs the model: sessions take turns between passes
//!                key     limits
//!                CORS
//! ```
//!
//! The protocol is the library's (`openai`), the model runs in a thread of its own (`scheduler`),
//! and what is here moves bytes.

#![expect(clippy::result_large_err, reason = "an error is a whole HTTP answer, made once a request")]

mod answers;
mod body;
mod connections;
mod gate;
mod job;
mod metrics;
mod refusal;
mod routes;
mod scheduler;

use crate::args::ServeArgs;
use crate::load;
use crate::output::failure;
use metrics::Metrics;
use routes::{App, Timeouts};
use scheduler::Scheduler;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use webtern::decode::Options;
use webtern::openai::Service;
use webtern::{Error, ErrorCode, Result};

/// Threads for connections; the model has its own.
const IO_THREADS: usize = 2;

pub(crate) fn run(args: &ServeArgs, json: bool) -> Result<()> {
    log_to_stderr(json);
    Options { threshold: args.threshold, ..Options::default() }.validate()?;
    let address = address(args)?;
    let engine = load::for_conversations(&args.model.model, &args.model.options()?)?;
    let mut service = Service::of(&engine, args.model.model.id(), args.mode);
    service.created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    service.threshold = args.threshold;
    let frontend = Arc::clone(engine.frontend());
    let metrics = Arc::new(Metrics::new());
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let timeouts = Timeouts { request: seconds(args.request_timeout), reader: seconds(args.reader_timeout) };
    let places = (args.sessions as usize, args.queue as usize);
    let (scheduler, queue) = Scheduler::new(engine, places, timeouts.reader, Arc::clone(&metrics));
    let app = Arc::new(App {
        service,
        frontend,
        queue,
        metrics,
        api_key: args.api_key.clone().filter(|key| !key.is_empty()),
        cors: args.cors.clone(),
        timeouts,
        loopback: address.ip().is_loopback(),
        stopping: AtomicBool::new(false),
        answering: Arc::default(),
    });
    let model = std::thread::Builder::new()
        .name("model".to_owned())
        .spawn(move || scheduler.run())
        .map_err(|error| failure("the model's thread", &error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .enable_all()
        .build()
        .map_err(|error| failure("the server's threads", &error))?;
    let served = runtime.block_on(async {
        let listener = TcpListener::bind(address).await.map_err(|error| failure(address, &error))?;
        let address = listener.local_addr().map_err(|error| failure(address, &error))?;
        tracing::info!(address = %format_args!("http://{address}"), model = %app.service.model, "listening");
        connections::serve(listener, app).await
    });
    // A connection that is stuck must not keep the process.
    runtime.shutdown_background();
    if model.is_finished() && model.join().is_err() {
        return Err(Error::new(ErrorCode::Crashed, "the model's thread panicked"));
    }
    served
}

fn address(args: &ServeArgs) -> Result<SocketAddr> {
    let bad =
        |reason: &dyn std::fmt::Display| Error::new(ErrorCode::BadOption, format!("--host {}: {reason}", args.host));
    let mut found = (args.host.as_str(), args.port).to_socket_addrs().map_err(|error| bad(&error))?;
    found.next().ok_or_else(|| bad(&"it has no address"))
}

fn log_to_stderr(json: bool) {
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false);
    // Logs are the only output: a second server in the same process would be an error, and there is
    // none.
    let _ = if json { builder.json().flatten_event(true).try_init() } else { builder.with_ansi(false).try_init() };
}
