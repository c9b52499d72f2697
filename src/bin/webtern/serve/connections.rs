//! Accepting connections, ending slow ones, and stopping.

use super::routes::{App, Timeouts, router};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use webtern::{Error, ErrorCode, Result};

/// Connections at the same time.
const MAX_CONNECTIONS: usize = 1024;
/// The largest head of a request.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long answers that are complete may take to be sent when the server stops.
const FLUSH: Duration = Duration::from_secs(8);
/// How long connections may take to end when all answers are sent.
const GOODBYE: Duration = Duration::from_secs(1);
/// How often a stopping server looks whether it is done.
const LOOK: Duration = Duration::from_millis(20);

/// Serves until a signal says to stop, and then until the answers that have begun are sent.
pub(super) async fn serve(listener: TcpListener, app: Arc<App>) -> Result<()> {
    let router = router(Arc::clone(&app));
    let timeouts = app.timeouts;
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut signals = Signals::new()?;
    let stopped = async {
        signals.next().await;
        tracing::info!("stopping: running answers finish");
        app.stopping.store(true, Ordering::Relaxed);
        app.queue.stop();
        tokio::spawn(async move {
            let code = signals.next().await;
            tracing::warn!("stopped at once");
            std::process::exit(code);
        });
        while app.queue.running() + app.queue.waiting() > 0 {
            sleep(LOOK).await;
        }
        let flushed = async {
            while Arc::strong_count(&app.answering) > 1 {
                sleep(LOOK).await;
            }
        };
        let _ = timeout(FLUSH, flushed).await;
    };
    tokio::pin!(stopped);
    loop {
        let accepted = tokio::select! {
            () = &mut stopped => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, place) = accepted;
        let served = handle(stream, router.clone(), timeouts, connections.watcher());
        tokio::spawn(async move {
            served.await;
            drop(place);
        });
    }
    drop(listener);
    let _ = timeout(GOODBYE, connections.shutdown()).await;
    tracing::info!("stopped");
    Ok(())
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, tokio::sync::OwnedSemaphorePermit) {
    loop {
        // A semaphore is only closed by hand, and this one never is.
        let Ok(place) = Arc::clone(places).acquire_owned().await else { continue };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            // A client that left already, or too many open files: the next may work.
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                sleep(LOOK).await;
            }
        }
    }
}

async fn handle(stream: TcpStream, router: Router, timeouts: Timeouts, watcher: Watcher) {
    // Without it, the system waits for more before it sends a small event.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(timeouts.reader));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.request)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router));
    // Its errors are the client's: it sent no HTTP, or it left.
    let _ = watcher.watch(connection).await;
}

/// What asks the server to stop.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| {
            signal(kind).map_err(|error| Error::new(ErrorCode::Io, format!("signals cannot be caught: {error}")))
        };
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for a signal; returns the exit code of a program that it kills.
    #[cfg(unix)]
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => 128 + 15,
            _ = self.interrupt.recv() => 128 + 2,
        }
    }

    #[cfg(not(unix))]
    fn new() -> Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> i32 {
        // Without a handler, the system ends the program itself.
        let _ = tokio::signal::ctrl_c().await;
        128 + 2
    }
}
