//! What connections hand to the model's thread, and what comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as blocking;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use webtern::Error;
use webtern::decode::{Event, Options};
use webtern::engine::Candidates;
use webtern::openai::ApiError;

/// Updates that wait for a slow reader; then its job pauses.
const UPDATES: usize = 32;

/// Prompts to continue.
pub(super) struct Job {
    /// A random number that names it in logs.
    pub(super) id: u64,
    pub(super) work: Work,
    pub(super) updates: mpsc::Sender<Update>,
    pub(super) submitted: Instant,
    /// Gives the place in the queue back when the job is over.
    pub(super) _place: OwnedSemaphorePermit,
}

pub(super) enum Work {
    /// Answers to make, one after the other.
    Generate { prompts: Vec<Vec<u32>>, runs: Vec<(usize, Options)> },
    /// Answers to compare.
    Choose { candidates: Candidates, by_length: bool },
}

impl Work {
    /// The prompt whose cached prefix decides about the session.
    pub(super) fn first_prompt(&self) -> &[u32] {
        match self {
            Self::Generate { prompts, .. } => prompts.first().map_or(&[], Vec::as_slice),
            Self::Choose { candidates, .. } => candidates.prompt(),
        }
    }
}

/// News of a job.
pub(super) enum Update {
    /// It left the queue.
    Started,
    /// Something happened in run `index`.
    Events { index: usize, events: Vec<Event> },
    /// The probabilities of the candidates; the end of such a job.
    Chosen(Vec<f64>),
    /// It is over.
    Failed(Error),
    /// The server stops, and the job had not begun.
    Stopping,
}

/// What the model's thread can be told.
pub(super) enum Command {
    Job(Job),
    /// Finish what runs, refuse what waits, and end.
    Stop,
}

/// Where connections leave their jobs.
#[derive(Clone)]
pub(super) struct Queue {
    commands: blocking::Sender<Command>,
    places: Arc<Semaphore>,
    capacity: usize,
    running: Arc<AtomicUsize>,
}

impl Queue {
    /// A queue of `waiting` places before `sessions` that run. The last value is how many do.
    pub(super) fn new(sessions: usize, waiting: usize) -> (Self, blocking::Receiver<Command>, Arc<AtomicUsize>) {
        let (commands, received) = blocking::channel();
        let capacity = sessions + waiting;
        let running = Arc::new(AtomicUsize::new(0));
        let places = Arc::new(Semaphore::new(capacity));
        (Self { commands, places, capacity, running: Arc::clone(&running) }, received, running)
    }

    /// Jobs that wait.
    pub(super) fn waiting(&self) -> usize {
        (self.capacity - self.places.available_permits()).saturating_sub(self.running())
    }

    /// Jobs that run.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Leaves a job.
    ///
    /// # Errors
    ///
    /// 429 when all places are taken, 500 when the model's thread is gone.
    pub(super) fn submit(&self, id: u64, work: Work) -> Result<mpsc::Receiver<Update>, ApiError> {
        let full = |_| ApiError {
            status: 429,
            kind: "rate_limit_error",
            ..ApiError::server(429, "queue_full", "the queue is full: try again in a moment")
        };
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(full)?;
        let (updates, received) = mpsc::channel(UPDATES);
        let job = Job { id, work, updates, submitted: Instant::now(), _place: place };
        let gone = |_| ApiError::server(500, "crashed", "the model stopped unexpectedly: restart the server");
        self.commands.send(Command::Job(job)).map_err(gone)?;
        Ok(received)
    }

    /// Lets running jobs finish and refuses those that wait.
    pub(super) fn stop(&self) {
        // If its thread is gone, nothing runs.
        let _ = self.commands.send(Command::Stop);
    }
}
