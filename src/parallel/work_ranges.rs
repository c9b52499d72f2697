//! Which thread takes which tasks of a region: static ranges, with work stealing between them.
//!
//! Each thread starts with a range of its own: adjacent tasks, and so weights that memory delivers
//! one after the other. Then it steals from the other ranges. The counter of a range is on a cache
//! line that only its owner touches until then: a line that moves between cores for every task
//! costs up to a tenth of a short one.

#![forbid(unsafe_code)]

use super::MAX_THREADS;
use std::array;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Adjacent tasks, of which those before `next` are claimed. Two ranges are as far apart as
/// processors prefetch lines together.
#[repr(align(128))]
struct WorkRange {
    next: AtomicUsize,
    end: usize,
}

/// A range for each of some threads.
pub(super) struct WorkRanges {
    ranges: [WorkRange; MAX_THREADS],
    threads: usize,
}

impl WorkRanges {
    /// Splits `tasks` tasks into ranges whose lengths differ by one at most.
    pub(super) fn new(tasks: usize, threads: usize) -> Self {
        let start = |index: usize| tasks * index.min(threads) / threads;
        let range = |index| WorkRange { next: AtomicUsize::new(start(index)), end: start(index + 1) };
        Self { ranges: array::from_fn(range), threads }
    }

    /// Claims tasks and calls `work` for each until none is left: first those of the range of
    /// thread `thread`.
    pub(super) fn for_each(&self, thread: usize, mut work: impl FnMut(usize)) {
        let (before, rest) = self.ranges[..self.threads].split_at(thread);
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
    fn every_task_is_claimed_once_by_whichever_threads_arrive() {
        for threads in 1..=MAX_THREADS {
            for tasks in [0, 1, 2, 3, 5, 17, 100] {
                for arrivals in [&[0][..], &[threads - 1], &[threads / 2, 0, threads / 2]] {
                    let ranges = WorkRanges::new(tasks, threads);
                    let mut claimed = vec![0; tasks];
                    arrivals.iter().for_each(|thread| ranges.for_each(*thread, |task| claimed[task] += 1));
                    assert_eq!(claimed, vec![1; tasks], "{threads} threads, {arrivals:?} arrive");
                }
            }
        }
    }

    #[test]
    fn each_thread_starts_in_its_own_range() {
        let starts: Vec<_> = (0..4)
            .map(|thread| {
                let (ranges, mut tasks) = (WorkRanges::new(10, 4), Vec::new());
                ranges.for_each(thread, |task| tasks.push(task));
                tasks[0]
            })
            .collect();
        assert_eq!(starts, [0, 2, 5, 7]);
    }
}
