//! The exponential function, with the same bits on every machine.
//!
//! The standard library calls the platform's, whose last bit differs between a native build and a
//! page: enough to decide a near-tie between two tokens, and with it the text, differently. This
//! one uses additions and multiplications only, whose rounding IEEE 754 fixes.
//!
//! `exp(x) = 2^k exp(r)` with `k = round(x / ln 2)`, so that `|r| <= ln(2) / 2`. There
//! `1 + r + r^2 p(r)`, with the minimax polynomial `p` of degree 4, has an error of at most 3.1e-9,
//! a twentieth of the rounding error of f32.

#![forbid(unsafe_code)]

use crate::kernels::opaque;

/// The constants of [`Exp::of`], as variables: V8 recomputes constants in every iteration of a
/// loop, which took longer than the rest.
#[derive(Clone, Copy)]
pub(super) struct Exp {
    /// Arguments are clamped to this range, near whose ends f32 underflows and overflows.
    range: [f32; 2],
    log2_e: f32,
    /// `1.5 * 2^23`. Added to a float below `2^22` in magnitude, it rounds that to an integer,
    /// halves to even, and leaves it in the lowest bits of the sum.
    round: f32,
    /// `ln 2` in two parts. The first has 9 bits, so that its product with `k` is exact.
    ln_2: [f32; 2],
    one: f32,
    /// Coefficients of `p`, from the highest power down: about `1 / 6!`, `1 / 5!`, and so on.
    powers: [f32; 5],
}

impl Exp {
    /// Call it once, outside the loop over values.
    #[inline(always)]
    pub(super) fn new() -> Self {
        opaque(Self {
            range: [-87.0, 88.0],
            log2_e: std::f32::consts::LOG2_E,
            round: 12_582_912.0,
            ln_2: [0.693_359_4, -2.121_944_4e-4],
            one: 1.0,
            powers: [0.001_381_453_7, 0.008_368_745, 0.041_668_39, 0.166_665_21, 0.499_999_94],
        })
    }

    /// `e^x` within 2 units of the last place.
    ///
    /// It has no branches, so that the compiler can vectorize a loop over it.
    #[inline(always)]
    pub(super) fn of(self, x: f32) -> f32 {
        let [lowest, highest] = self.range;
        let x = if x < lowest { lowest } else { x };
        let x = if x > highest { highest } else { x };
        let rounded = x * self.log2_e + self.round;
        let k = rounded - self.round;
        let r = x - k * self.ln_2[0] - k * self.ln_2[1];
        let [first, rest @ ..] = self.powers;
        let p = rest.into_iter().fold(first, |sum, power| sum * r + power);
        let power = (p * r + self.one) * r + self.one;
        // The shift drops the bits of `round` above those of `k`.
        power * f32::from_bits((rounded.to_bits() << 23).wrapping_add(self.one.to_bits()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn exp_matches_double_precision() {
        for i in -870_000..=880_000 {
            let x = i as f32 * 1e-4;
            let expected = f64::from(x).exp();
            let got = Exp::new().of(x);
            let error = (f64::from(got) - expected).abs() / expected;
            assert!(error < 2.0 * f64::from(f32::EPSILON), "exp({x}) = {got}, not {expected}");
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        let exp = |x| Exp::new().of(x);
        assert_eq!([exp(f32::NEG_INFINITY), exp(-1e9), exp(0.0)], [exp(-87.0), exp(-87.0), 1.0]);
        assert_eq!([exp(89.0), exp(f32::INFINITY)], [exp(88.0); 2]);
        assert!(exp(f32::NAN).is_nan());
    }

    /// Every machine must compute this sum of bit patterns, natively and in the browser.
    #[test]
    fn the_bits_are_the_same_everywhere() {
        let bits = (-8_700..=8_800).map(|i| u64::from(Exp::new().of(i as f32 * 0.01).to_bits())).sum::<u64>();
        assert_eq!(bits, 18_742_231_946_924);
    }
}
