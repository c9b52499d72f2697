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

#![forbid(unsafe_code)]

use super::bands::{Band, Bands};
use super::exp::Exp;
use super::reduce::softmax;
use crate::kernels::{Kernels, LANES};
use crate::parallel::Lead;
use std::cell::RefCell;
use std::ops::Range;

/// Rows of a unit of work.
const ROWS: usize = 8;

/// The shape of what is cached of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Key/value heads.
    pub kv_heads: usize,
    /// Elements of a head.
    pub dim: usize,
}

/// Positions in a page; whole panels.
pub const PAGE: usize = 64;

impl Heads {
    /// Panels of a head's values.
    fn panels(self) -> usize {
        self.dim.div_ceil(LANES)
    }

    /// Floats in a page of keys.
    pub fn key_page(self) -> usize {
        self.kv_heads * self.dim * PAGE
    }

    /// Floats in a page of values.
    pub fn value_page(self) -> usize {
        self.kv_heads * self.panels() * LANES * PAGE
    }

    /// Puts the key of one position (all heads, one after the other) at `slot` of a page.
    pub fn put_key(self, page: &mut [f32], slot: usize, key: &[f32]) {
        let (panel, lane) = (slot / LANES, slot % LANES);
        for (head, key) in key.chunks_exact(self.dim).enumerate() {
            let start = (head * (PAGE / LANES) + panel) * self.dim * LANES + lane;
            page[start..].iter_mut().step_by(LANES).zip(key).for_each(|(cell, x)| *cell = *x);
        }
    }

    /// Puts the value of one position at `slot` of a page.
    pub fn put_value(self, page: &mut [f32], slot: usize, value: &[f32]) {
        for (head, value) in value.chunks_exact(self.dim).enumerate() {
            for (panel, value) in value.chunks(LANES).enumerate() {
                let out = &mut page[((head * self.panels() + panel) * PAGE + slot) * LANES..];
                match value.first_chunk::<LANES>() {
                    Some(value) => out[..LANES].copy_from_slice(value),
                    None => out[..value.len()].copy_from_slice(value),
                }
            }
        }
    }

    /// The panel of 8 positions from `slot` on of a head's keys.
    fn keys(self, page: &[f32], head: usize, slot: usize) -> &[[f32; LANES]] {
        &page.as_chunks().0[(head * (PAGE / LANES) + slot / LANES) * self.dim..][..self.dim]
    }

    /// The panel of 8 elements of the values of a head at `slots`.
    fn values(self, page: &[f32], head: usize, panel: usize, slots: Range<usize>) -> &[[f32; LANES]] {
        &page.as_chunks().0[(head * self.panels() + panel) * PAGE..][slots]
    }
}

/// The keys and values of one layer.
#[derive(Clone, Copy)]
pub struct KeyValues<'a> {
    /// What is in a page.
    pub heads: Heads,
    /// Pages of keys, each [`Heads::key_page`] long.
    pub keys: &'a [Vec<f32>],
    /// Pages of values, each [`Heads::value_page`] long.
    pub values: &'a [Vec<f32>],
}

/// For every head of every row of `queries`: softmax over the row's `visible` positions of `q k / sqrt(dim)`, then the weighted sum
/// of the values, into `out` of the same shape. `width` is that of a row: all its heads.
pub fn attend(
    lead: &Lead<'_>,
    kernels: &dyn Kernels,
    (queries, width): (&[f32], usize),
    cache: KeyValues<'_>,
    visible: &[Range<usize>],
    out: &mut [f32],
) {
    let group = width / cache.heads.kv_heads;
    let rows = queries.chunks(ROWS * width).zip(visible.chunks(ROWS)).zip(out.chunks_mut(ROWS * width));
    let units = rows.flat_map(|((queries, visible), out)| {
        Bands::new(out, width, group).map(move |band| Unit { queries, width, visible, band })
    });
    lead.each(units, |unit| BUFFERS.with_borrow_mut(|buffers| unit.run(kernels, cache, buffers)));
}

/// What a thread keeps from one unit to the next, so that threads do not meet at the allocator.
#[derive(Default)]
struct Buffers {
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

/// One key/value head and some rows.
struct Unit<'a> {
    /// Whole rows.
    queries: &'a [f32],
    width: usize,
    visible: &'a [Range<usize>],
    /// The outputs of the query heads that share the key/value head.
    band: Band<'a>,
}

impl Unit<'_> {
    fn run(self, kernels: &dyn Kernels, cache: KeyValues<'_>, Buffers { queries, scores, sums }: &mut Buffers) {
        let (dim, group) = (cache.heads.dim, self.band.width());
        let (head, shared) = (self.band.first / group, group / dim);
        let start = self.visible.iter().map(|range| range.start).min().unwrap_or(0) / LANES * LANES;
        let end = self.visible.iter().map(|range| range.end).max().unwrap_or(0);
        let panels = (end - start).div_ceil(LANES);
        let stride = panels * LANES;

        let scale = 1.0 / (dim as f32).sqrt();
        queries.clear();
        for row in self.queries.chunks_exact(self.width) {
            queries.extend(row[self.band.first..][..group].iter().map(|query| query * scale));
        }
        zeroed(scores, self.visible.len() * shared * stride);
        for panel in 0..panels {
            let position = start + panel * LANES;
            let keys = cache.heads.keys(&cache.keys[position / PAGE], head, position % PAGE);
            kernels.panel((queries, dim), keys, (&mut scores[panel * LANES..], stride));
        }

        let exp = Exp::new();
        for (row, scores) in scores.chunks_exact_mut(stride).enumerate() {
            let visible = &self.visible[row / shared];
            let (before, rest) = scores.split_at_mut(visible.start - start);
            let (weights, after) = rest.split_at_mut(visible.len());
            before.fill(0.0);
            softmax(exp, weights);
            after.fill(0.0);
        }

        let padded = cache.heads.panels() * LANES;
        zeroed(sums, self.visible.len() * shared * padded);
        for page in start / PAGE..end.div_ceil(PAGE) {
            let (first, last) = (start.max(page * PAGE), end.min((page + 1) * PAGE));
            let weights = (&scores[first - start..], stride);
            for panel in 0..cache.heads.panels() {
                let slots = first - page * PAGE..last - page * PAGE;
                let values = cache.heads.values(&cache.values[page], head, panel, slots);
                kernels.panel(weights, values, (&mut sums[panel * LANES..], padded));
            }
        }
        for (out, sums) in self.band.rows.into_iter().zip(sums.chunks_exact(shared * padded)) {
            for (out, sums) in out.chunks_exact_mut(dim).zip(sums.chunks_exact(padded)) {
                out.copy_from_slice(&sums[..dim]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Choice;
    use crate::parallel::team;

    /// Values that differ from position to position and head to head.
    fn wave(seed: usize, len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 37 + seed * 11) as f32).sin()).collect()
    }

    /// Attention of rows that see `visible`, of `shared` query heads for each of 2 key/value heads, against the formula in f64.
    fn check(dim: usize, shared: usize, positions: usize, visible: &[(usize, usize)]) {
        let visible: &Vec<_> = &visible.iter().map(|&(start, end)| start..end).collect();
        let heads = Heads { kv_heads: 2, dim };
        let (kv_width, width) = (2 * dim, 2 * shared * dim);
        let (keys, values) = (wave(1, positions * kv_width), wave(2, positions * kv_width));
        let queries = wave(3, visible.len() * width);
        let pages = positions.div_ceil(PAGE);
        let mut key_pages = vec![vec![0.0; heads.key_page()]; pages];
        let mut value_pages = vec![vec![0.0; heads.value_page()]; pages];
        for position in 0..positions {
            let row = position * kv_width..(position + 1) * kv_width;
            heads.put_key(&mut key_pages[position / PAGE], position % PAGE, &keys[row.clone()]);
            heads.put_value(&mut value_pages[position / PAGE], position % PAGE, &values[row]);
        }
        let mut out = vec![f32::NAN; visible.len() * width];
        let cache = KeyValues { heads, keys: &key_pages, values: &value_pages };
        attend(&team().lead(1), Choice::new().kernels(), (&queries, width), cache, visible, &mut out);

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
            let sum: f64 = visible[row].clone().map(weight).sum();
            let expected: f64 = visible[row].clone().map(|p| weight(p) / sum * at(&values, p, element)).sum();
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
