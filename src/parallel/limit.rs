//! How many helpers a pass should have: as many as make it shortest, as measured.
//!
//! On a machine with other work on it helpers may cost more than they bring. The system lets threads take turns, one that is put
//! aside inside a piece stops all others, and what helpers get may be taken from the leader. The leader notices when it sleeps at
//! the ends of phases. If that came to [`WORRY`] of its time, it measures [`TRIAL`] passes with half of the helpers and as many with none,
//! and stays with what took least. If that is all of them it goes on looking, as it may have been luck. If not, all are measured again after
//! [`REST`] passes, then after twice as many each time, but after [`LONGEST_REST`] at most.
//!
//! Passes over few rows and over many are different, and judged by themselves.

#![forbid(unsafe_code)]

/// The share of the time of passes that may be lost.
const WORRY: f64 = 0.1;

/// Passes in which a number of helpers is measured.
const TRIAL: u32 = 8;

/// Passes with fewer helpers before all are tried again.
const REST: u32 = 64;

/// The same when it was found again and again.
const LONGEST_REST: u32 = 512;

/// What is left of the weight of a pass in the means after the next one.
const FADE: f64 = 1.0 - 1.0 / (2 * TRIAL) as f64;

/// Numbers of helpers to choose from, at most.
const CHOICES: usize = 3;

/// Kinds of passes: with one row, two or three, four to seven, and so on.
const KINDS: usize = 9;

pub(super) struct Limit {
    kinds: [Kind; KINDS],
}

#[derive(Clone, Copy)]
struct Kind {
    /// The one in use of [`choices`].
    choice: usize,
    /// Passes until there is something to decide.
    left: u32,
    /// Passes of the next rest from some helpers.
    rest: u32,
    /// Milliseconds of a pass with each choice, where they are known: only while all helpers are in doubt.
    times: [Option<f64>; CHOICES],
    /// Passes with this choice, the milliseconds that they took, and those lost in them, all fading.
    passes: f64,
    spent: f64,
    lost: f64,
}

/// All helpers, half of them, none.
fn choices(all: usize) -> impl Iterator<Item = usize> {
    [all, all / 2, 0].into_iter().take(if all > 1 { CHOICES } else { 2 })
}

impl Kind {
    const NEW: Self =
        Self { choice: 0, left: 0, rest: REST, times: [None; CHOICES], passes: 0.0, spent: 0.0, lost: 0.0 };

    fn learn(&mut self, all: usize, spent: f64, lost: f64) {
        self.passes = self.passes * FADE + 1.0;
        self.spent = self.spent * FADE + spent;
        self.lost = self.lost * FADE + lost;
        self.left = self.left.saturating_sub(1);
        let doubted = self.times != [None; CHOICES];
        let worried = self.lost > WORRY * self.spent && self.passes > f64::from(TRIAL / 2);
        if self.left > 0 || !(doubted || worried) {
            return;
        }
        self.times[self.choice] = Some(self.spent / self.passes);
        let times = &self.times[..choices(all).count()];
        let known = |choice: &usize| times[*choice].unwrap_or(f64::INFINITY);
        match times.iter().position(Option::is_none) {
            Some(next) => (self.choice, self.left) = (next, TRIAL),
            None => {
                let best = (0..times.len()).min_by(|a, b| known(a).total_cmp(&known(b))).unwrap_or(0);
                self.choice = best;
                if best == 0 {
                    self.times = [None; CHOICES];
                    (self.left, self.rest) = (2 * TRIAL, REST);
                } else {
                    self.times[0] = None;
                    (self.left, self.rest) = (self.rest, (2 * self.rest).min(LONGEST_REST));
                }
            }
        }
        (self.passes, self.spent, self.lost) = (0.0, 0.0, 0.0);
    }
}

impl Limit {
    pub(super) const fn new() -> Self {
        Self { kinds: [Kind::NEW; KINDS] }
    }

    fn kind(rows: usize) -> usize {
        (rows.max(1).ilog2() as usize).min(KINDS - 1)
    }

    /// How many of `all` helpers the next pass over `rows` gets.
    pub(super) fn helpers(&self, all: usize, rows: usize) -> usize {
        choices(all).nth(self.kinds[Self::kind(rows)].choice).unwrap_or(0)
    }

    /// Notes that the pass with as many took `spent` milliseconds, of which the leader `lost` some for helpers that were put aside.
    pub(super) fn learn(&mut self, all: usize, rows: usize, spent: f64, lost: f64) {
        self.kinds[Self::kind(rows)].learn(all, spent, lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs passes on a machine that says what a pass with so many helpers costs, in all and lost; how many there were with each number.
    fn run(limit: &mut Limit, all: usize, passes: usize, cost: impl Fn(usize) -> (f64, f64)) -> Vec<usize> {
        let mut had = vec![0; all + 1];
        for _ in 0..passes {
            let helpers = limit.helpers(all, 1);
            had[helpers] += 1;
            let (spent, lost) = cost(helpers);
            limit.learn(all, 1, spent, lost);
        }
        had
    }

    const QUIET: [(f64, f64); 2] = [(10.0, 0.0), (6.0, 0.1)];
    const BUSY: [(f64, f64); 2] = [(10.0, 0.0), (13.0, 3.0)];
    const BUSY_BUT_WORTH_IT: [(f64, f64); 2] = [(10.0, 0.0), (8.0, 2.0)];

    #[test]
    fn a_quiet_machine_is_used() {
        assert_eq!(run(&mut Limit::new(), 1, 1000, |helpers| QUIET[helpers]), [0, 1000]);
    }

    #[test]
    fn a_busy_machine_is_left_to_others() {
        let had = run(&mut Limit::new(), 1, 1000, |helpers| BUSY[helpers]);
        assert!(had[1] < 70, "{had:?}");
    }

    #[test]
    fn help_that_comes_late_is_still_help() {
        let had = run(&mut Limit::new(), 1, 1000, |helpers| BUSY_BUT_WORTH_IT[helpers]);
        assert!(had[0] < 350, "{had:?}");
    }

    #[test]
    fn half_of_the_helpers_may_be_best() {
        let had = run(&mut Limit::new(), 6, 1000, |helpers| match helpers {
            6 => (9.0, 2.0),
            3 => (5.0, 0.1),
            _ => (10.0, 0.0),
        });
        assert!(had[3] > 800, "{had:?}");
    }

    #[test]
    fn a_machine_that_becomes_quiet_is_used_again() {
        let mut limit = Limit::new();
        run(&mut limit, 1, 1000, |helpers| BUSY[helpers]);
        run(&mut limit, 1, (LONGEST_REST + TRIAL) as usize, |helpers| QUIET[helpers]);
        assert_eq!(run(&mut limit, 1, 100, |helpers| QUIET[helpers]), [0, 100]);
        let had = run(&mut limit, 1, 300, |helpers| BUSY[helpers]);
        assert!(had[1] > 3 * TRIAL as usize, "the rests begin short again: {had:?}");
    }

    #[test]
    fn passes_over_many_rows_are_judged_by_themselves() {
        let mut limit = Limit::new();
        run(&mut limit, 1, 30, |helpers| BUSY[helpers]);
        assert_eq!((limit.helpers(1, 1), limit.helpers(1, 32)), (0, 1));
    }
}
