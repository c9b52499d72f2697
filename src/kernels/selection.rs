//! Which of several backends to use.
//!
//! The relaxed instructions of WebAssembly are slow on some processors and fast on others, an engine may have them wrong, and
//! a page cannot ask which processor it runs on. So a backend must first get a few products right, some of them of the
//! largest values there are, and those that do race for a few milliseconds.
//!
//! A browser compiles what runs often once more, and better, while it runs; before that the race may have another winner. So a
//! [`Choice`] is made again some times, whenever a generation begins late enough after the last one.

#![forbid(unsafe_code)]

use super::q8::sum_of;
use super::scalar::Scalar;
use super::{Kernels, Q8_BLOCK, Q8Rows, available};
use crate::platform::now_ms;
use crate::tensor::{CHUNK_BYTES, GroupLayout, PANEL_ROWS, RowPanel, TILE, TILE_BYTES};

/// Columns of the test products: more than one chunk of the ternary kernels.
const COLS: usize = 640;

/// Layouts of grouped weights.
const LAYOUTS: [GroupLayout; 3] = [GroupLayout::Bytes32, GroupLayout::Bytes16, GroupLayout::Nibbles32];

/// Activation rows in the race.
const ROWS: usize = 32;

/// Activation rows that are tried before it.
const TRIED: [usize; 4] = [1, 2, 3, 5];

/// Times that every backend gets its turn in the race.
const ROUNDS: usize = 6;

/// Milliseconds of a turn: several ticks of the coarsest clock.
const TURN_MS: f64 = 0.3;

/// Races after the first, in WebAssembly. Elsewhere code does not become faster.
const MORE_RACES: u32 = if cfg!(target_family = "wasm") { 4 } else { 0 };

/// Milliseconds until the second race; each wait is four times as long as the one before.
const FIRST_WAIT_MS: f64 = 100.0;

/// The backend in use.
#[derive(Clone, Copy)]
pub struct KernelSelection {
    kernels: &'static dyn Kernels,
    left: u32,
    made: f64,
    wait: f64,
}

impl KernelSelection {
    /// Lets the backends race.
    #[expect(clippy::new_without_default, reason = "takes milliseconds")]
    pub fn new() -> Self {
        Self { kernels: fastest(&available()), left: MORE_RACES, made: now_ms(), wait: FIRST_WAIT_MS }
    }

    /// The winner.
    pub fn kernels(&self) -> &'static dyn Kernels {
        self.kernels
    }

    /// Lets them race again if it is time.
    pub fn retune(&mut self) {
        if self.left > 0 && now_ms() - self.made > self.wait {
            *self = Self { left: self.left - 1, wait: self.wait * 4.0, ..Self::new() };
        }
    }
}

/// The fastest of `backends` that is right. The scalar one, which is last, takes part only where it is alone.
pub(super) fn fastest(backends: &[&'static dyn Kernels]) -> &'static dyn Kernels {
    let products = Products::new();
    let expected = products.results(&Scalar);
    let right: Vec<_> = backends.iter().copied().filter(|&kernels| products.results(kernels) == expected).collect();
    match *right {
        [] | [_] => &Scalar,
        [only, _scalar] => only,
        [ref vectors @ .., _scalar] => products.race(vectors),
    }
}

/// Whether `kernels` passes the self-test.
#[cfg(test)]
pub(super) fn passes_self_test(kernels: &dyn Kernels) -> bool {
    let products = Products::new();
    products.results(kernels) == products.results(&Scalar)
}

/// Products to try backends on: 16 ternary rows, and 8 rows of grouped weights in every layout.
struct Products {
    tiles: Vec<u8>,
    panels: Vec<(GroupLayout, Vec<[u8; CHUNK_BYTES]>)>,
    x: Vec<i8>,
    x_sums: Vec<i32>,
    /// The first rows of `x`, of every number of rows that is needed.
    q8: Vec<Q8Rows>,
}

impl Products {
    fn new() -> Self {
        // Codes 0..=2 in every order; in the first tiles only 2, against activations of one sign and the largest size.
        let code = |i: usize| if i < TILE_BYTES * 12 { 2 } else { (i * 7 + i / 5) % 3 };
        let tile_byte = |i: usize| (0..4).map(|s| (code(i * 4 + s) << (2 * s)) as u8).sum();
        let activation = |i: usize| if i % COLS < COLS / 2 { 127 } else { (i * 37 % 255) as i32 - 127 };
        let sign = |i: usize| if (i / COLS).is_multiple_of(2) { 1 } else { -1 };
        let x: Vec<i8> = (0..ROWS * COLS).map(|i| (activation(i) * sign(i)) as i8).collect();
        let scales: Vec<_> = (0..ROWS * COLS / Q8_BLOCK).map(|i| (i % 7) as f32 * 0.1).collect();
        // Every byte, after some of the smallest and some of the largest codes of 8 bits.
        let line_byte = |i: usize| [0x80, 0x7F].get(i / 1024).copied().unwrap_or(((i * 89) >> 3) as u8);
        let chunks = |layout: GroupLayout| {
            let codes = layout.code_chunks();
            let code_line = |l: usize| std::array::from_fn(|i| line_byte(l * CHUNK_BYTES + i));
            let weight_scales =
                |g: usize| bytemuck::cast::<[f32; PANEL_ROWS], _>(std::array::from_fn(|row| (g + row) as f32 * 0.01));
            let group = |g: usize| std::iter::once(weight_scales(g)).chain((g * codes..(g + 1) * codes).map(code_line));
            (0..COLS / layout.group()).flat_map(group).collect()
        };
        Self {
            tiles: (0..COLS / TILE * TILE_BYTES).map(tile_byte).collect(),
            panels: LAYOUTS.map(|layout| (layout, chunks(layout))).into(),
            x_sums: x.chunks_exact(COLS).map(sum_of).collect(),
            q8: TRIED.into_iter().chain([ROWS]).map(|rows| Q8Rows::new(COLS, &x[..rows * COLS], &scales)).collect(),
            x,
        }
    }

    /// Ternary products with the first `rows` activation rows.
    fn ternary(&self, kernels: &dyn Kernels, rows: usize) -> Vec<[i32; TILE]> {
        let mut sums = vec![[0; TILE]; rows];
        kernels.ternary_tile(&self.tiles, &self.x[..rows * COLS], &self.x_sums[..rows], &mut sums);
        sums
    }

    /// Grouped products with the first `rows` activation rows.
    fn grouped(&self, kernels: &dyn Kernels, layout: GroupLayout, rows: usize) -> Vec<[f32; PANEL_ROWS]> {
        let (_, chunks) = self.panels.iter().find(|(of, _)| *of == layout).expect("there is a panel of every layout");
        let panel = RowPanel { layout, zero: 0, mins: false, group_chunks: 1 + layout.code_chunks(), chunks };
        let x = self.q8.iter().find(|x| x.rows() == rows).expect("there are as many rows");
        let mut out = vec![[0.0; PANEL_ROWS]; rows];
        kernels.group_panel(&panel, x, &mut out);
        out
    }

    /// All products that the self-test compares, for every number of rows that is tried.
    fn results(&self, kernels: &dyn Kernels) -> impl PartialEq + use<> {
        let of = |rows| (self.ternary(kernels, rows), LAYOUTS.map(|layout| self.grouped(kernels, layout, rows)));
        TRIED.map(of)
    }

    /// The backend with the most work done in its best turn.
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

    /// Products a millisecond: with many rows, as in a prompt, and as much work again with one row, as in decoding.
    fn turn(&self, kernels: &dyn Kernels) -> f64 {
        let begin = now_ms();
        let mut done = 0.0;
        loop {
            std::hint::black_box(self.ternary(kernels, ROWS));
            std::hint::black_box(self.grouped(kernels, GroupLayout::Bytes32, ROWS));
            for _ in 0..ROWS {
                std::hint::black_box(self.ternary(kernels, 1));
                std::hint::black_box(self.grouped(kernels, GroupLayout::Bytes32, 1));
            }
            done += 1.0;
            let elapsed = now_ms() - begin;
            if elapsed >= TURN_MS {
                return done / elapsed;
            }
        }
    }
}
