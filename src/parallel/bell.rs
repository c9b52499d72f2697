//! Waiting for what another thread will do.

#![forbid(unsafe_code)]

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// Looks at a condition that take 50 to 100 microseconds. WebAssembly has no instruction to pause between two.
pub(super) const LOOKS: u32 = if cfg!(target_family = "wasm") { 60_000 } else { 5_000 };

/// Wakes those who wait for a condition, which must be on atomics that are read and written in sequentially consistent order.
pub(super) struct Bell {
    sleepers: AtomicU32,
    lock: Mutex<()>,
    rung: Condvar,
}

impl Bell {
    pub(super) const fn new() -> Self {
        Self { sleepers: AtomicU32::new(0), lock: Mutex::new(()), rung: Condvar::new() }
    }

    /// Waits while `waiting` is true: looks so many times, returning true if that was enough.
    pub(super) fn spin_while(&self, looks: u32, waiting: impl Fn() -> bool) -> bool {
        for _ in 0..looks {
            if !waiting() {
                return true;
            }
            spin_loop();
        }
        false
    }

    /// Sleeps while `waiting` is true. Whoever makes it false must call [`Bell::ring`] afterwards.
    pub(super) fn sleep_while(&self, waiting: impl Fn() -> bool) {
        // Announced before `waiting` is read, as `ring` reads this after the condition was written: one of them sees the other.
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.rung.wait_while(guard, |()| waiting()).unwrap_or_else(PoisonError::into_inner));
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    /// Lets every sleeper look again.
    pub(super) fn ring(&self) {
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            // A sleeper that has looked but does not wait yet holds the lock.
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.rung.notify_all();
        }
    }
}
