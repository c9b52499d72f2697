//! The thread that runs the model. Jobs take turns between forward passes, each in a session of its
//! own.
//!
//! A session outlives its job: the next one whose prompt begins with the same tokens continues
//! there, others take the session that has not been used for longest.

#![expect(clippy::large_enum_variant, reason = "one a session, moved once a turn")]

use super::job::{Command, Job, Queue, Update, Work};
use super::metrics::Metrics;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};
use webtern::Error;
use webtern::decode::{Event, Outcome};
use webtern::engine::{Choosing, Engine, Run, Session};

/// How long a job computes before the next has its turn, in milliseconds; a pass is not
/// interrupted.
const TURN_MS: f64 = 5.0;
/// How long to sleep when every job waits for its reader.
const PAUSE: Duration = Duration::from_millis(5);
/// Fewer tokens in common are not worth a session that holds more.
const WORTH_KEEPING: usize = 16;

/// See the module documentation.
pub(super) struct Scheduler {
    engine: Engine,
    commands: Receiver<Command>,
    /// Sessions at most.
    limit: usize,
    /// Sessions without a job, the one used last at the end.
    idle: Vec<Session>,
    queue: VecDeque<Job>,
    /// The one whose turn is next at the front.
    active: VecDeque<Active>,
    /// A reader that takes nothing for so long loses its session.
    patience: Duration,
    running: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    stopping: bool,
}

/// A job under way.
struct Active {
    job: Job,
    task: Task,
    /// When its reader stopped taking updates.
    stalled: Option<Instant>,
    first_token: bool,
}

enum Task {
    /// The run with this index.
    Generate(usize, Run),
    Choose(Choosing),
}

/// What became of a turn.
enum Turn {
    More(Task),
    Over(Session),
    Failed(Error, Session),
}

impl Scheduler {
    /// A scheduler, and the queue that leads to it.
    pub(super) fn new(
        engine: Engine,
        (sessions, waiting): (usize, usize),
        patience: Duration,
        metrics: Arc<Metrics>,
    ) -> (Self, Queue) {
        let (queue, commands, running) = Queue::new(sessions, waiting);
        let scheduler = Self {
            engine,
            commands,
            limit: sessions,
            idle: Vec::new(),
            queue: VecDeque::new(),
            active: VecDeque::new(),
            patience,
            running,
            metrics,
            stopping: false,
        };
        (scheduler, queue)
    }

    /// Runs until it is stopped and nothing is left to do.
    pub(super) fn run(mut self) {
        let mut waiting = 0;
        while self.receive() {
            self.drop_left();
            self.admit();
            let Some(active) = self.active.pop_front() else { continue };
            waiting = if self.turn(active) { 0 } else { waiting + 1 };
            self.running.store(self.active.len(), Ordering::Relaxed);
            if waiting > 0 && waiting >= self.active.len() {
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Ends the jobs whose clients are gone, wherever they are.
    fn drop_left(&mut self) {
        self.queue.retain(|job| !job.updates.is_closed());
        let gone = |active: &Active| active.job.updates.is_closed();
        while let Some(index) = self.active.iter().position(gone) {
            if let Some(active) = self.active.remove(index) {
                self.end(active.job, active.task.into_session(), "left");
            }
        }
        self.running.store(self.active.len(), Ordering::Relaxed);
    }

    /// Takes in what was sent, waiting for it when there is nothing else to do. False at the end.
    fn receive(&mut self) -> bool {
        loop {
            let idle = self.active.is_empty() && self.queue.is_empty();
            let command = match (idle, self.stopping) {
                (true, true) => return false,
                (true, false) => self.commands.recv().map_err(|_| false),
                _ => self.commands.try_recv().map_err(|error| error == TryRecvError::Empty),
            };
            match command {
                Ok(Command::Job(job)) if self.stopping => refuse(&job),
                Ok(Command::Job(job)) => self.queue.push_back(job),
                Ok(Command::Stop) => {
                    self.stopping = true;
                    self.queue.drain(..).for_each(|job| refuse(&job));
                }
                Err(true) => return true,
                // Nobody can send any more.
                Err(false) => {
                    self.stopping = true;
                    return !idle;
                }
            }
        }
    }

    /// Starts jobs that wait while there are sessions for them.
    fn admit(&mut self) {
        while self.active.len() < self.limit
            && let Some(job) = self.queue.pop_front()
        {
            let session = self.session_for(job.work.first_prompt());
            let started = match &job.work {
                Work::Generate { .. } => self.start_run(&job, 0, session),
                Work::Choose { candidates, by_length } => {
                    Turn::More(Task::Choose(self.engine.choose_in(session, candidates.clone(), *by_length)))
                }
            };
            match started {
                Turn::More(task) => {
                    // The channel is new: it has room, or its reader is gone.
                    let _ = job.updates.try_send(Update::Started);
                    self.active.push_back(Active { job, task, stalled: None, first_token: true });
                }
                Turn::Failed(error, session) => {
                    let _ = job.updates.try_send(Update::Failed(error));
                    self.idle.push(session);
                }
                Turn::Over(session) => self.idle.push(session),
            }
            self.running.store(self.active.len(), Ordering::Relaxed);
        }
    }

    /// Begins run `index` of a job.
    fn start_run(&mut self, job: &Job, index: usize, mut session: Session) -> Turn {
        let Work::Generate { prompts, runs } = &job.work else { return Turn::Over(session) };
        let Some((prompt, options)) = runs.get(index) else { return Turn::Over(session) };
        match self.engine.start_in(&mut session, &prompts[*prompt], options) {
            Ok(run) => Turn::More(Task::Generate(index, run)),
            Err(error) => Turn::Failed(error, session),
        }
    }

    /// The session for a prompt. One that it continues goes on; of one that holds much else, a copy
    /// of what both share does. When there is no room for another, the one used longest ago goes.
    fn session_for(&mut self, prompt: &[u32]) -> Session {
        let common: Vec<usize> = self.idle.iter().map(|session| session.common_prefix(prompt)).collect();
        let best = (0..common.len()).max_by_key(|&index| common[index]);
        let continued = |&index: &usize| {
            common[index] >= WORTH_KEEPING.min(prompt.len()) && 2 * common[index] >= self.idle[index].tokens().len()
        };
        if let Some(index) = best.filter(continued) {
            return self.idle.remove(index);
        }
        let shared = best.filter(|&index| common[index] > 0);
        let copy = shared.and_then(|index| self.idle[index].fork(common[index]).ok());
        if !self.idle.is_empty() && self.idle.len() + self.active.len() >= self.limit {
            self.idle.remove(0);
        }
        copy.unwrap_or_else(|| self.engine.new_session())
    }

    /// Some passes of one job. Puts it back unless it is over. False when it waits for its reader.
    fn turn(&mut self, mut active: Active) -> bool {
        if active.job.updates.capacity() == 0 {
            let since = *active.stalled.get_or_insert_with(Instant::now);
            if since.elapsed() > self.patience {
                self.end(active.job, active.task.into_session(), "stalled");
                return true;
            }
            self.active.push_back(active);
            return false;
        }
        active.stalled = None;
        match self.step(&active.job, active.task, &mut active.first_token) {
            Turn::More(task) => self.active.push_back(Active { task, ..active }),
            Turn::Over(session) => self.end(active.job, session, "finished"),
            Turn::Failed(error, session) => {
                tracing::error!(job = %Id(active.job.id), code = error.code().as_str(), "{error}");
                let _ = active.job.updates.try_send(Update::Failed(error));
                self.end(active.job, session, "failed");
            }
        }
        true
    }

    /// The turn itself. There is room for one update.
    fn step(&mut self, job: &Job, task: Task, first_token: &mut bool) -> Turn {
        match task {
            Task::Choose(mut choosing) => match self.engine.advance_choice(&mut choosing) {
                Ok(None) => Turn::More(Task::Choose(choosing)),
                Ok(Some(probabilities)) => {
                    let _ = job.updates.try_send(Update::Chosen(probabilities));
                    Turn::Over(choosing.into_session())
                }
                Err(error) => Turn::Failed(error, choosing.into_session()),
            },
            Task::Generate(index, mut run) => {
                let mut events = Vec::new();
                let more = match self.engine.advance(&mut run, TURN_MS, &mut events) {
                    Ok(more) => more,
                    Err(error) => return Turn::Failed(error, run.into_session()),
                };
                events.retain(|event| matches!(event, Event::Text { .. } | Event::Done { .. }));
                if *first_token && !events.is_empty() {
                    *first_token = false;
                    self.metrics.time_to_first_token.observe(job.submitted.elapsed().as_secs_f64());
                }
                if let Some(Event::Done { result }) = events.last() {
                    self.metrics.count(&result.stats);
                    log(job, index, result);
                }
                if !events.is_empty() {
                    let _ = job.updates.try_send(Update::Events { index, events });
                }
                if more {
                    return Turn::More(Task::Generate(index, run));
                }
                self.start_run(job, index + 1, run.into_session())
            }
        }
    }

    fn end(&mut self, job: Job, session: Session, how: &'static str) {
        tracing::info!(job = %Id(job.id), seconds = job.submitted.elapsed().as_secs_f64(), "{how}");
        self.metrics.jobs.with_label_values(&[how]).inc();
        self.idle.push(session);
    }
}

impl Task {
    fn into_session(self) -> Session {
        match self {
            Self::Generate(_, run) => run.into_session(),
            Self::Choose(choosing) => choosing.into_session(),
        }
    }
}

fn refuse(job: &Job) {
    let _ = job.updates.try_send(Update::Stopping);
}

fn log(job: &Job, choice: usize, Outcome { finish_reason, stats, .. }: &Outcome) {
    tracing::info!(
        job = %Id(job.id),
        choice,
        prompt_tokens = stats.prompt_tokens,
        cached_tokens = stats.reused_tokens,
        new_tokens = stats.new_tokens,
        passes = stats.passes,
        tokens_per_second = stats.tokens_per_second,
        finish_reason = ?finish_reason,
        "answered"
    );
}

/// A job's name in logs, as in the id of its answer.
struct Id(u64);

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
