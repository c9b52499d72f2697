//! The gate that a backend has to pass before it may run: a few products with known results.
//!
//! Relaxed SIMD leaves some results to the engine, and engines have had bugs in the rest. The
//! products take the loop nests through every layout and remainder of rows, some of them with the
//! largest values that the accumulators must hold.

#![forbid(unsafe_code)]

use super::q8::sum_of;
use super::scalar::Scalar;
use super::{Kernels, Q8_BLOCK, Q8Rows};
use crate::tensor::{CHUNK_BYTES, GroupLayout, PANEL_ROWS, RowPanel, TILE, TILE_BYTES, TernaryPanel};

/// Columns of the matrices: more than one block of the ternary kernels.
const COLS: usize = 640;

/// Layouts of grouped weights.
const LAYOUTS: [GroupLayout; 3] = [GroupLayout::Bytes32, GroupLayout::Bytes16, GroupLayout::Nibbles32];

/// The numbers of activation rows of the self-test.
const TEST_ROWS: [usize; 4] = [1, 2, 3, 5];

/// Activation rows in all.
pub(super) const MAX_ROWS: usize = 32;

/// The operands of the self-test and of autotuning: 16 ternary rows, 8 rows of grouped weights in
/// every layout, and activations.
pub(super) struct SelfTest {
    tiles: Vec<u8>,
    /// The same with codes of 3 among them, and scales of their groups.
    two_bit_tiles: Vec<u8>,
    two_bit_scales: Vec<[f32; TILE]>,
    panels: Vec<(GroupLayout, Vec<[u8; CHUNK_BYTES]>)>,
    x: Vec<i8>,
    x_sums: Vec<i32>,
    /// The first rows of `x`, for every number of rows that is used.
    q8: Vec<Q8Rows>,
    expected: Products,
}

/// Ternary, group-wise ternary and grouped products, for each of [`TEST_ROWS`] and [`LAYOUTS`].
type Products = [(Vec<[i32; TILE]>, Vec<[f32; TILE]>, [Vec<[f32; PANEL_ROWS]>; LAYOUTS.len()]); TEST_ROWS.len()];

impl SelfTest {
    pub(super) fn new() -> Self {
        // Codes 0..=2 in every order; in the first tiles only 2, against activations of one sign
        // and the largest magnitude.
        let code = |i: usize| if i < TILE_BYTES * 12 { 2 } else { (i * 7 + i / 5) % 3 };
        let tile_byte = |i: usize| (0..4).map(|s| (code(i * 4 + s) << (2 * s)) as u8).sum();
        let activation = |i: usize| if i % COLS < COLS / 2 { 127 } else { (i * 37 % 255) as i32 - 127 };
        let sign = |i: usize| if (i / COLS).is_multiple_of(2) { 1 } else { -1 };
        let x: Vec<i8> = (0..MAX_ROWS * COLS).map(|i| (activation(i) * sign(i)) as i8).collect();
        let scales: Vec<_> = (0..MAX_ROWS * COLS / Q8_BLOCK).map(|i| (i % 7) as f32 * 0.1).collect();
        let rows = TEST_ROWS.into_iter().chain([MAX_ROWS]);
        let mut test = Self {
            tiles: (0..COLS / TILE * TILE_BYTES).map(tile_byte).collect(),
            two_bit_tiles: (0..COLS / TILE * TILE_BYTES)
                .map(|i| if i < 2048 { 0xFF } else { (i * 89) as u8 })
                .collect(),
            two_bit_scales: (0..COLS / 64).map(|g| std::array::from_fn(|row| (g + row) as f32 * 0.01)).collect(),
            panels: LAYOUTS.map(|layout| (layout, panel_chunks(layout))).into(),
            x_sums: x.chunks_exact(COLS).map(sum_of).collect(),
            q8: rows.map(|rows| Q8Rows::new(COLS, &x[..rows * COLS], &scales)).collect(),
            x,
            expected: Products::default(),
        };
        test.expected = test.products(&Scalar);
        test
    }

    /// Whether `kernels` returns the bits of the scalar backend.
    pub(super) fn passes(&self, kernels: &dyn Kernels) -> bool {
        self.products(kernels) == self.expected
    }

    fn products(&self, kernels: &dyn Kernels) -> Products {
        TEST_ROWS.map(|rows| {
            let grouped = LAYOUTS.map(|layout| self.grouped(kernels, layout, rows));
            (self.ternary(kernels, rows), self.ternary_groups(kernels, rows), grouped)
        })
    }

    /// Ternary products with the first `rows` activation rows.
    pub(super) fn ternary(&self, kernels: &dyn Kernels, rows: usize) -> Vec<[i32; TILE]> {
        let mut sums = vec![[0; TILE]; rows];
        kernels.ternary_tile(&self.tiles, &self.x[..rows * COLS], &self.x_sums[..rows], &mut sums);
        sums
    }

    /// Group-wise ternary products with the first `rows` activation rows.
    fn ternary_groups(&self, kernels: &dyn Kernels, rows: usize) -> Vec<[f32; TILE]> {
        let panel = TernaryPanel { scales: &self.two_bit_scales, tiles: &self.two_bit_tiles };
        let mut out = vec![[0.0; TILE]; rows];
        kernels.ternary_panel(&panel, self.q8(rows), &mut out);
        out
    }

    /// The first `rows` activation rows.
    fn q8(&self, rows: usize) -> &Q8Rows {
        self.q8.iter().find(|x| x.rows() == rows).expect("there are activations for every number of rows")
    }

    /// Grouped products with the first `rows` activation rows.
    pub(super) fn grouped(&self, kernels: &dyn Kernels, layout: GroupLayout, rows: usize) -> Vec<[f32; PANEL_ROWS]> {
        let (_, chunks) = self.panels.iter().find(|(of, _)| *of == layout).expect("there is a panel of every layout");
        let panel = RowPanel { layout, zero: 0, mins: false, group_chunks: 1 + layout.code_chunks(), chunks };
        let mut out = vec![[0.0; PANEL_ROWS]; rows];
        kernels.group_panel(&panel, self.q8(rows), &mut out);
        out
    }
}

/// The backends that pass the self-test.
#[cfg(any(test, fuzzing))]
pub(crate) fn passing() -> Vec<&'static dyn Kernels> {
    let test = SelfTest::new();
    super::available().into_iter().filter(|&kernels| test.passes(kernels)).collect()
}

/// A panel of [`COLS`] columns without minimums. Codes are some of the smallest of 8 bits, then
/// some of the largest, then every byte.
fn panel_chunks(layout: GroupLayout) -> Vec<[u8; CHUNK_BYTES]> {
    let code_byte = |i: usize| [0x80, 0x7F].get(i / 1024).copied().unwrap_or(((i * 89) >> 3) as u8);
    let codes = |chunk: usize| std::array::from_fn(|i| code_byte(chunk * CHUNK_BYTES + i));
    let scales = |group: usize| std::array::from_fn::<f32, PANEL_ROWS, _>(|row| (group + row) as f32 * 0.01);
    let count = layout.code_chunks();
    let group = |group: usize| {
        std::iter::once(bytemuck::cast(scales(group))).chain((group * count..(group + 1) * count).map(codes))
    };
    (0..COLS / layout.group()).flat_map(group).collect()
}
