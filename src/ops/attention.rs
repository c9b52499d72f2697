//! Scaled dot-product attention over cached keys and values, with grouped heads (arXiv:2305.13245).
//!
//! A unit of work is one key/value head and up to [`ROWS`] rows: all their query heads read the same keys and values, and share
//! each load of them. Keys and values lie in panels of 8 lanes, so that both products are of one form, `out[8] += a[i] * b[i][8]` for
//! `i` in order ([`Kernels::panel`]):
//!
//! ```text
//! keys      a panel is 8 positions:     scores[position] += query[i] * key[i][position]       i over the head's elements
//! values    a panel is 8 elements:      out[element] += weight[p] * value[p][element]         p over positions
//! ```
//!
//! The keys and values of the pass are stored before, head by head. When no head has more than one unit, that is the first thing it does:
//! what a thread has written it can read without waiting for the cache of another one.

#![forbid(unsafe_code)]

use super::column_blocks::{ColumnBlock, ColumnBlocks};
use super::exp::Exp;
use super::key_values::{KeyValues, PAGE};
use super::norm::Norm;
use super::reduce::softmax;
use super::rope::Rope;
use crate::kernels::{Kernels, LANES};
use crate::parallel::Scope;
use std::cell::RefCell;
use std::ops::Range;

/// Rows of a unit of work.
const ROWS: usize = 8;

/// What the rows of a pass ask and answer: queries, keys and values, of which each row has all heads one after the other.
pub struct AttentionInput<'a> {
    /// Queries of some rows.
    pub queries: &'a [f32],
    /// Length of a row of queries.
    pub query_width: usize,
    /// Which rows.
    pub rows: &'a [usize],
    /// Keys of every row.
    pub keys: &'a [f32],
    /// Values of every row.
    pub values: &'a [f32],
    /// Length of a row of keys, and of values.
    pub key_width: usize,
    /// Normalizes each head of the queries, where a model does.
    pub query_norm: Option<Norm<'a>>,
    /// The same for keys.
    pub key_norm: Option<Norm<'a>>,
    /// Rotates the heads of queries and keys.
    pub rope: &'a Rope,
    /// By what, a table a row ([`Rope::fill`]).
    pub tables: &'a [f32],
    /// The position of the first row; the others follow.
    pub position: usize,
    /// The positions that each row sees.
    pub visible: &'a [Range<usize>],
}

/// Stores keys and values in `cache`, which has room for them, a [`KeyValues`] for each head. Then, for every head of every row of queries:
/// softmax over the row's visible positions of `q k / sqrt(dim)`, and the sum of the values weighted with it, into `out` of the same shape.
pub fn attention(
    scope: &Scope<'_>,
    kernels: &dyn Kernels,
    qkv: &AttentionInput<'_>,
    cache: &mut [KeyValues],
    out: &mut [f32],
) {
    let width = qkv.query_width;
    let group = width / cache.len();
    let units =
        |rows, queries, out| ColumnBlocks::new(out, width, group).map(move |block| Unit { qkv, rows, queries, block });
    if (1..=ROWS).contains(&qkv.rows.len()) {
        let units = cache.iter_mut().enumerate().zip(units(qkv.rows, qkv.queries, out));
        scope.for_each(units, |((head, cache), unit)| {
            BUFFERS.with_borrow_mut(|buffers| {
                qkv.store(kernels, head, cache, &mut buffers.key);
                unit.run(kernels, cache, buffers);
            });
        });
        return;
    }
    scope.for_each(cache.iter_mut().enumerate(), |(head, cache)| {
        BUFFERS.with_borrow_mut(|buffers| qkv.store(kernels, head, cache, &mut buffers.key));
    });
    let rows = qkv.rows.chunks(ROWS).zip(qkv.queries.chunks(ROWS * width)).zip(out.chunks_mut(ROWS * width));
    let units = rows.flat_map(|((rows, queries), out)| cache.iter().zip(units(rows, queries, out)));
    scope.for_each(units, |(cache, unit)| BUFFERS.with_borrow_mut(|buffers| unit.run(kernels, cache, buffers)));
}

/// What a thread keeps from one unit to the next, so that threads do not meet at the allocator.
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
        let part = head * cache.dim()..(head + 1) * cache.dim();
        let rows = self.keys.chunks_exact(self.key_width).zip(self.values.chunks_exact(self.key_width));
        for (row, (keys, values)) in rows.enumerate() {
            key.clear();
            key.extend_from_slice(&keys[part.clone()]);
            self.place(kernels, key, self.key_norm, row);
            cache.put(self.position + row, key, &values[part.clone()]);
        }
    }

    /// Normalizes and rotates a head of a row.
    fn place(&self, kernels: &dyn Kernels, head: &mut [f32], norm: Option<Norm<'_>>, row: usize) {
        if let Some(norm) = norm {
            norm.apply_in_place(kernels, head);
        }
        self.rope.rotate(head, &self.tables[row * self.rope.dims()..][..self.rope.dims()]);
    }
}

/// One key/value head and some rows.
struct Unit<'a> {
    qkv: &'a AttentionInput<'a>,
    rows: &'a [usize],
    /// Of these rows, whole.
    queries: &'a [f32],
    /// The outputs of the query heads that share the key/value head.
    block: ColumnBlock<'a>,
}

impl Unit<'_> {
    fn run(self, kernels: &dyn Kernels, cache: &KeyValues, Buffers { queries, scores, sums, .. }: &mut Buffers) {
        let (dim, group) = (cache.dim(), self.block.width());
        let shared = group / dim;
        let visible = |row: usize| &self.qkv.visible[self.rows[row]];
        let ranges = || (0..self.rows.len()).map(visible);
        let start = ranges().map(|range| range.start).min().unwrap_or(0) / LANES * LANES;
        let end = ranges().map(|range| range.end).max().unwrap_or(0);
        let panels = (end - start).div_ceil(LANES);
        let stride = panels * LANES;

        let scale = 1.0 / (dim as f32).sqrt();
        queries.clear();
        for (&row, query) in self.rows.iter().zip(self.queries.chunks_exact(self.qkv.query_width)) {
            let first = queries.len();
            queries.extend_from_slice(&query[self.block.first..][..group]);
            for head in queries[first..].chunks_exact_mut(dim) {
                self.qkv.place(kernels, head, self.qkv.query_norm, row);
                head.iter_mut().for_each(|x| *x *= scale);
            }
        }
        zeroed(scores, self.rows.len() * shared * stride);
        for panel in 0..panels {
            let keys = cache.keys(start + panel * LANES);
            kernels.panel_f32((queries, dim), keys, (&mut scores[panel * LANES..], stride));
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
            let weights = (&scores[first - start..], stride);
            for panel in 0..cache.panels() {
                let values = cache.values(page, panel, first - page * PAGE..last - page * PAGE);
                kernels.panel_f32(weights, values, (&mut sums[panel * LANES..], padded));
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

    /// Values that differ from position to position and head to head.
    fn wave(seed: usize, len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 37 + seed * 11) as f32).sin()).collect()
    }

    /// Attention of rows that see `visible`, of `shared` query heads for each of 2 key/value heads, against the formula in f64.
    fn check(dim: usize, shared: usize, positions: usize, visible: &[(usize, usize)]) {
        let (kv_width, width) = (2 * dim, 2 * shared * dim);
        let (keys, values) = (wave(1, positions * kv_width), wave(2, positions * kv_width));
        let queries = wave(3, visible.len() * width);
        let mut ranges = vec![0..1; positions];
        ranges.iter_mut().zip(visible).for_each(|(range, &(start, end))| *range = start..end);
        let qkv = AttentionInput {
            queries: &queries,
            query_width: width,
            rows: &(0..visible.len()).collect::<Vec<_>>(),
            keys: &keys,
            values: &values,
            key_width: kv_width,
            query_norm: None,
            key_norm: None,
            rope: &Rope::new(RopeStyle::Halves, 0, 1.0),
            tables: &[],
            position: 0,
            visible: &ranges,
        };
        let mut cache = [(); 2].map(|()| KeyValues::new(dim));
        cache.iter_mut().for_each(|head| head.grow(positions).unwrap());
        let mut out = vec![f32::NAN; visible.len() * width];
        attention(&pool().scope(1), KernelSelection::new().kernels(), &qkv, &mut cache, &mut out);

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
