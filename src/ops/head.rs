//! The output head fused with argmax and softmax: logits are reduced as they are computed, and
//! never stored.
//!
//! The vocabulary is split into blocks of [`BLOCK`] tokens. Each block yields its largest logit and
//! the sum of `exp(logit - largest)`; blocks are merged in order, in f64. So the result does not
//! depend on the number of threads.

#![forbid(unsafe_code)]

use super::activations::Activations;
use super::linear::Linear;
use super::reduce::{all_finite, largest, sum_of_exp};
use crate::kernels::Kernels;
use crate::parallel::Scope;

/// Tokens of a block.
const BLOCK: usize = 256;

/// The most likely token of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Argmax {
    /// The token with the largest logit; of several, the first.
    pub token: u32,
    /// Its probability in the softmax over all tokens that are not excluded; infinite if all are.
    pub probability: f64,
}

/// A logit that is NaN or infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct NotFinite {
    /// The row.
    pub row: usize,
    /// The token.
    pub token: u32,
    /// The logit.
    pub logit: f32,
}

/// The logits of some tokens of a row, reduced.
#[derive(Clone, Copy)]
struct Partial {
    token: u32,
    logit: f32,
    /// Sum of `exp(l - logit)` over the tokens.
    sum: f32,
}

const NONE: Partial = Partial { token: 0, logit: f32::NEG_INFINITY, sum: 0.0 };

/// The most likely token of every row of `input`, except for `excluded`.
///
/// # Errors
///
/// [`NotFinite`], for the first row and token with such a logit.
pub(crate) fn argmax(
    scope: &Scope<'_>,
    kernels: &dyn Kernels,
    head: Linear<'_>,
    input: &Activations,
    excluded: Option<u32>,
) -> Result<Vec<Argmax>, NotFinite> {
    let (rows, vocab) = (input.rows(), head.weights.rows());
    let mut partials = vec![Ok(NONE); vocab.div_ceil(BLOCK) * rows];
    scope.for_each(partials.chunks_exact_mut(rows.max(1)).enumerate(), |(index, partials)| {
        let first = index * BLOCK;
        let width = BLOCK.min(vocab - first);
        head.with_products(kernels, input, first..first + width, |logits| {
            for (row, (logits, partial)) in logits.chunks_exact_mut(width).zip(partials).enumerate() {
                *partial = reduce(logits, first, excluded).map_err(|token| NotFinite {
                    row,
                    token,
                    logit: logits[token as usize - first],
                });
            }
        });
    });
    (0..rows)
        .map(|row| partials.iter().skip(row).step_by(rows).copied().collect::<Result<Vec<_>, _>>().map(merge))
        .collect()
}

/// The most likely token of a row of logits, except for `excluded`.
///
/// # Errors
///
/// [`NotFinite`] with row 0, for the first token with such a logit.
pub(crate) fn argmax_row(logits: &[f32], excluded: Option<u32>) -> Result<Argmax, NotFinite> {
    let partials = logits.chunks(BLOCK).enumerate().map(|(index, logits)| {
        let first = index * BLOCK;
        let mut logits = logits.to_vec();
        reduce(&mut logits, first, excluded).map_err(|token| NotFinite {
            row: 0,
            token,
            logit: logits[token as usize - first],
        })
    });
    partials.collect::<Result<Vec<_>, _>>().map(merge)
}

/// Reduces the logits of the tokens from `first` on. The error is the first token whose logit is
/// NaN or infinite.
fn reduce(logits: &mut [f32], first: usize, excluded: Option<u32>) -> Result<Partial, u32> {
    if !all_finite(logits) {
        let at = logits.iter().position(|logit| !logit.is_finite()).unwrap_or_default();
        return Err((first + at) as u32);
    }
    let excluded = excluded.and_then(|token| logits.get_mut((token as usize).checked_sub(first)?));
    if let Some(logit) = excluded {
        *logit = f32::NEG_INFINITY;
    }
    let logit = largest(logits);
    let at = logits.iter().position(|&l| l == logit);
    Ok(match at {
        Some(at) if logit > f32::NEG_INFINITY => {
            Partial { token: (first + at) as u32, logit, sum: sum_of_exp(logits, logit) }
        }
        _ => NONE,
    })
}

/// Merges the blocks of a row.
fn merge(partials: Vec<Partial>) -> Argmax {
    let best = partials.iter().fold(NONE, |best, partial| if partial.logit > best.logit { *partial } else { best });
    let weight = |partial: &Partial| f64::from(partial.sum) * f64::from(partial.logit - best.logit).exp();
    let sum = partials.iter().filter(|partial| partial.sum > 0.0).map(weight).fold(0.0, |sum, weight| sum + weight);
    Argmax { token: best.token, probability: 1.0 / sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::GgmlType;
    use crate::kernels::{KernelSelection, Rows};
    use crate::parallel::pool;
    use crate::quant;
    use crate::tensor::{Matrix, MatrixBuilder};
    use crate::testing::test;

    const COLS: usize = 32;

    fn head(weights: &[f32]) -> Matrix {
        let mut bytes = Vec::new();
        quant::quantize(GgmlType::F32, weights, &mut bytes).unwrap();
        let mut builder = MatrixBuilder::embedding(GgmlType::F32, weights.len() / COLS, COLS).unwrap();
        builder.push(&bytes).unwrap();
        builder.finish().unwrap()
    }

    /// Logits, and the result that both [`argmax`] and [`argmax_row`] return for them.
    fn run(vocab: usize, rows: usize, excluded: Option<u32>, x: impl Fn(usize) -> f32) -> (Vec<f32>, Vec<Argmax>) {
        let weights: Vec<f32> = (0..vocab * COLS).map(|i| ((i * i % 101) as f32 - 50.0) / 100.0).collect();
        let (matrix, kernels, scope) = (head(&weights), KernelSelection::autotune().kernels(), pool().scope(0));
        let linear = Linear { weights: &matrix, scale: None, bias: None };
        let x: Vec<f32> = (0..rows * COLS).map(x).collect();
        let input = Activations::new(&scope, kernels, Rows { values: &x, stride: COLS }, None, [&matrix]);
        let logits = linear.with_products(kernels, &input, 0..vocab, |logits| logits.to_vec());
        let found = argmax(&scope, kernels, linear, &input, excluded).unwrap();
        let each: Vec<Argmax> = logits.chunks(vocab).map(|logits| argmax_row(logits, excluded).unwrap()).collect();
        assert_eq!(found, each);
        (logits, found)
    }

    #[test]
    fn the_most_likely_token_and_its_softmax_probability() {
        for vocab in [1, 255, 256, 700] {
            let (logits, found) = run(vocab, 3, None, |i| ((i * 37 % 23) as f32 - 11.0) / 4.0);
            for (logits, best) in logits.chunks(vocab).zip(found) {
                let sum: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
                let top = logits.iter().copied().fold(f32::MIN, f32::max);
                assert_eq!(best.token as usize, logits.iter().position(|&l| l == top).unwrap());
                assert!((best.probability - f64::from(top).exp() / sum).abs() < 1e-6, "{best:?}");
            }
        }
    }

    #[test]
    fn the_first_of_equal_tokens_that_is_not_excluded() {
        let (_, found) = run(600, 1, None, |_| 0.0);
        assert_eq!((found[0].token, (found[0].probability * 600.0).round()), (0, 1.0));
        let (_, found) = run(600, 1, Some(0), |_| 0.0);
        assert_eq!((found[0].token, (found[0].probability * 599.0).round()), (1, 1.0));
        assert_eq!(argmax_row(&[1.0], Some(0)).unwrap().probability, f64::INFINITY, "nothing is left");
    }

    #[test]
    fn logits_that_are_not_finite_are_named() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut logits = vec![0.0; 300];
            (logits[270], logits[290]) = (bad, bad);
            let error = argmax_row(&logits, None).unwrap_err();
            assert_eq!((error.row, error.token, error.logit.to_bits()), (0, 270, bad.to_bits()));
        }
    }
}
