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

use super::bell::{Bell, LOOKS};
use crate::platform::now_ms;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// Looks of a helper for the next phase: more than there is time for between two passes, in a browser 0.2 ms, since one that sleeps comes
/// so late that the next pass is half over.
const HELPER_LOOKS: u32 = 10 * LOOKS;

/// What is run. A reference to a trait object is two words, so the pointer to it points to the leader's stack.
type Work<'a> = &'a (dyn Fn(usize) + Sync);

/// Where leader and helpers meet. There must be one leader at a time.
pub(super) struct Phases {
    turn: AtomicU32,
    work: AtomicPtr<Work<'static>>,
    inside: AtomicUsize,
    /// How many may be inside.
    room: AtomicUsize,
    /// Whether a helper did not finish its work.
    failed: AtomicBool,
    opened: Bell,
    left: Bell,
}

/// Leaves the phase also when the function panics.
struct Inside<'a>(&'a Phases);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail();
        }
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
        self.0.left.ring();
    }
}

impl Phases {
    pub(super) const fn new() -> Self {
        Self {
            turn: AtomicU32::new(0),
            work: AtomicPtr::new(ptr::null_mut()),
            inside: AtomicUsize::new(0),
            room: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            opened: Bell::new(),
            left: Bell::new(),
        }
    }

    /// Runs `work` on this thread and on up to `helpers` others that come before it returns here. It is given a place: 0 here, and there
    /// 1 to `helpers`, another for each of them unless one comes when another has left. Returns the milliseconds slept for those who
    /// were still inside then.
    ///
    /// # Panics
    ///
    /// When a helper panicked: its work is not done.
    pub(super) fn run(&self, helpers: usize, work: Work<'_>) -> f64 {
        struct Open<'a>(&'a Phases);
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.close();
            }
        }

        self.room.store(helpers, Ordering::Relaxed);
        self.work.store(ptr::from_ref(&work).cast_mut().cast(), Ordering::Relaxed);
        self.turn.fetch_add(1, Ordering::SeqCst);
        let open = Open(self);
        self.opened.ring();
        work(0);
        std::mem::forget(open);
        let slept = self.close();
        assert!(!self.failed.load(Ordering::SeqCst), "a thread that helped panicked");
        slept
    }

    /// Notes that a helper will not finish its work. Where panics do not unwind, it stays inside for ever.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
        self.left.ring();
    }

    /// Ends a phase. Also when the leader's own part panicked: its stack must not go while a helper looks at it.
    fn close(&self) -> f64 {
        self.turn.fetch_add(1, Ordering::SeqCst);
        let occupied = || self.inside.load(Ordering::SeqCst) > 0 && !self.failed.load(Ordering::SeqCst);
        if self.left.spin_while(LOOKS, occupied) {
            return 0.0;
        }
        let begin = now_ms();
        self.left.sleep_while(occupied);
        now_ms() - begin
    }

    /// Takes part in every phase from now on.
    pub(super) fn help(&self) -> ! {
        let mut last = 0;
        loop {
            let closed = || {
                let turn = self.turn.load(Ordering::SeqCst);
                turn.is_multiple_of(2) || turn == last
            };
            if !self.opened.spin_while(HELPER_LOOKS, closed) {
                self.opened.sleep_while(closed);
            }
            last = self.turn.load(Ordering::SeqCst);
            self.enter(last);
        }
    }

    /// Runs the function of `turn` if that is open and has room.
    fn enter(&self, turn: u32) {
        let others = self.inside.fetch_add(1, Ordering::SeqCst);
        let inside = Inside(self);
        let open = !turn.is_multiple_of(2) && self.turn.load(Ordering::SeqCst) == turn;
        if open && others < self.room.load(Ordering::Relaxed) {
            let work: *const Work<'_> = self.work.load(Ordering::Relaxed);
            // SAFETY: `run` stored the address of its argument before it opened this turn, and does not return before it has closed
            // the turn and then found `inside` to be 0. This thread added to `inside` and then found the turn open, so it is counted
            // until `inside` is dropped: `run`'s argument, and what that refers to, are there. The function is `Sync`.
            let work = unsafe { *work };
            work(1 + others);
        }
        drop(inside);
    }
}
