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
struct Share {
    next: AtomicUsize,
    end: usize,
}

/// A share for each of some threads.
pub(super) struct Shares {
    shares: [Share; MAX_THREADS],
    threads: usize,
}

impl Shares {
    /// Shares of `pieces` pieces that differ by one at most.
    pub(super) fn new(pieces: usize, threads: usize) -> Self {
        let start = |share: usize| pieces * share.min(threads) / threads;
        let share = |index| Share { next: AtomicUsize::new(start(index)), end: start(index + 1) };
        Self { shares: array::from_fn(share), threads }
    }

    /// Calls `work` for pieces that nobody has taken, until there are none: first those of share `place`.
    pub(super) fn each(&self, place: usize, mut work: impl FnMut(usize)) {
        let (before, rest) = self.shares[..self.threads].split_at(place);
        for Share { next, end } in rest.iter().chain(before) {
            loop {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                if piece >= *end {
                    break;
                }
                work(piece);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_taken_once_by_whoever_comes() {
        for threads in 1..=MAX_THREADS {
            for pieces in [0, 1, 2, 3, 5, 17, 100] {
                for places in [&[0][..], &[threads - 1], &[threads / 2, 0, threads / 2]] {
                    let shares = Shares::new(pieces, threads);
                    let mut taken = vec![0; pieces];
                    places.iter().for_each(|place| shares.each(*place, |piece| taken[piece] += 1));
                    assert_eq!(taken, vec![1; pieces], "{threads} threads, places {places:?}");
                }
            }
        }
    }

    #[test]
    fn everybody_begins_with_a_share_of_his_own() {
        let starts: Vec<_> = (0..4)
            .map(|place| {
                let (shares, mut pieces) = (Shares::new(10, 4), Vec::new());
                shares.each(place, |piece| pieces.push(piece));
                pieces[0]
            })
            .collect();
        assert_eq!(starts, [0, 2, 5, 7]);
    }
}
