//! Which of several backends to use.
//!
//! The relaxed instructions of WebAssembly are slow on some processors and fast on others, an engine may have them wrong, and
//! a page cannot ask which processor it runs on. So a backend must first get a few products right, some of them of the
//! largest values there are, and those that do race for a few milliseconds.

#![forbid(unsafe_code)]

use super::Kernels;
use super::scalar::{Scalar, total};
use crate::platform::now_ms;
use crate::tensor::{TILE, TILE_BYTES};

/// Columns of the test products: more than one chunk of the ternary kernels.
const COLS: usize = 640;

/// Times that every backend gets its turn in the race.
const ROUNDS: usize = 6;

/// Milliseconds of a turn: several ticks of the coarsest clock.
const TURN_MS: f64 = 0.4;

/// The fastest of `backends` that is right. The scalar one, which is last, takes part only where it is alone.
pub(super) fn fastest(backends: &[&'static dyn Kernels]) -> &'static dyn Kernels {
    let product = Product::new(32);
    let right: Vec<_> = backends.iter().copied().filter(|&kernels| product.is_right(kernels)).collect();
    match *right {
        [] | [_] => &Scalar,
        [only, _scalar] => only,
        [ref vectors @ .., _scalar] => product.race(vectors),
    }
}

/// A ternary product to try backends on.
struct Product {
    tiles: Vec<u8>,
    x: Vec<i8>,
    totals: Vec<i32>,
}

impl Product {
    fn new(rows: usize) -> Self {
        // Codes 0..=2 in every order; in the first tiles only 2, against activations of one sign.
        let code = |i: usize| if i < TILE_BYTES * 12 { 2 } else { (i * 7 + i / 5) % 3 };
        let tiles = (0..COLS / TILE * TILE_BYTES).map(|i| (0..4).map(|s| (code(i * 4 + s) << (2 * s)) as u8).sum());
        let activation = |i: usize| if i % COLS < COLS / 2 { 127 } else { (i * 37 % 255) as i32 - 127 };
        let x: Vec<i8> =
            (0..rows * COLS).map(|i| (activation(i) * if i / COLS % 2 == 0 { 1 } else { -1 }) as i8).collect();
        let totals = x.chunks_exact(COLS).map(total).collect();
        Self { tiles: tiles.collect(), x, totals }
    }

    /// With the first `rows` activation rows.
    fn multiply(&self, kernels: &dyn Kernels, rows: usize) -> Vec<[i32; TILE]> {
        let mut sums = vec![[0; TILE]; rows];
        kernels.ternary_tile(&self.tiles, &self.x[..rows * COLS], &self.totals[..rows], &mut sums);
        sums
    }

    fn is_right(&self, kernels: &dyn Kernels) -> bool {
        [1, 2, 3].into_iter().all(|rows| self.multiply(kernels, rows) == self.multiply(&Scalar, rows))
    }

    /// The backend with the most turns' work done in its best turn.
    fn race(&self, backends: &[&'static dyn Kernels]) -> &'static dyn Kernels {
        let mut rates = vec![0.0f64; backends.len()];
        for _ in 0..ROUNDS {
            for (&kernels, rate) in backends.iter().zip(&mut rates) {
                *rate = rate.max(self.turn(kernels));
            }
        }
        let best = (0..rates.len()).max_by(|&a, &b| rates[a].total_cmp(&rates[b])).expect("a race has runners");
        backends[best]
    }

    /// Products a millisecond: one with many rows, as in a prompt, and as much work again with one row, as in decoding.
    fn turn(&self, kernels: &dyn Kernels) -> f64 {
        let rows = self.totals.len();
        let begin = now_ms();
        let mut done = 0.0;
        loop {
            std::hint::black_box(self.multiply(kernels, rows));
            for _ in 0..rows {
                std::hint::black_box(self.multiply(kernels, 1));
            }
            done += 1.0;
            let elapsed = now_ms() - begin;
            if elapsed >= TURN_MS {
                return done / elapsed;
            }
        }
    }
}
