//! The exponential function, to the same bits on every machine.
//!
//! The standard library's is the platform's own, and its last bit differs between a native build and a page: enough to turn
//! a near-tie, and with it a text, another way. This one is additions and multiplications only, whose rounding is fixed.
//!
//! `exp(x) = 2^k exp(r)` with `k = round(x / ln 2)`, so that `|r| <= ln(2) / 2`, where `1 + r + r^2 p(r)` with the minimax polynomial `p`
//! of degree 4 is off by 3.1e-9 at most, a twentieth of the rounding error of f32.

#![forbid(unsafe_code)]

use std::hint::black_box;

/// What [`Exp::of`] computes with. In variables, because V8 makes constants anew in every iteration of a loop, which took longer than the
/// rest.
#[derive(Clone, Copy)]
pub(super) struct Exp {
    /// Arguments beyond these count as these: just before f32 itself ends.
    range: [f32; 2],
    log2_e: f32,
    /// Added to a float below `2^22` in magnitude, rounds it to an integer, halves to even, which is then in the lowest bits.
    round: f32,
    /// `ln 2` in two parts: `k` times the first, of 9 bits, is exact.
    ln_2: [f32; 2],
    one: f32,
    /// Coefficients of `p`, from the highest power down: `1 / 6!`, `1 / 5!` and so on, and what makes up for the powers that are not there.
    powers: [f32; 5],
}

impl Exp {
    /// To be made once for many values.
    #[inline(always)]
    pub(super) fn new() -> Self {
        black_box(Self {
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
    /// Without a branch, so that the compiler can work on several values at a time.
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
        // The bits of `round` above `k`'s are shifted out.
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

    /// Every machine must find this sum of bit patterns, natively and in the browser.
    #[test]
    fn the_bits_are_the_same_everywhere() {
        let bits = (-8_700..=8_800).map(|i| u64::from(Exp::new().of(i as f32 * 0.01).to_bits())).sum::<u64>();
        assert_eq!(bits, 18_742_231_946_924);
    }
}
