//! How many helpers a pass should have: as many as make it shortest, as measured.
//!
//! On a machine with other work on it helpers may cost more than they bring. The system lets threads take turns, one that is put
//! aside inside a piece stops all others, and what helpers get may be taken from the leader. So now and then some passes are run with
//! fewer helpers (half of them, or none), and if these are shorter it stays so, until passes with more are tried in the same way.
//!
//! A trial costs time when it does not succeed, so rests are [`REST`] times as long at first, and then twice as long each time, up to
//! [`LONGEST_REST`]. But when the leader sleeps for more than [`WORRY`] of its time because helpers do not come out of their pieces,
//! fewer are tried sooner.
//!
//! Passes over few rows and over many are different, and judged by themselves.

#![forbid(unsafe_code)]

/// The share of the time of passes that may be lost.
const WORRY: f64 = 0.1;

/// Milliseconds of a trial, unless a single pass is longer.
const TRIAL: f64 = 25.0;

/// Lengths of a trial until the first one, and after one that changed something.
const REST: f64 = 12.0;

/// Lengths of a trial between two of them, at most.
const LONGEST_REST: f64 = 16.0 * REST;

/// The share of a rest in which nothing worries.
const CALM: f64 = 1.0 / 3.0;

/// What is left of the weight of a pass in the means after the next one.
const FADE: f64 = 1.0 - 1.0 / 16.0;

/// Kinds of passes: with one row, two or three, four to seven, and so on.
const KINDS: usize = 9;

pub(super) struct ThreadTuner {
    kinds: [Kind; KINDS],
}

#[derive(Clone, Copy)]
struct Kind {
    /// The one in use of [`choices`].
    choice: usize,
    /// During a trial, the choice before it and the milliseconds of its passes.
    trial: Option<(usize, f64)>,
    /// Whether the next trial is with fewer helpers.
    fewer: bool,
    /// Milliseconds of passes since the last trial began or ended.
    since: f64,
    /// Lengths of a trial from the last one to the next.
    rest: f64,
    /// Passes since then, the milliseconds that they took, and those lost in them, all fading.
    passes: f64,
    spent: f64,
    lost: f64,
}

/// All helpers, half of them, none.
fn choices(all: usize) -> impl ExactSizeIterator<Item = usize> {
    [all, all / 2, 0].into_iter().take(if all > 1 { 3 } else { 2 })
}

impl Kind {
    const NEW: Self =
        Self { choice: 0, trial: None, fewer: true, since: 0.0, rest: REST, passes: 0.0, spent: 0.0, lost: 0.0 };

    fn record(&mut self, all: usize, spent: f64, lost: f64) {
        self.passes = self.passes * FADE + 1.0;
        self.spent = self.spent * FADE + spent;
        self.lost = self.lost * FADE + lost;
        self.since += spent;
        let mean = self.spent / self.passes;
        let lengths = self.since / TRIAL.max(mean);
        match self.trial {
            Some(_) if lengths < 1.0 => return,
            Some((before, mean_before)) => {
                self.trial = None;
                if mean < mean_before {
                    self.rest = REST;
                } else {
                    self.choice = before;
                    self.fewer = !self.fewer;
                    self.rest = (2.0 * self.rest).min(LONGEST_REST);
                }
            }
            None => {
                let last = choices(all).len() - 1;
                let worried = self.choice < last && lengths > CALM * self.rest && self.lost > WORRY * self.spent;
                if !worried && lengths < self.rest {
                    return;
                }
                self.trial = Some((self.choice, mean));
                self.fewer = worried || self.choice == 0 || self.choice < last && self.fewer;
                self.choice = if self.fewer { self.choice + 1 } else { self.choice - 1 };
            }
        }
        (self.since, self.passes, self.spent, self.lost) = (0.0, 0.0, 0.0, 0.0);
    }
}

impl ThreadTuner {
    pub(super) const fn new() -> Self {
        Self { kinds: [Kind::NEW; KINDS] }
    }

    fn kind(rows: usize) -> usize {
        (rows.max(1).ilog2() as usize).min(KINDS - 1)
    }

    /// How many of `all` helpers the next pass over `rows` gets.
    pub(super) fn workers(&self, all: usize, rows: usize) -> usize {
        choices(all).nth(self.kinds[Self::kind(rows)].choice).unwrap_or(0)
    }

    /// Notes that the pass with as many took `spent` milliseconds, of which the leader `lost` some for helpers that were put aside.
    pub(super) fn record(&mut self, all: usize, rows: usize, spent: f64, lost: f64) {
        self.kinds[Self::kind(rows)].record(all, spent, lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    /// Runs passes on a machine that says what a pass with so many helpers costs, in all and lost; how many there were with each number.
    fn run(tuner: &mut ThreadTuner, all: usize, passes: usize, cost: impl Fn(usize) -> (f64, f64)) -> Vec<usize> {
        let mut had = vec![0; all + 1];
        for _ in 0..passes {
            let workers = tuner.workers(all, 1);
            had[workers] += 1;
            let (spent, lost) = cost(workers);
            tuner.record(all, 1, spent, lost);
        }
        had
    }

    const QUIET: [(f64, f64); 2] = [(10.0, 0.0), (6.0, 0.1)];
    const BUSY: [(f64, f64); 2] = [(10.0, 0.0), (13.0, 3.0)];
    const BUSY_UNNOTICED: [(f64, f64); 2] = [(10.0, 0.0), (13.0, 0.0)];
    const BUSY_BUT_WORTH_IT: [(f64, f64); 2] = [(10.0, 0.0), (8.0, 2.0)];

    #[test]
    fn a_quiet_machine_is_used() {
        let had = run(&mut ThreadTuner::new(), 1, 1000, |workers| QUIET[workers]);
        assert!(had[1] > 980, "{had:?}");
    }

    #[test]
    fn a_busy_machine_is_left_to_others() {
        let had = run(&mut ThreadTuner::new(), 1, 1000, |workers| BUSY[workers]);
        assert!((10..30).contains(&had[1]), "{had:?}");
        let had = run(&mut ThreadTuner::new(), 1, 1000, |workers| BUSY_UNNOTICED[workers]);
        assert!((10..50).contains(&had[1]), "{had:?}");
    }

    #[test]
    fn help_that_comes_late_is_still_help() {
        let had = run(&mut ThreadTuner::new(), 1, 1000, |workers| BUSY_BUT_WORTH_IT[workers]);
        assert!(had[0] < 60, "{had:?}");
    }

    #[test]
    fn half_of_the_helpers_may_be_best() {
        let had = run(&mut ThreadTuner::new(), 6, 1000, |workers| match workers {
            6 => (9.0, 2.0),
            3 => (5.0, 0.1),
            _ => (10.0, 0.0),
        });
        assert!(had[3] > 900, "{had:?}");
    }

    #[test]
    fn a_machine_that_becomes_quiet_is_used_again() {
        let mut tuner = ThreadTuner::new();
        run(&mut tuner, 1, 1000, |workers| BUSY[workers]);
        let passes = (LONGEST_REST + 1.0) * TRIAL / QUIET[0].0;
        run(&mut tuner, 1, passes as usize, |workers| QUIET[workers]);
        let had = run(&mut tuner, 1, 100, |workers| QUIET[workers]);
        assert!(had[1] > 90, "{had:?}");
        let had = run(&mut tuner, 1, 300, |workers| BUSY[workers]);
        assert!(had[1] < 60, "{had:?}");
    }

    #[test]
    fn a_single_pass_can_be_a_trial() {
        let had = run(&mut ThreadTuner::new(), 1, 100, |workers| [(800.0, 0.0), (500.0, 0.0)][workers]);
        assert!((1..=4).contains(&had[0]), "{had:?}");
    }

    #[test]
    fn passes_over_many_rows_are_judged_by_themselves() {
        let mut tuner = ThreadTuner::new();
        run(&mut tuner, 1, 30, |workers| BUSY[workers]);
        assert_eq!((tuner.workers(1, 1), tuner.workers(1, 32)), (0, 1));
    }
}
