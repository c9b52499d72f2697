//! Waiting for what another thread will do.

#![forbid(unsafe_code)]

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// Looks at a condition that take 50 to 100 microseconds. WebAssembly has no instruction to pause between two.
pub(super) const SPIN_ITERATIONS: u32 = if cfg!(target_family = "wasm") { 60_000 } else { 5_000 };

/// Wakes those who wait for a condition, which must be on atomics that are read and written in sequentially consistent order.
pub(super) struct EventCount {
    waiters: AtomicU32,
    lock: Mutex<()>,
    notified: Condvar,
}

impl EventCount {
    pub(super) const fn new() -> Self {
        Self { waiters: AtomicU32::new(0), lock: Mutex::new(()), notified: Condvar::new() }
    }

    /// Waits while `waiting` is true: looks so many times, returning true if that was enough.
    pub(super) fn spin_while(&self, iterations: u32, waiting: impl Fn() -> bool) -> bool {
        for _ in 0..iterations {
            if !waiting() {
                return true;
            }
            spin_loop();
        }
        false
    }

    /// Sleeps while `waiting` is true. Whoever makes it false must call [`EventCount::ring`] afterwards.
    pub(super) fn sleep_while(&self, waiting: impl Fn() -> bool) {
        // Announced before `waiting` is read, as `ring` reads this after the condition was written: one of them sees the other.
        self.waiters.fetch_add(1, Ordering::SeqCst);
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.notified.wait_while(guard, |()| waiting()).unwrap_or_else(PoisonError::into_inner));
        self.waiters.fetch_sub(1, Ordering::SeqCst);
    }

    /// Lets every sleeper look again.
    pub(super) fn notify_all(&self) {
        if self.waiters.load(Ordering::SeqCst) > 0 {
            // A sleeper that has looked but does not wait yet holds the lock.
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.notified.notify_all();
        }
    }
}
