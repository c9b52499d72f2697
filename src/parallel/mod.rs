//! A fork-join thread pool with low dispatch latency.
//!
//! The calling thread opens a *parallel region*: every pool worker that arrives before the region
//! closes runs the same closure, which claims one task after the other until none is left. A
//! forward pass is some 150 regions of 5 to 500 microseconds, which decides the rest:
//!
//! - **Work is self-scheduled.** The calling thread never waits for workers to start, only for
//!   tasks already claimed. A worker that arrives late finds fewer tasks, or none.
//! - **Threads spin before they sleep**, because waking one takes as long as a region: the caller
//!   for a few dozen microseconds, a worker for longer than the time between two passes. Then they
//!   sleep, because a spinning thread keeps a core busy (`event_count.rs`).
//! - **The caller decides how many workers may take part** ([`ThreadPool::scope`]). On a machine
//!   with other work fewer are faster, since a worker that the system preempts inside a task delays
//!   all.
//!
//! The result of a task does not depend on the thread that runs it, so results are the same for any
//! number of threads.
//!
//! Natively workers are threads of the standard library. In a browser they are Web Workers that
//! share the caller's memory and call [`ThreadPool::run_worker`]; the page starts them. In a pool
//! without workers a region is a loop.

#![deny(unsafe_code)]

mod event_count;
#[expect(unsafe_code, reason = "workers borrow the caller's closure for the length of a region")]
mod region;
mod work_ranges;

#[cfg(test)]
mod tests;

use region::Regions;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use work_ranges::WorkRanges;

/// Tasks that are listed without an allocation, whose cost matters in a short region.
const INLINE_TASKS: usize = 8;

/// The most threads that a pool uses, the calling one included.
pub const MAX_THREADS: usize = 16;

/// The default number of threads: four, or half of the processors if that is more, since two of
/// them usually share the vector units of a core. At most the number of processors, and at most 8.
#[cfg(not(target_family = "wasm"))]
pub fn default_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    processors.min(processors.div_ceil(2).max(4)).min(8)
}

/// Worker threads, and the place where a calling thread meets them.
pub struct ThreadPool {
    workers: AtomicUsize,
    regions: Regions,
    /// Held by the thread that opens regions.
    caller: Mutex<()>,
}

/// The pool of this process.
pub fn pool() -> &'static ThreadPool {
    static POOL: ThreadPool = ThreadPool::new();
    &POOL
}

impl ThreadPool {
    const fn new() -> Self {
        Self { workers: AtomicUsize::new(0), regions: Regions::new(), caller: Mutex::new(()) }
    }

    /// Workers that can take part in a region.
    pub fn workers(&self) -> usize {
        self.workers.load(Ordering::Relaxed).min(MAX_THREADS - 1)
    }

    /// Threads that compute: the calling one and the workers.
    pub fn threads(&self) -> usize {
        1 + self.workers()
    }

    /// Makes the calling thread a worker, forever.
    pub fn run_worker(&self) -> ! {
        self.workers.fetch_add(1, Ordering::Relaxed);
        self.regions.run_worker()
    }

    /// Records that a worker died. The caller of the open region, and of every later one, panics
    /// instead of waiting for it.
    pub fn poison(&self) {
        self.regions.poison();
    }

    /// Starts workers until there are `threads` threads in all. Never ends any.
    ///
    /// # Errors
    ///
    /// The system's error if it has no more threads. Those that started stay.
    #[cfg(not(target_family = "wasm"))]
    pub fn grow(&'static self, threads: usize) -> std::io::Result<()> {
        for _ in self.threads()..threads.min(MAX_THREADS) {
            let name = "webtern worker".to_owned();
            std::thread::Builder::new().name(name).spawn(|| self.regions.run_worker())?;
            self.workers.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Lets the calling thread open regions with up to `max_workers` workers; with none while
    /// another thread has a scope.
    pub fn scope(&self, max_workers: usize) -> Scope<'_> {
        let caller = match self.caller.try_lock() {
            Ok(caller) => Some(caller),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let workers = if caller.is_some() { max_workers.min(self.workers()) } else { 0 };
        Scope { pool: self, workers, _caller: caller }
    }
}

/// The right to open parallel regions, see [`ThreadPool::scope`].
pub struct Scope<'a> {
    pool: &'a ThreadPool,
    workers: usize,
    _caller: Option<MutexGuard<'a, ()>>,
}

impl Scope<'_> {
    /// Workers that may take part in a region.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Threads that may take part in a region.
    pub fn threads(&self) -> usize {
        1 + self.workers
    }

    /// Runs `work` on every item, each of which is a task, in a region. Returns when all are done.
    pub fn for_each<I>(&self, items: I, work: impl Fn(I::Item) + Sync)
    where
        I: IntoIterator<Item: Send>,
    {
        let items = items.into_iter();
        if self.workers == 0 || items.size_hint().1.is_some_and(|most| most < 2) {
            items.for_each(work);
            return;
        }
        // The locks are never contended: only the thread that claimed a task locks its item.
        let items: SmallVec<[_; INLINE_TASKS]> = items.map(|item| Mutex::new(Some(item))).collect();
        let ranges = WorkRanges::new(items.len(), self.threads());
        self.pool.regions.run(self.workers, &|thread| {
            ranges.for_each(thread, |index| {
                if let Some(item) = items[index].lock().unwrap_or_else(PoisonError::into_inner).take() {
                    work(item);
                }
            });
        });
    }
}
