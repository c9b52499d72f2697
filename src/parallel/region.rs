//! One function that several threads run at the same time.
//!
//! ```text
//! leader                                     helper, for ever
//!     work <- the function                       wait until the turn is odd, and another than the last
//!     turn += 1              now odd: open       inside += 1
//!     run the function                           if the turn is still that one: run the function
//!     turn += 1              even: closed        inside -= 1
//!     wait until inside = 0
//! ```
//!
//! A helper announces itself before it looks at the turn a second time, and the leader closes the turn before it looks whether
//! anybody is inside. All four are sequentially consistent, so either the helper sees the turn closed and leaves the function
//! alone, or the leader sees the helper and waits. Hence nobody is in the function when the leader returns.

use super::event_count::{EventCount, SPIN_ITERATIONS};
use crate::platform::now_ms;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// Looks of a helper for the next phase: more than there is time for between two passes, in a browser 0.2 ms, since one that sleeps comes
/// so late that the next pass is half over.
const WORKER_SPIN_ITERATIONS: u32 = 10 * SPIN_ITERATIONS;

/// What is run. A reference to a trait object is two words, so the pointer to it points to the leader's stack.
type Work<'a> = &'a (dyn Fn(usize) + Sync);

/// Where leader and helpers meet. There must be one leader at a time.
pub(super) struct Regions {
    epoch: AtomicU32,
    work: AtomicPtr<Work<'static>>,
    active: AtomicUsize,
    /// How many may be inside.
    max_workers: AtomicUsize,
    /// Whether a helper did not finish its work.
    poisoned: AtomicBool,
    opened: EventCount,
    left: EventCount,
}

/// Leaves the phase also when the function panics.
struct Active<'a>(&'a Regions);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison();
        }
        self.0.active.fetch_sub(1, Ordering::SeqCst);
        self.0.left.notify_all();
    }
}

impl Regions {
    pub(super) const fn new() -> Self {
        Self {
            epoch: AtomicU32::new(0),
            work: AtomicPtr::new(ptr::null_mut()),
            active: AtomicUsize::new(0),
            max_workers: AtomicUsize::new(0),
            poisoned: AtomicBool::new(false),
            opened: EventCount::new(),
            left: EventCount::new(),
        }
    }

    /// Runs `work` on this thread and on up to `helpers` others that come before it returns here. It is given a place: 0 here, and there
    /// 1 to `helpers`, another for each of them unless one comes when another has left. Returns the milliseconds slept for those who
    /// were still inside then.
    ///
    /// # Panics
    ///
    /// When a helper panicked: its work is not done.
    pub(super) fn run(&self, workers: usize, work: Work<'_>) -> f64 {
        struct Open<'a>(&'a Regions);
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.close();
            }
        }

        self.max_workers.store(workers, Ordering::Relaxed);
        self.work.store(ptr::from_ref(&work).cast_mut().cast(), Ordering::Relaxed);
        self.epoch.fetch_add(1, Ordering::SeqCst);
        let open = Open(self);
        self.opened.notify_all();
        work(0);
        std::mem::forget(open);
        let slept = self.close();
        assert!(!self.poisoned.load(Ordering::SeqCst), "a thread that helped panicked");
        slept
    }

    /// Notes that a helper will not finish its work. Where panics do not unwind, it stays inside for ever.
    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::SeqCst);
        self.left.notify_all();
    }

    /// Ends a phase. Also when the leader's own part panicked: its stack must not go while a helper looks at it.
    fn close(&self) -> f64 {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        let occupied = || self.active.load(Ordering::SeqCst) > 0 && !self.poisoned.load(Ordering::SeqCst);
        if self.left.spin_while(SPIN_ITERATIONS, occupied) {
            return 0.0;
        }
        let begin = now_ms();
        self.left.sleep_while(occupied);
        now_ms() - begin
    }

    /// Takes part in every phase from now on.
    pub(super) fn run_worker(&self) -> ! {
        let mut last = 0;
        loop {
            let closed = || {
                let epoch = self.epoch.load(Ordering::SeqCst);
                epoch.is_multiple_of(2) || epoch == last
            };
            if !self.opened.spin_while(WORKER_SPIN_ITERATIONS, closed) {
                self.opened.sleep_while(closed);
            }
            last = self.epoch.load(Ordering::SeqCst);
            self.enter(last);
        }
    }

    /// Runs the function of `turn` if that is open and has room.
    fn enter(&self, epoch: u32) {
        let others = self.active.fetch_add(1, Ordering::SeqCst);
        let active = Active(self);
        let open = !epoch.is_multiple_of(2) && self.epoch.load(Ordering::SeqCst) == epoch;
        if open && others < self.max_workers.load(Ordering::Relaxed) {
            let work: *const Work<'_> = self.work.load(Ordering::Relaxed);
            // SAFETY: `run` stored the address of its argument before it opened this turn, and does not return before it has closed
            // the turn and then found `inside` to be 0. This thread added to `inside` and then found the turn open, so it is counted
            // until `inside` is dropped: `run`'s argument, and what that refers to, are there. The function is `Sync`.
            let work = unsafe { *work };
            work(1 + others);
        }
        drop(active);
    }
}
