//! Who takes which pieces of a phase.
//!
//! Everybody begins with a share of his own, which is adjacent pieces and so weights that memory delivers one after the other, and then
//! helps with those of the others. The count of a share is on a cache line that its owner has to himself until then: a line that goes
//! from core to core for every piece costs as much as a tenth of a short one.

#![forbid(unsafe_code)]

use super::MAX_THREADS;
use std::array;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Some pieces, of which the first ones are taken. As far from the next as processors fetch lines together.
#[repr(align(128))]
struct WorkRange {
    next: AtomicUsize,
    end: usize,
}

/// A share for each of some threads.
pub(super) struct WorkRanges {
    work_ranges: [WorkRange; MAX_THREADS],
    threads: usize,
}

impl WorkRanges {
    /// WorkRanges of `pieces` pieces that differ by one at most.
    pub(super) fn new(tasks: usize, threads: usize) -> Self {
        let start = |share: usize| tasks * share.min(threads) / threads;
        let share = |index| WorkRange { next: AtomicUsize::new(start(index)), end: start(index + 1) };
        Self { work_ranges: array::from_fn(share), threads }
    }

    /// Calls `work` for pieces that nobody has taken, until there are none: first those of share `place`.
    pub(super) fn each(&self, place: usize, mut work: impl FnMut(usize)) {
        let (before, rest) = self.work_ranges[..self.threads].split_at(place);
        for WorkRange { next, end } in rest.iter().chain(before) {
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= *end {
                    break;
                }
                work(task);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn every_piece_is_taken_once_by_whoever_comes() {
        for threads in 1..=MAX_THREADS {
            for tasks in [0, 1, 2, 3, 5, 17, 100] {
                for places in [&[0][..], &[threads - 1], &[threads / 2, 0, threads / 2]] {
                    let work_ranges = WorkRanges::new(tasks, threads);
                    let mut taken = vec![0; tasks];
                    places.iter().for_each(|place| work_ranges.each(*place, |task| taken[task] += 1));
                    assert_eq!(taken, vec![1; tasks], "{threads} threads, places {places:?}");
                }
            }
        }
    }

    #[test]
    fn everybody_begins_with_a_share_of_his_own() {
        let starts: Vec<_> = (0..4)
            .map(|place| {
                let (work_ranges, mut tasks) = (WorkRanges::new(10, 4), Vec::new());
                work_ranges.each(place, |task| tasks.push(task));
                tasks[0]
            })
            .collect();
        assert_eq!(starts, [0, 2, 5, 7]);
    }
}
