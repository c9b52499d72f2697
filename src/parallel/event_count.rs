//! Waiting for a condition that another thread makes true: spinning, then sleeping.

#![forbid(unsafe_code)]

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// Spin iterations, about 50 to 100 microseconds. WebAssembly has no pause instruction, so its
/// iterations are shorter.
pub(super) const SPIN_ITERATIONS: u32 = if cfg!(target_family = "wasm") { 60_000 } else { 5_000 };

/// An event count: threads sleep until a condition on atomics changes, and notifying costs one load
/// while nobody sleeps. The atomics must be read and written with sequential consistency.
pub(super) struct EventCount {
    sleepers: AtomicU32,
    lock: Mutex<()>,
    notified: Condvar,
}

impl EventCount {
    pub(super) const fn new() -> Self {
        Self { sleepers: AtomicU32::new(0), lock: Mutex::new(()), notified: Condvar::new() }
    }

    /// Spins while `waiting` is true, for so many iterations. Returns whether that was enough.
    pub(super) fn spin_while(&self, iterations: u32, waiting: impl Fn() -> bool) -> bool {
        for _ in 0..iterations {
            if !waiting() {
                return true;
            }
            spin_loop();
        }
        false
    }

    /// Sleeps while `waiting` is true. A thread that makes it false must call
    /// [`EventCount::notify_all`] afterwards.
    pub(super) fn sleep_while(&self, waiting: impl Fn() -> bool) {
        // The sleeper is counted before it reads the condition; the notifier writes the condition
        // before it reads the count. So at least one of them sees the other.
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.notified.wait_while(guard, |()| waiting()).unwrap_or_else(PoisonError::into_inner));
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    /// Lets every sleeper check its condition again.
    pub(super) fn notify_all(&self) {
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            // A sleeper between its check and its wait holds the lock.
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.notified.notify_all();
        }
    }
}
