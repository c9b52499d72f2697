//! How many helpers a pass should have, from what earlier passes lost by them.
//!
//! Two threads halve the time of a pass. If the leader slept for more than that half because a helper was put aside in the middle
//! of its work, it had been faster alone. So after a pass that lost [`TOO_MUCH`] of its time the next ones get half as many
//! helpers, and all again after a rest: of one pass at first, twice as many each time that all were too many again.

#![forbid(unsafe_code)]

/// The share of a pass that must not be lost.
const TOO_MUCH: f64 = 0.3;

/// Passes after which more helpers are tried in any case.
const LONGEST_REST: u32 = 64;

/// Good passes with all helpers that make up for one that was not.
const FORGET: u32 = 16;

pub(super) struct Limit {
    /// Helpers for the passes of the rest.
    most: usize,
    /// Passes left of it.
    left: u32,
    /// Passes of the next one.
    rest: u32,
    /// Good passes in a row.
    good: u32,
}

impl Limit {
    pub(super) const fn new() -> Self {
        Self { most: usize::MAX, left: 0, rest: 1, good: 0 }
    }

    /// How many of `all` helpers the next pass gets.
    pub(super) fn helpers(&self, all: usize) -> usize {
        if self.left > 0 { self.most.min(all) } else { all }
    }

    /// Notes that a pass with `helpers` took `spent` milliseconds and lost some of them.
    pub(super) fn learn(&mut self, helpers: usize, spent: f64, lost: f64) {
        let resting = self.left > 0;
        self.left = self.left.saturating_sub(1);
        if helpers > 0 && lost > TOO_MUCH * spent {
            self.most = helpers / 2;
            self.left = self.rest;
            self.rest = (self.rest * 2).min(LONGEST_REST);
            self.good = 0;
        } else if !resting {
            self.good += 1;
            if self.good >= FORGET {
                self.good = 0;
                self.rest = (self.rest / 2).max(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_is_left_to_others() {
        let mut limit = Limit::new();
        let mut tried = 0;
        for _ in 0..1000 {
            let helpers = limit.helpers(1);
            tried += helpers;
            limit.learn(helpers, 10.0, if helpers > 0 { 6.0 } else { 0.0 });
        }
        assert!((10..30).contains(&tried), "{tried} of 1000 passes with a helper that is always late");
    }

    #[test]
    fn one_late_helper_of_many_costs_half_of_them_for_a_pass() {
        let mut limit = Limit::new();
        let mut had = Vec::new();
        for pass in 0..6 {
            had.push(limit.helpers(7));
            limit.learn(limit.helpers(7), 10.0, if pass == 1 { 5.0 } else { 0.1 });
        }
        assert_eq!(had, [7, 7, 3, 7, 7, 7]);
    }

    #[test]
    fn a_quiet_machine_is_forgiven() {
        let mut limit = Limit::new();
        let mut run = |passes: u32, lost: f64| {
            let mut helped = 0;
            for _ in 0..passes {
                let helpers = limit.helpers(1);
                helped += helpers;
                limit.learn(helpers, 10.0, lost * helpers as f64);
            }
            helped
        };
        run(100, 6.0);
        run(2000, 0.0);
        assert_eq!(run(50, 0.0), 50);
        assert!(run(20, 6.0) >= 3, "the rests begin short again");
    }
}
