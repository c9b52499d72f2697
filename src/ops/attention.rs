//! Scaled dot-product attention of one query row over cached keys and values, with grouped heads (arXiv:2305.13245).

#![forbid(unsafe_code)]

use super::exp::exp;
use crate::kernels::Kernels;
use std::ops::Range;

/// The keys and values of one layer: pages of `page` positions, each position `width` values (all key/value heads).
#[derive(Clone, Copy)]
pub struct KeyValues<'a> {
    /// Pages of keys.
    pub keys: &'a [Vec<f32>],
    /// Pages of values.
    pub values: &'a [Vec<f32>],
    /// Positions in a page.
    pub page: usize,
    /// Values of one position.
    pub width: usize,
}

impl KeyValues<'_> {
    /// The part of each page that holds `visible` positions, from `offset` values into the first of them on.
    fn parts<'a>(
        &self,
        pages: &'a [Vec<f32>],
        visible: &Range<usize>,
        offset: usize,
    ) -> impl Iterator<Item = (usize, &'a [f32])> {
        let Self { page, width, .. } = *self;
        let Range { start, end } = *visible;
        (start / page..end.div_ceil(page)).map(move |index| {
            let (first, last) = (start.max(index * page), end.min((index + 1) * page));
            let from = (first - index * page) * width + offset;
            (last - first, &pages[index][from..(last - index * page) * width])
        })
    }
}

/// For every head of `query` (`head_dim` values each): softmax over `visible` positions of `q k / sqrt(head_dim)`, then the
/// weighted sum of the values, into `out` of the same shape. `scores` is scratch.
pub fn attend(
    kernels: &dyn Kernels,
    query: &[f32],
    cache: KeyValues<'_>,
    visible: Range<usize>,
    head_dim: usize,
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    let group = query.len() / cache.width * head_dim;
    let scale = 1.0 / (head_dim as f32).sqrt();
    for (index, (query, out)) in query.chunks_exact(group).zip(out.chunks_exact_mut(group)).enumerate() {
        let offset = index * head_dim;
        scores.clear();
        scores.resize(visible.len() * group / head_dim, 0.0);
        let mut at = 0;
        for (count, keys) in cache.parts(cache.keys, &visible, offset) {
            let scores = scores.chunks_exact_mut(visible.len()).map(|scores| &mut scores[at..at + count]);
            for (query, scores) in query.chunks_exact(head_dim).zip(scores) {
                kernels.scores(query, keys, cache.width, scale, scores);
            }
            at += count;
        }
        scores.chunks_exact_mut(visible.len()).for_each(softmax);
        out.fill(0.0);
        let mut at = 0;
        for (count, values) in cache.parts(cache.values, &visible, offset) {
            for (out, scores) in out.chunks_exact_mut(head_dim).zip(scores.chunks_exact(visible.len())) {
                kernels.add_weighted(out, &scores[at..at + count], values, cache.width);
            }
            at += count;
        }
    }
}

/// `x = exp(x - max) / sum`.
fn softmax(x: &mut [f32]) {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    x.iter_mut().for_each(|x| *x = exp(*x - max));
    let sum: f32 = x.iter().sum();
    x.iter_mut().for_each(|x| *x /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::best;

    /// Values that differ from position to position and head to head.
    fn wave(seed: usize, len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 37 + seed * 11) as f32).sin()).collect()
    }

    #[test]
    fn equals_the_textbook_formula_in_f64() {
        let (heads, kv_heads, dim, page, positions) = (4, 2, 8, 3, 7);
        let width = kv_heads * dim;
        let keys: Vec<_> = (0..3).map(|i| wave(i, page * width)).collect();
        let values: Vec<_> = (0..3).map(|i| wave(i + 9, page * width)).collect();
        let query = wave(5, heads * dim);
        for visible in [0..1, 0..positions, 2..5] {
            let mut out = vec![0.0; heads * dim];
            let cache = KeyValues { keys: &keys, values: &values, page, width };
            attend(best(), &query, cache, visible.clone(), dim, &mut Vec::new(), &mut out);
            let at = |pages: &[Vec<f32>], position: usize, i: usize| {
                f64::from(pages[position / page][position % page * width + i])
            };
            for head in 0..heads {
                let kv = head / 2 * dim;
                let weights: Vec<f64> = visible
                    .clone()
                    .map(|p| {
                        let dot: f64 = (0..dim).map(|i| f64::from(query[head * dim + i]) * at(&keys, p, kv + i)).sum();
                        (dot / (dim as f64).sqrt()).exp()
                    })
                    .collect();
                let sum: f64 = weights.iter().sum();
                for i in 0..dim {
                    let pairs = visible.clone().zip(&weights);
                    let expected: f64 = pairs.map(|(p, w)| w / sum * at(&values, p, kv + i)).sum();
                    let got = f64::from(out[head * dim + i]);
                    assert!((got - expected).abs() < 1e-6, "{visible:?} head {head}: {got} {expected}");
                }
            }
        }
    }
}
