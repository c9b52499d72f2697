//! The output head when only the best token is wanted: its logits are reduced as they come, and never stored.
//!
//! The vocabulary is cut into parts of [`PART`] tokens. Each part gives its best logit and the sum of `exp(logit - best)`; parts are
//! put together in order, in f64. So the result does not depend on how many threads took part.

#![forbid(unsafe_code)]

use super::activations::Activations;
use super::linear::Linear;
use super::reduce::{all_finite, largest, sum_of_exp};
use crate::kernels::Kernels;
use crate::parallel::Scope;

/// Tokens reduced together.
const PART: usize = 256;

/// The likeliest token of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Argmax {
    /// The lowest of the tokens with the highest logit.
    pub token: u32,
    /// Its probability in the softmax over all tokens; infinite when there was none to choose.
    pub probability: f64,
}

/// A logit that is NaN or infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NotFinite {
    /// The row.
    pub row: usize,
    /// The token.
    pub token: u32,
    /// The logit.
    pub logit: f32,
}

/// Some tokens of a row, reduced.
#[derive(Clone, Copy)]
struct Part {
    token: u32,
    logit: f32,
    /// Sum of `exp(l - logit)` over the tokens.
    sum: f32,
}

const NONE: Part = Part { token: 0, logit: f32::NEG_INFINITY, sum: 0.0 };

/// The best token of every row of `input`, `without` one token that is never chosen.
///
/// # Errors
///
/// [`NotFinite`], for the first row and token with such a logit.
pub fn argmax(
    scope: &Scope<'_>,
    kernels: &dyn Kernels,
    head: Linear<'_>,
    input: &Activations,
    excluded: Option<u32>,
) -> Result<Vec<Argmax>, NotFinite> {
    let (rows, vocab) = (input.rows(), head.weights.rows());
    let mut parts = vec![Ok(NONE); vocab.div_ceil(PART) * rows];
    scope.for_each(parts.chunks_exact_mut(rows.max(1)).enumerate(), |(index, parts)| {
        let first = index * PART;
        let width = PART.min(vocab - first);
        head.with_products(kernels, input, first..first + width, |logits| {
            for (row, (logits, part)) in logits.chunks_exact_mut(width).zip(parts).enumerate() {
                *part = reduce(logits, first, excluded).map_err(|token| NotFinite {
                    row,
                    token,
                    logit: logits[token as usize - first],
                });
            }
        });
    });
    (0..rows)
        .map(|row| parts.iter().skip(row).step_by(rows).copied().collect::<Result<Vec<_>, _>>().map(join))
        .collect()
}

/// The best token of a row of logits.
///
/// # Errors
///
/// [`NotFinite`] with row 0, for the first token with such a logit.
pub fn argmax_row(logits: &[f32], excluded: Option<u32>) -> Result<Argmax, NotFinite> {
    let parts = logits.chunks(PART).enumerate().map(|(index, logits)| {
        let first = index * PART;
        let mut logits = logits.to_vec();
        reduce(&mut logits, first, excluded).map_err(|token| NotFinite {
            row: 0,
            token,
            logit: logits[token as usize - first],
        })
    });
    parts.collect::<Result<Vec<_>, _>>().map(join)
}

/// Reduces the logits of tokens from `first` on; the error is the first token whose logit is not finite.
fn reduce(logits: &mut [f32], first: usize, excluded: Option<u32>) -> Result<Part, u32> {
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
            Part { token: (first + at) as u32, logit, sum: sum_of_exp(logits, logit) }
        }
        _ => NONE,
    })
}

/// Puts the parts of a row together.
fn join(parts: Vec<Part>) -> Argmax {
    let best = parts.iter().fold(NONE, |best, part| if part.logit > best.logit { *part } else { best });
    let weight = |part: &Part| f64::from(part.sum) * f64::from(part.logit - best.logit).exp();
    let sum = parts.iter().filter(|part| part.sum > 0.0).map(weight).fold(0.0, |sum, part| sum + part);
    Argmax { token: best.token, probability: 1.0 / sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::GgmlType;
    use crate::kernels::KernelSelection;
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

    /// Logits, and what [`argmax`] and [`argmax_row`] make of them.
    fn run(vocab: usize, rows: usize, excluded: Option<u32>, x: impl Fn(usize) -> f32) -> (Vec<f32>, Vec<Argmax>) {
        let weights: Vec<f32> = (0..vocab * COLS).map(|i| ((i * i % 101) as f32 - 50.0) / 100.0).collect();
        let (matrix, kernels, scope) = (head(&weights), KernelSelection::new().kernels(), pool().scope(1));
        let linear = Linear { weights: &matrix, scale: None, bias: None };
        let x: Vec<f32> = (0..rows * COLS).map(x).collect();
        let input = Activations::new(&scope, kernels, (&x, COLS), None, [&matrix]);
        let logits = linear.with_products(kernels, &input, 0..vocab, |logits| logits.to_vec());
        let found = argmax(&scope, kernels, linear, &input, excluded).unwrap();
        let each: Vec<Argmax> = logits.chunks(vocab).map(|logits| argmax_row(logits, excluded).unwrap()).collect();
        assert_eq!(found, each);
        (logits, found)
    }

    #[test]
    fn the_best_token_and_its_softmax_probability() {
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
    fn the_lowest_of_equals_that_is_not_excluded() {
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
