//! Selection of a backend: the self-test, then autotuning.
//!
//! The relaxed instructions of WebAssembly are slow on some processors and fast on others, and a
//! page cannot ask which processor it runs on. So the backends that pass the self-test run the same
//! products in turns for a few milliseconds, and the fastest is used.
//!
//! A browser compiles hot functions again, and better, while they run (tier-up), which can change
//! the ranking; so [`KernelSelection::retune`] repeats the selection a few times.

#![forbid(unsafe_code)]

use super::scalar::Scalar;
use super::self_test::{MAX_ROWS, SelfTest};
use super::{Kernels, available};
use crate::platform::now_ms;
use crate::tensor::GroupLayout;
use std::hint::black_box;

/// Turns of each backend.
const ROUNDS: usize = 6;

/// Milliseconds of a turn: several ticks of the coarsest clock.
const TURN_MS: f64 = 0.3;

/// Selections after the first, in WebAssembly. Native code does not tier up.
const RETUNINGS: u32 = if cfg!(target_family = "wasm") { 4 } else { 0 };

/// Milliseconds until the second selection. Each wait is four times as long as the one before.
const FIRST_WAIT_MS: f64 = 100.0;

/// The backend in use.
#[derive(Clone, Copy)]
pub(crate) struct KernelSelection {
    kernels: &'static dyn Kernels,
    /// Selections to come.
    left: u32,
    /// When this one was made.
    made_ms: f64,
    /// Milliseconds from then to the next one.
    wait_ms: f64,
}

impl KernelSelection {
    /// Tests and times the available backends, which takes some milliseconds.
    pub(crate) fn autotune() -> Self {
        let kernels = fastest(&available());
        Self { kernels, left: RETUNINGS, made_ms: now_ms(), wait_ms: FIRST_WAIT_MS }
    }

    /// The selected backend.
    pub(crate) fn kernels(&self) -> &'static dyn Kernels {
        self.kernels
    }

    /// Repeats the selection if it is time. Call it between two generations.
    pub(crate) fn retune(&mut self) {
        if self.left > 0 && now_ms() - self.made_ms > self.wait_ms {
            *self = Self { left: self.left - 1, wait_ms: self.wait_ms * 4.0, ..Self::autotune() };
        }
    }
}

/// The fastest of `backends` that passes the self-test. The scalar one, which is last, is used only
/// if no other passes.
pub(super) fn fastest(backends: &[&'static dyn Kernels]) -> &'static dyn Kernels {
    let test = SelfTest::new();
    let (_scalar, vector) = backends.split_last().expect("the scalar backend is always available");
    let passing: Vec<_> = vector.iter().copied().filter(|&kernels| test.passes(kernels)).collect();
    match *passing {
        [] => &Scalar,
        [only] => only,
        ref several => autotune(&test, several),
    }
}

/// The backend that does the most work in its best turn.
fn autotune(work: &SelfTest, backends: &[&'static dyn Kernels]) -> &'static dyn Kernels {
    let mut rates = vec![0.0f64; backends.len()];
    for _ in 0..ROUNDS {
        for (&kernels, rate) in backends.iter().zip(&mut rates) {
            *rate = rate.max(turn(work, kernels));
        }
    }
    let fastest = (0..rates.len()).max_by(|&a, &b| rates[a].total_cmp(&rates[b])).expect("there are backends");
    backends[fastest]
}

/// Rounds per millisecond of many rows, as in a prompt, and the same work with one row, as in
/// autoregressive decoding.
fn turn(work: &SelfTest, kernels: &dyn Kernels) -> f64 {
    let start = now_ms();
    let mut rounds = 0.0;
    loop {
        black_box(work.ternary(kernels, MAX_ROWS));
        black_box(work.grouped(kernels, GroupLayout::Bytes32, MAX_ROWS));
        for _ in 0..MAX_ROWS {
            black_box(work.ternary(kernels, 1));
            black_box(work.grouped(kernels, GroupLayout::Bytes32, 1));
        }
        rounds += 1.0;
        let elapsed = now_ms() - start;
        if elapsed >= TURN_MS {
            return rounds / elapsed;
        }
    }
}
