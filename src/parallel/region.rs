//! A parallel region: one function that several threads run at the same time.
//!
//! ```text
//! calling thread                             worker, forever
//!     work <- the function                       wait until the epoch is odd, and not the last one
//!     epoch += 1             now odd: open       active += 1
//!     run the function                           if the epoch is still the same: run the function
//!     epoch += 1             even: closed        active -= 1
//!     wait until active = 0
//! ```
//!
//! A worker counts itself as active before it reads the epoch a second time, and the caller closes
//! the epoch before it reads whether a worker is active. All four are sequentially consistent:
//! either the worker sees the epoch closed and does not touch the function, or the caller sees the
//! worker and waits. Hence no worker is in the function when the caller returns.

use super::event_count::{EventCount, SPIN_ITERATIONS};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// Spin iterations of a worker that waits for the next region. Longer than the time between two
/// passes, 0.2 ms in a browser: a worker that has to be woken misses half of the next pass.
const WORKER_SPIN_ITERATIONS: u32 = 10 * SPIN_ITERATIONS;

/// The function. A reference to a trait object is two words, which no atomic holds; so the atomic
/// points to it, on the caller's stack.
type Work<'a> = &'a (dyn Fn(usize) + Sync);

/// Where the calling thread and the workers meet. There must be one caller at a time.
pub(super) struct Regions {
    epoch: AtomicU32,
    work: AtomicPtr<Work<'static>>,
    /// Workers that are in the function, or about to find out that they may not be.
    active: AtomicUsize,
    /// How many may be in the function.
    max_workers: AtomicUsize,
    /// Whether a worker did not finish its work.
    poisoned: AtomicBool,
    opened: EventCount,
    left: EventCount,
}

/// Leaves the region, also when the function panics.
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

    /// Runs `work` on this thread and on up to `max_workers` workers that arrive before it returns
    /// here. Its argument is the index of the thread: 0 here, and 1 to `max_workers` on the
    /// workers, each its own unless it arrives when another has left.
    ///
    /// # Panics
    ///
    /// If a worker panicked, because its work is not done.
    pub(super) fn run(&self, max_workers: usize, work: Work<'_>) {
        struct Open<'a>(&'a Regions);
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.close();
            }
        }

        self.max_workers.store(max_workers, Ordering::Relaxed);
        self.work.store(ptr::from_ref(&work).cast_mut().cast(), Ordering::Relaxed);
        self.epoch.fetch_add(1, Ordering::SeqCst);
        let open = Open(self);
        self.opened.notify_all();
        work(0);
        drop(open);
        assert!(!self.poisoned.load(Ordering::SeqCst), "a pool worker panicked");
    }

    /// Records that a worker will not finish its work. Where panics do not unwind, it stays active
    /// forever.
    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::SeqCst);
        self.left.notify_all();
    }

    /// Ends a region. Runs also when the caller's own part panicked: its stack must stay while a
    /// worker refers to it.
    fn close(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        let occupied = || self.active.load(Ordering::SeqCst) > 0 && !self.poisoned.load(Ordering::SeqCst);
        if !self.left.spin_while(SPIN_ITERATIONS, occupied) {
            self.left.sleep_while(occupied);
        }
    }

    /// Takes part in every region from now on.
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

    /// Runs the function of `epoch` if its region is open and takes another worker.
    fn enter(&self, epoch: u32) {
        let others = self.active.fetch_add(1, Ordering::SeqCst);
        let active = Active(self);
        let open = !epoch.is_multiple_of(2) && self.epoch.load(Ordering::SeqCst) == epoch;
        if open && others < self.max_workers.load(Ordering::Relaxed) {
            let work: *const Work<'_> = self.work.load(Ordering::Relaxed);
            // SAFETY: `run` stored the address of its argument before it opened this epoch, and
            // returns only after it has closed the epoch and then found `active` to be 0. This
            // thread added to `active` and then found the epoch open, so it is counted until
            // `active` is dropped: until then `run`'s argument and what it refers to exist. The
            // function is `Sync`.
            let work = unsafe { *work };
            work(1 + others);
        }
        drop(active);
    }
}
