//! Reductions of a row in [`LANES`] interleaved lanes, so that they vectorize: lane `l` reduces the
//! elements `l`, `l + 8`, ... in order; then the lanes are reduced in order, and last the
//! remainder.

#![forbid(unsafe_code)]

use super::exp::Exp;
use crate::kernels::LANES;

/// The largest of some numbers, none of which is NaN; minus infinity if there are none.
#[inline(always)]
pub(super) fn largest(x: &[f32]) -> f32 {
    reduce(x, f32::NEG_INFINITY, |x| x, |max, x| if x > max { x } else { max })
}

/// The sum of `exp(x - max)`.
#[inline(always)]
pub(super) fn sum_of_exp(x: &[f32], max: f32) -> f32 {
    let exp = Exp::new();
    reduce(x, 0.0, |x| exp.of(x - max), |sum, x| sum + x)
}

/// Whether no number is NaN or infinite.
pub(super) fn all_finite(x: &[f32]) -> bool {
    let largest = x.iter().fold(0, |max, x| (x.to_bits() & !(1 << 31)).max(max));
    largest < f32::INFINITY.to_bits()
}

/// `x = exp(x - max) / sum`.
pub(super) fn softmax(exp: Exp, x: &mut [f32]) {
    let max = largest(x);
    x.iter_mut().for_each(|x| *x = exp.of(*x - max));
    let scale = 1.0 / reduce(x, 0.0, |x| x, |sum, x| sum + x);
    x.iter_mut().for_each(|x| *x *= scale);
}

#[inline(always)]
fn reduce(x: &[f32], start: f32, map: impl Fn(f32) -> f32, combine: impl Fn(f32, f32) -> f32) -> f32 {
    let (whole, rest) = x.as_chunks::<LANES>();
    let mut lanes = [start; LANES];
    for x in whole {
        for (lane, &x) in lanes.iter_mut().zip(x) {
            *lane = combine(*lane, map(x));
        }
    }
    lanes.into_iter().chain(rest.iter().map(|&x| map(x))).fold(start, &combine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn reduces_rows_of_any_length() {
        for len in 1..40 {
            let x: Vec<f32> = (0..len).map(|i| ((i * 7 % 11) as f32) - 5.0).collect();
            let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(largest(&x), max);
            let expected: f64 = x.iter().map(|&x| f64::from(x - max).exp()).sum();
            assert!((f64::from(sum_of_exp(&x, max)) - expected).abs() < 1e-5 * expected, "{len}");
            let mut p = x.clone();
            softmax(Exp::new(), &mut p);
            assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{len}");
            assert!((f64::from(p[0]) - f64::from(x[0] - max).exp() / expected).abs() < 1e-6, "{len}");
        }
    }

    #[test]
    fn finds_values_that_are_not_finite() {
        assert!(all_finite(&[]) && all_finite(&[0.0, -1e38, f32::MAX]));
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!all_finite(&[1.0, bad, 2.0]));
        }
    }
}
