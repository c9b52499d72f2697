//! The exponential function, to the same bits on every machine.
//!
//! The standard library's is the platform's own, and its last bit differs between a native build and a page: enough to turn
//! a near-tie, and with it a text, another way. This one is additions and multiplications only, whose rounding is fixed.
//!
//! `exp(x) = 2^k exp(r)` with `k = round(x / ln 2)`; `|r| <= ln(2) / 2`, where the Taylor polynomial of degree 7 is exact to
//! `r^8 / 8! < 6e-9`, a tenth of the rounding error of f32.

#![forbid(unsafe_code)]

/// `ln 2` in two parts: `k` times the first, of 9 bits, is exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// `1 / n!`, from the highest power down.
const TAYLOR: [f32; 8] = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];

/// Added to a float below `2^22` in magnitude, rounds it to an integer, halves to even, which is then in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// `e^x` within 2 units of the last place; 0 below -87 and infinite above 88, just before f32 itself ends.
///
/// Without a branch, so that the compiler can work on several values at a time.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let k = rounded - ROUND;
    let r = x - k * LN_2[0] - k * LN_2[1];
    let [first, rest @ ..] = TAYLOR;
    let power = rest.into_iter().fold(first, |sum, coefficient| sum * r + coefficient);
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    let result = power * f32::from_bits(exponent << 23);
    let result = if x < -87.0 { 0.0 } else { result };
    if x > 88.0 { f32::INFINITY } else { result }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
    #[test]
    fn exp_matches_double_precision() {
        for i in -870_000..=880_000 {
            let x = i as f32 * 1e-4;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 2.0 * f64::from(f32::EPSILON), "exp({x}) = {}, not {expected}", exp(x));
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        assert_eq!([exp(f32::NEG_INFINITY), exp(-1e9), exp(0.0)], [0.0, 0.0, 1.0]);
        assert_eq!([exp(89.0), exp(f32::INFINITY)], [f32::INFINITY; 2]);
        assert!(exp(f32::NAN).is_nan());
    }

    /// Every machine must find this sum of bit patterns, natively and in the browser.
    #[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
    #[test]
    fn the_bits_are_the_same_everywhere() {
        let bits = (-8_700..=8_800).map(|i| u64::from(exp(i as f32 * 0.01).to_bits())).sum::<u64>();
        assert_eq!(bits, 18_742_231_946_743);
    }
}
