//! How many pool workers a pass should use: as many as make it shortest, as measured.
//!
//! On a machine with other work, workers can cost more than they contribute: the system preempts
//! one inside a task and everybody waits, or it runs workers in the caller's time. So this is a
//! multi-armed bandit with three arms (all workers, half of them, none) for each class of passes.
//! It plays the arm with the lowest running mean; an arm that would cost at most [`EXPLORE`] of the
//! time since it was last played is played next.

#![forbid(unsafe_code)]

/// The share of the time of passes for which an arm that is not the best may be played.
const EXPLORE: f64 = 0.02;

/// The weight of a pass in the running mean.
const RATE: f64 = 1.0 / 8.0;

/// Classes of passes: those over one row, two or three rows, four to seven rows, and so on.
const CLASSES: usize = 9;

/// Measures passes to decide how many workers the next one uses.
pub(super) struct WorkerTuner {
    /// What the means were measured with. All start again when workers join.
    available: usize,
    classes: [[Arm; 3]; CLASSES],
}

/// A number of workers.
#[derive(Clone, Copy)]
struct Arm {
    workers: usize,
    /// The running mean of the milliseconds of a pass; infinite before the first one.
    mean: f64,
    /// Milliseconds of passes since this arm was last played.
    idle: f64,
}

impl WorkerTuner {
    pub(super) fn new() -> Self {
        Self::with_workers(0)
    }

    fn with_workers(available: usize) -> Self {
        let arms = [available, available / 2, 0].map(|workers| Arm { workers, mean: f64::INFINITY, idle: 0.0 });
        Self { available, classes: [arms; CLASSES] }
    }

    fn class(&mut self, rows: usize) -> &mut [Arm; 3] {
        &mut self.classes[(rows.max(1).ilog2() as usize).min(CLASSES - 1)]
    }

    /// How many of `available` workers the next pass over `rows` rows uses.
    pub(super) fn workers(&mut self, available: usize, rows: usize) -> usize {
        if available != self.available {
            *self = Self::with_workers(available);
        }
        let arms = self.class(rows);
        let best = arms.iter().min_by(|a, b| a.mean.total_cmp(&b.mean)).expect("there are three arms");
        // Until it is measured, an arm is expected to be as good as the best one.
        let expected = |arm: &Arm| if arm.mean.is_finite() { arm.mean } else { best.mean };
        arms.iter().find(|arm| expected(arm) < EXPLORE * arm.idle).unwrap_or(best).workers
    }

    /// Records that a pass over `rows` rows with `workers` workers took `ms` milliseconds.
    pub(super) fn record(&mut self, rows: usize, workers: usize, ms: f64) {
        for arm in self.class(rows) {
            if arm.workers != workers {
                arm.idle += ms;
                continue;
            }
            arm.idle = 0.0;
            // A single pass that was interrupted must not decide: it counts as twice the mean.
            arm.mean = if arm.mean.is_finite() { arm.mean + RATE * (ms.min(2.0 * arm.mean) - arm.mean) } else { ms };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    /// Runs passes that take `cost(workers)` milliseconds. Returns how many used each number of
    /// workers.
    fn run(tuner: &mut WorkerTuner, available: usize, passes: usize, cost: impl Fn(usize) -> f64) -> Vec<usize> {
        let mut played = vec![0; available + 1];
        for _ in 0..passes {
            let workers = tuner.workers(available, 1);
            played[workers] += 1;
            tuner.record(1, workers, cost(workers));
        }
        played
    }

    const IDLE_MACHINE: [f64; 2] = [10.0, 6.0];
    const BUSY_MACHINE: [f64; 2] = [10.0, 13.0];

    #[test]
    fn workers_are_used_while_they_help() {
        let played = run(&mut WorkerTuner::new(), 1, 1000, |workers| IDLE_MACHINE[workers]);
        assert!((5..20).contains(&played[0]), "{played:?}");
    }

    #[test]
    fn workers_are_left_to_other_programs_when_they_do_not_help() {
        let mut tuner = WorkerTuner::new();
        run(&mut tuner, 1, 60, |workers| BUSY_MACHINE[workers]);
        let played = run(&mut tuner, 1, 1000, |workers| BUSY_MACHINE[workers]);
        assert!((5..20).contains(&played[1]), "{played:?}");
    }

    #[test]
    fn half_of_the_workers_may_be_best() {
        let played = run(&mut WorkerTuner::new(), 6, 1000, |workers| match workers {
            6 => 9.0,
            3 => 5.0,
            _ => 10.0,
        });
        assert!(played[3] > 900, "{played:?}");
    }

    #[test]
    fn a_machine_that_changes_is_noticed() {
        let mut tuner = WorkerTuner::new();
        for _ in 0..3 {
            run(&mut tuner, 1, 1000, |workers| BUSY_MACHINE[workers]);
            let played = run(&mut tuner, 1, 100, |workers| BUSY_MACHINE[workers]);
            assert!(played[0] > 95, "{played:?}");
            run(&mut tuner, 1, 1000, |workers| IDLE_MACHINE[workers]);
            let played = run(&mut tuner, 1, 100, |workers| IDLE_MACHINE[workers]);
            assert!(played[1] > 95, "{played:?}");
        }
    }

    #[test]
    fn one_interrupted_pass_does_not_decide() {
        let mut tuner = WorkerTuner::new();
        run(&mut tuner, 1, 200, |workers| IDLE_MACHINE[workers]);
        tuner.record(1, 1, 500.0);
        let played = run(&mut tuner, 1, 20, |workers| IDLE_MACHINE[workers]);
        assert!(played[1] >= 19, "{played:?}");
    }

    #[test]
    fn long_passes_are_explored_no_more_often_than_short_ones_are() {
        let played = run(&mut WorkerTuner::new(), 1, 100, |workers| [800.0, 500.0][workers]);
        assert!((1..=2).contains(&played[0]), "{played:?}");
    }

    #[test]
    fn classes_of_passes_and_numbers_of_workers_are_measured_apart() {
        let mut tuner = WorkerTuner::new();
        run(&mut tuner, 1, 100, |workers| BUSY_MACHINE[workers]);
        assert_eq!((tuner.workers(1, 1), tuner.workers(1, 32)), (0, 1));
        assert_eq!(tuner.workers(4, 1), 4, "workers joined");
    }
}
