//! Scaled dot-product attention over cached keys and values, with grouped query heads
//! (arXiv:2305.13245).
//!
//! A task is one key/value head and up to [`TASK_ROWS`] rows. All query heads of these rows that
//! share the key/value head share each load of its keys and values, which are stored in panels of 8
//! lanes. So both products have the form of [`Kernels::panel_f32`], `out[8] += a[i] * b[i][8]` for
//! `i` in order:
//!
//! ```text
//! keys      a panel is 8 positions:   scores[position] += query[i] * key[i][position]
//!                                     for i over the elements of the head
//! values    a panel is 8 elements:    out[element] += weight[p] * value[p][element]
//!                                     for p over the positions
//! ```
//!
//! First the keys and values of the pass are stored, head by head. If each head has one task, that
//! task does it: a thread reads what it has written from its own cache.

#![forbid(unsafe_code)]

use super::column_blocks::{ColumnBlock, ColumnBlocks};
use super::exp::Exp;
use super::key_values::{KeyValues, PAGE};
use super::norm::Norm;
use super::reduce::softmax;
use super::rope::Rope;
use crate::kernels::{Kernels, LANES, Rows, RowsMut};
use crate::parallel::Scope;
use std::cell::RefCell;
use std::ops::Range;

/// Rows of a task.
const TASK_ROWS: usize = 8;

/// The queries, keys, and values of a pass. A row has all heads, one after the other.
pub(crate) struct AttentionInput<'a> {
    /// The queries of the rows in `query_rows`.
    pub queries: Rows<'a>,
    /// The rows of the pass that have queries.
    pub query_rows: &'a [usize],
    /// The keys of every row.
    pub keys: Rows<'a>,
    /// The values of every row.
    pub values: Rows<'a>,
    /// Normalizes each head of the queries, in models that do.
    pub query_norm: Option<Norm<'a>>,
    /// Normalizes each head of the keys, in models that do.
    pub key_norm: Option<Norm<'a>>,
    /// Rotates the heads of queries and keys.
    pub rope: &'a Rope,
    /// The cosines and sines of every row ([`Rope::fill_table`]).
    pub rope_tables: &'a [f32],
    /// The position of the first row; the others follow.
    pub position: usize,
    /// The positions that each row attends to.
    pub visible: &'a [Range<usize>],
}

/// Stores keys and values in `cache`, one [`KeyValues`] per head, which has grown to hold them.
/// Then computes, for every head of every row of queries, the softmax of `q k / sqrt(dim)` over the
/// row's visible positions, and the sum of the values weighted by it, into `out`, which has the
/// shape of the queries.
pub(crate) fn attention(
    scope: &Scope<'_>,
    kernels: &dyn Kernels,
    input: &AttentionInput<'_>,
    cache: &mut [KeyValues],
    out: &mut [f32],
) {
    let Rows { values: queries, stride: width } = input.queries;
    let group = width / cache.len();
    let tasks = |rows, queries, out| {
        ColumnBlocks::new(out, width, group).map(move |block| HeadTask { input, rows, queries, block })
    };
    if (1..=TASK_ROWS).contains(&input.query_rows.len()) {
        let tasks = cache.iter_mut().enumerate().zip(tasks(input.query_rows, queries, out));
        scope.for_each(tasks, |((head, cache), task)| {
            BUFFERS.with_borrow_mut(|buffers| {
                input.store(kernels, head, cache, &mut buffers.key);
                task.run(kernels, cache, buffers);
            });
        });
        return;
    }
    scope.for_each(cache.iter_mut().enumerate(), |(head, cache)| {
        BUFFERS.with_borrow_mut(|buffers| input.store(kernels, head, cache, &mut buffers.key));
    });
    let blocks = queries.chunks(TASK_ROWS * width).zip(out.chunks_mut(TASK_ROWS * width));
    let tasks = input
        .query_rows
        .chunks(TASK_ROWS)
        .zip(blocks)
        .flat_map(|(rows, (queries, out))| cache.iter().zip(tasks(rows, queries, out)));
    scope.for_each(tasks, |(cache, task)| BUFFERS.with_borrow_mut(|buffers| task.run(kernels, cache, buffers)));
}

/// What a thread keeps from one task to the next, to avoid allocator contention.
#[derive(Default)]
struct Buffers {
    key: Vec<f32>,
    queries: Vec<f32>,
    scores: Vec<f32>,
    sums: Vec<f32>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

fn zeroed(values: &mut Vec<f32>, len: usize) {
    values.clear();
    values.resize(len, 0.0);
}

impl AttentionInput<'_> {
    /// Stores the keys and values of a head.
    fn store(&self, kernels: &dyn Kernels, head: usize, cache: &mut KeyValues, key: &mut Vec<f32>) {
        let columns = head * cache.dim()..(head + 1) * cache.dim();
        for row in 0..self.keys.count() {
            key.clear();
            key.extend_from_slice(&self.keys.row(row)[columns.clone()]);
            self.encode_position(kernels, key, self.key_norm, row);
            cache.store(self.position + row, key, &self.values.row(row)[columns.clone()]);
        }
    }

    /// Normalizes and rotates a head of a row.
    fn encode_position(&self, kernels: &dyn Kernels, head: &mut [f32], norm: Option<Norm<'_>>, row: usize) {
        if let Some(norm) = norm {
            norm.apply_in_place(kernels, head);
        }
        self.rope.rotate(head, &self.rope_tables[row * self.rope.dims()..][..self.rope.dims()]);
    }
}

/// A task: one key/value head and some rows.
struct HeadTask<'a> {
    input: &'a AttentionInput<'a>,
    rows: &'a [usize],
    /// All query heads of these rows.
    queries: &'a [f32],
    /// The outputs of the query heads that share the key/value head.
    block: ColumnBlock<'a>,
}

impl HeadTask<'_> {
    fn run(self, kernels: &dyn Kernels, cache: &KeyValues, Buffers { queries, scores, sums, .. }: &mut Buffers) {
        let (dim, group) = (cache.dim(), self.block.width());
        let shared = group / dim;
        let visible = |row: usize| &self.input.visible[self.rows[row]];
        let ranges = || (0..self.rows.len()).map(visible);
        let start = ranges().map(|range| range.start).min().unwrap_or(0) / LANES * LANES;
        let end = ranges().map(|range| range.end).max().unwrap_or(0);
        let panels = (end - start).div_ceil(LANES);
        let stride = panels * LANES;

        let scale = 1.0 / (dim as f32).sqrt();
        queries.clear();
        for (&row, query) in self.rows.iter().zip(self.queries.chunks_exact(self.input.queries.stride)) {
            let first = queries.len();
            queries.extend_from_slice(&query[self.block.first..][..group]);
            for head in queries[first..].chunks_exact_mut(dim) {
                self.input.encode_position(kernels, head, self.input.query_norm, row);
                head.iter_mut().for_each(|x| *x *= scale);
            }
        }
        zeroed(scores, self.rows.len() * shared * stride);
        for panel in 0..panels {
            let keys = cache.keys(start + panel * LANES);
            let out = RowsMut { values: &mut scores[panel * LANES..], stride };
            kernels.panel_f32(Rows { values: queries, stride: dim }, keys, out);
        }

        let exp = Exp::new();
        for (row, scores) in scores.chunks_exact_mut(stride).enumerate() {
            let visible = visible(row / shared);
            let (before, rest) = scores.split_at_mut(visible.start - start);
            let (weights, after) = rest.split_at_mut(visible.len());
            before.fill(0.0);
            softmax(exp, weights);
            after.fill(0.0);
        }

        let padded = cache.panels() * LANES;
        zeroed(sums, self.rows.len() * shared * padded);
        for page in start / PAGE..end.div_ceil(PAGE) {
            let (first, last) = (start.max(page * PAGE), end.min((page + 1) * PAGE));
            let weights = Rows { values: &scores[first - start..], stride };
            for panel in 0..cache.panels() {
                let values = cache.values(page, panel, first - page * PAGE..last - page * PAGE);
                let out = RowsMut { values: &mut sums[panel * LANES..], stride: padded };
                kernels.panel_f32(weights, values, out);
            }
        }
        for (out, sums) in self.block.rows.into_iter().zip(sums.chunks_exact(shared * padded)) {
            for (out, sums) in out.chunks_exact_mut(dim).zip(sums.chunks_exact(padded)) {
                out.copy_from_slice(&sums[..dim]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rope::RopeStyle;
    use super::*;
    use crate::kernels::KernelSelection;
    use crate::parallel::pool;
    use crate::testing::test;

    /// Values that differ between positions and heads.
    fn wave(seed: usize, len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 37 + seed * 11) as f32).sin()).collect()
    }

    /// Attention of rows that attend to `visible`, with `shared` query heads for each of 2
    /// key/value heads, against the formula in f64.
    fn check(dim: usize, shared: usize, positions: usize, visible: &[(usize, usize)]) {
        let (kv_width, width) = (2 * dim, 2 * shared * dim);
        let (keys, values) = (wave(1, positions * kv_width), wave(2, positions * kv_width));
        let queries = wave(3, visible.len() * width);
        let mut ranges = vec![0..1; positions];
        ranges.iter_mut().zip(visible).for_each(|(range, &(start, end))| *range = start..end);
        let input = AttentionInput {
            queries: Rows { values: &queries, stride: width },
            query_rows: &(0..visible.len()).collect::<Vec<_>>(),
            keys: Rows { values: &keys, stride: kv_width },
            values: Rows { values: &values, stride: kv_width },
            query_norm: None,
            key_norm: None,
            rope: &Rope::new(RopeStyle::Halves, 0, 1.0),
            rope_tables: &[],
            position: 0,
            visible: &ranges,
        };
        let mut cache = [(); 2].map(|()| KeyValues::new(dim));
        cache.iter_mut().for_each(|head| head.grow(positions).unwrap());
        let mut out = vec![f32::NAN; visible.len() * width];
        attention(&pool().scope(0), KernelSelection::autotune().kernels(), &input, &mut cache, &mut out);

        for (index, &got) in out.iter().enumerate() {
            let (row, head, element) = (index / width, index % width / dim, index % dim);
            let query = &queries[row * width + head * dim..][..dim];
            let at = |values: &[f32], position: usize, element: usize| {
                f64::from(values[position * kv_width + head / shared * dim + element])
            };
            let weight = |position: usize| {
                let dot: f64 = (0..dim).map(|i| f64::from(query[i]) * at(&keys, position, i)).sum();
                (dot / (dim as f64).sqrt()).exp()
            };
            let sum: f64 = ranges[row].clone().map(weight).sum();
            let expected: f64 = ranges[row].clone().map(|p| weight(p) / sum * at(&values, p, element)).sum();
            assert!((f64::from(got) - expected).abs() < 2e-6, "{visible:?} row {row} head {head}: {got} {expected}");
        }
    }

    #[test]
    fn equals_the_textbook_formula_in_f64() {
        for (dim, shared) in [(8, 1), (16, 3), (12, 2), (5, 4)] {
            check(dim, shared, 1, &[(0, 1)]);
            check(dim, shared, 7, &[(0, 7)]);
            check(dim, shared, 150, &[(3, 9), (0, 150), (60, 129), (149, 150)]);
        }
        let causal: Vec<_> = (100..121).map(|position| (0, position + 1)).collect();
        check(8, 3, 121, &causal);
        let windowed: Vec<_> = (100..121).map(|position| (position - 30, position + 1)).collect();
        check(8, 3, 121, &windowed);
    }
}
