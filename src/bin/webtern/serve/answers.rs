//! From the model's updates to the response: in one piece, or as a stream of events.

use super::job::{Update, Work};
use super::refusal::{Refusal, json};
use super::routes::App;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Response};
use futures_util::stream;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::mpsc::Receiver;
use webtern::openai::{Answer, ApiError, Frame};

/// Has `work` done and sends its answer. When the client goes away, this is dropped, and the model
/// sees that.
pub(super) async fn send(app: &App, id: u64, work: Work, mut answer: Answer) -> Result<Response<Body>, Refusal> {
    let mut updates = app.queue.submit(id, work)?;
    let answering = Arc::clone(&app.answering);
    // Until the model has begun, there may be an error with a status of its own.
    match updates.recv().await {
        Some(Update::Started) => {}
        Some(Update::Stopping) => return Err(Refusal::stopping()),
        Some(Update::Failed(error)) => return Err(error.into()),
        Some(Update::Events { .. } | Update::Chosen(_)) | None => return Err(crashed().into()),
    }
    if answer.is_streamed() {
        let opening = answer.open();
        return Ok(streamed(Streamed { updates, answer, opening, ended: false, _answering: answering }));
    }
    loop {
        match updates.recv().await {
            Some(Update::Events { index, events }) => {
                events.into_iter().for_each(|event| drop(answer.push(index, event)));
            }
            Some(Update::Failed(error)) => return Err(error.into()),
            Some(_) => {}
            None if answer.is_complete() => return Ok(json(&answer.body())),
            None => return Err(crashed().into()),
        }
    }
}

/// A stream under way.
struct Streamed {
    updates: Receiver<Update>,
    answer: Answer,
    opening: Vec<Frame>,
    ended: bool,
    _answering: Arc<()>,
}

impl Streamed {
    /// The frames that are ready next; none at the end.
    async fn next(&mut self) -> Vec<Frame> {
        if !self.opening.is_empty() {
            return std::mem::take(&mut self.opening);
        }
        while !self.ended {
            let frames = match self.updates.recv().await {
                Some(Update::Events { index, events }) => {
                    events.into_iter().flat_map(|event| self.answer.push(index, event)).collect()
                }
                Some(Update::Failed(error)) => self.fail(&error.into()),
                Some(_) => Vec::new(),
                None if self.answer.is_complete() => {
                    self.ended = true;
                    self.answer.close()
                }
                None => self.fail(&crashed()),
            };
            if !frames.is_empty() {
                return frames;
            }
        }
        Vec::new()
    }

    fn fail(&mut self, error: &ApiError) -> Vec<Frame> {
        self.ended = true;
        self.answer.fail(error)
    }
}

fn streamed(stream: Streamed) -> Response<Body> {
    let frames = stream::unfold(stream, |mut stream| async {
        let frames = stream.next().await;
        let text: String = frames.iter().map(Frame::to_sse).collect();
        (!text.is_empty()).then(|| (Ok::<_, Infallible>(Bytes::from(text)), stream))
    });
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies that collect a response would make a stream of one piece.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The model's thread ended without an answer.
pub(super) fn crashed() -> ApiError {
    ApiError::server(500, "crashed", "the model stopped before the answer was complete")
}
