//! Work on several threads.
//!
//! A [`ThreadPool`] is a leader, which is whoever calls, and helpers, which wait for it. The leader opens a *phase*: one function, that
//! everybody who comes runs at the same time, taking one piece of work after the other until none is left. A forward pass is
//! some 150 phases of 5 to 500 microseconds, which decides the rest:
//!
//! - **Nobody waits for a helper to begin.** The leader takes pieces at once, and a helper that comes late finds less to do, or
//!   nothing. The leader only waits for those who are inside a piece when there are no more.
//! - **Waiting is spinning at first**, because waking a thread takes as long as a phase: for a few dozen microseconds, and for a helper as
//!   long as there may be between two passes; and then sleeping, because a thread that spins takes its core from somebody (`bell.rs`).
//! - **A machine with other work on it is not a team's.** A helper that the system has put aside inside a piece stops everybody.
//!   So it is measured, now and then, whether passes are shorter with fewer helpers or none (`limit.rs`).
//!
//! What a piece computes does not depend on who runs it, so results are the same for any number of threads.
//!
//! Natively helpers are threads of the standard library; in a browser they are workers that share the leader's memory and call
//! [`ThreadPool::help`], started by the page's side. Without threads a team is a leader alone, and a phase is a loop.

#![deny(unsafe_code)]

mod event_count;
#[expect(unsafe_code, reason = "workers borrow the leader's closure for the length of a region")]
mod region;
mod tuner;
mod work_ranges;

#[cfg(test)]
mod tests;

use crate::platform::now_ms;
use region::Regions;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use tuner::ThreadTuner;
use work_ranges::WorkRanges;

/// Pieces that are listed without an allocation, which is a part of a short phase.
const FEW: usize = 8;

/// The most threads that a team has use for.
pub const MAX_THREADS: usize = 16;

/// Threads to use when nobody says how many: four, or half of the processors if those are more, since they are usually two for each
/// core, which has the units that matter only once; but not more than there are, or than pay.
#[cfg(not(target_family = "wasm"))]
pub fn default_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    processors.min(processors.div_ceil(2).max(4)).min(8)
}

/// A leader's place and its helpers.
pub struct ThreadPool {
    workers: AtomicUsize,
    regions: Regions,
    /// Held by the leader of a pass.
    tuner: Mutex<ThreadTuner>,
}

/// The team of this process.
pub fn pool() -> &'static ThreadPool {
    static POOL: ThreadPool = ThreadPool::new();
    &POOL
}

impl ThreadPool {
    const fn new() -> Self {
        Self { workers: AtomicUsize::new(0), regions: Regions::new(), tuner: Mutex::new(ThreadTuner::new()) }
    }

    /// Threads that compute: the leader and its helpers.
    pub fn threads(&self) -> usize {
        1 + self.workers.load(Ordering::Relaxed)
    }

    /// Makes the calling thread a helper, for good.
    pub fn run_worker(&self) -> ! {
        self.workers.fetch_add(1, Ordering::Relaxed);
        self.regions.run_worker()
    }

    /// Notes that a helper died. The leader of the phase, and every later one, panics instead of waiting for it.
    pub fn poison(&self) {
        self.regions.poison();
    }

    /// Starts helpers until there are `threads` in all. Never ends any.
    ///
    /// # Errors
    ///
    /// What the system says when it has no more threads. Those that started stay.
    #[cfg(not(target_family = "wasm"))]
    pub fn grow(&'static self, threads: usize) -> std::io::Result<()> {
        for _ in self.threads()..threads.min(MAX_THREADS) {
            let name = "webtern worker".to_owned();
            std::thread::Builder::new().name(name).spawn(|| self.regions.run_worker())?;
            self.workers.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Leads the team for one pass over so many rows. Whoever comes while another leads works alone.
    pub fn scope(&self, rows: usize) -> Scope<'_> {
        let tuner = match self.tuner.try_lock() {
            Ok(tuner) => Some(tuner),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let all = self.threads().min(MAX_THREADS) - 1;
        let workers = tuner.as_ref().map_or(0, |tuner| tuner.workers(all, rows));
        Scope {
            pool: self,
            rows,
            all,
            workers,
            tuner,
            begin: if all > 0 { now_ms() } else { 0.0 },
            lost: Mutex::new(0.0),
        }
    }
}

/// Leads a team until it is dropped.
pub struct Scope<'a> {
    pool: &'a ThreadPool,
    rows: usize,
    /// How many could help.
    all: usize,
    /// How many may.
    workers: usize,
    tuner: Option<MutexGuard<'a, ThreadTuner>>,
    begin: f64,
    /// Milliseconds slept for helpers that did not come out of their piece.
    lost: Mutex<f64>,
}

impl Scope<'_> {
    /// Threads that may take part in this pass.
    pub fn threads(&self) -> usize {
        1 + self.workers
    }

    /// Does `work` on every item, on all threads that come. Returns when all is done.
    pub fn for_each<I>(&self, items: I, work: impl Fn(I::Item) + Sync)
    where
        I: IntoIterator<Item: Send>,
    {
        let items = items.into_iter();
        if self.workers == 0 || items.size_hint().1.is_some_and(|most| most < 2) {
            items.for_each(work);
            return;
        }
        // Nobody waits at these: each is locked by the one whose turn it is.
        let items: SmallVec<[_; FEW]> = items.map(|item| Mutex::new(Some(item))).collect();
        let work_ranges = WorkRanges::new(items.len(), self.threads());
        let slept = self.pool.regions.run(self.workers, &|place| {
            work_ranges.each(place, |index| {
                if let Some(item) = items[index].lock().unwrap_or_else(PoisonError::into_inner).take() {
                    work(item);
                }
            });
        });
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) += slept;
    }
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        if let Some(tuner) = &mut self.tuner
            && self.all > 0
        {
            let lost = *self.lost.get_mut().unwrap_or_else(PoisonError::into_inner);
            tuner.record(self.all, self.rows, now_ms() - self.begin, lost);
        }
    }
}
