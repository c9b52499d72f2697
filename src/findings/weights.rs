//! Findings about the weights of ternary layers.
//!
//! A layer that was ternarized as BitNet does has one scale, some tenths of the largest weight or
//! less, and 20 to 50% zeros (31% when its weights were normally distributed). The usual mistakes
//! leave traces:
//!
//! - Each block rounded by its own largest magnitude, which is what quantizing raw weights to
//!   TQ1_0, TQ2_0 or Q2_0 does: the scales of blocks differ.
//! - The sign taken instead: hardly any zeros.
//! - The codes taken for the weights: the scale is 1. Ternarized again, mean|q| of codes q is 1
//!   minus the share of zeros: the scale is that.
//! - `weight_scale` divided by instead of multiplied with, or the other way round: the scale is
//!   beyond what training gives.

#![forbid(unsafe_code)]

use super::{Finding, add};
use crate::quant::TernaryStats;

/// Scales that trained weights have.
const PLAUSIBLE_SCALES: std::ops::RangeInclusive<f32> = 1e-4..=3.0;

/// WorkRanges of zeros that are not worth a word.
const PLAUSIBLE_ZEROS: std::ops::RangeInclusive<f64> = 0.1..=0.75;

/// Below this share of zeros there are none to speak of.
const NO_ZEROS: f64 = 0.01;

/// How near the scale has to be to 1 minus the share of zeros, relatively: the rounding of f16.
const SAME: f64 = 5e-4;

/// What to do about weights that cannot be mended.
const CONVERT_AGAIN: &str = "this cannot be mended afterwards: convert the checkpoint that training wrote with webtern, and compare the two with \
                             webtern verify";

/// Looks at one ternary layer after the other.
#[derive(Debug, Default)]
pub(crate) struct TernaryLayers {
    found: Vec<Finding>,
    /// Layers whose scale is one of the two below, and all with one scale. One alone may be chance.
    ones: Vec<String>,
    collapsed: Vec<String>,
    uniform: usize,
}

impl TernaryLayers {
    /// Looks at the layer `tensor`. `scaled`: its output is multiplied by a scale of its own, so
    /// the scale here may be anything.
    pub(crate) fn look(&mut self, tensor: &str, census: &TernaryStats, scaled: bool) {
        if let Some(finding) = by_codes(census) {
            add(&mut self.found, finding.about(tensor));
            return;
        }
        let (share, scale) = (census.zero_share(), census.scale());
        if let Some(finding) = by_zeros(share) {
            add(&mut self.found, finding.about(tensor));
        }
        let Some(scale) = scale.filter(|_| !scaled) else { return };
        self.uniform += 1;
        if scale == 1.0 {
            self.ones.push(tensor.to_owned());
        } else if (f64::from(scale) / (1.0 - share) - 1.0).abs() < SAME {
            self.collapsed.push(tensor.to_owned());
        } else if !PLAUSIBLE_SCALES.contains(&scale) {
            add(&mut self.found, implausible_scale(scale).about(tensor));
        }
    }

    /// All that was found.
    pub(crate) fn finish(mut self) -> Vec<Finding> {
        let most = |tensors: &[String]| 2 * tensors.len() > self.uniform;
        if most(&self.ones) {
            let message = "the scale is 1: these are the codes -1, 0 and 1 themselves, and the scale that belongs to them is lost";
            let finding = Finding { tensors: self.ones, ..Finding::warning("lost-scale", message) };
            add(&mut self.found, finding.remedy(CONVERT_AGAIN));
        } else if most(&self.collapsed) {
            let message = "the scale is just what ternarizing codes -1, 0 and 1 gives, 1 minus the share of zeros: the weights were \
                           ternarized twice, and their own scale is lost";
            let finding = Finding { tensors: self.collapsed, ..Finding::warning("collapsed-scale", message) };
            add(&mut self.found, finding.remedy(CONVERT_AGAIN));
        }
        self.found
    }
}

fn by_codes(census: &TernaryStats) -> Option<Finding> {
    let TernaryStats { weights, zeros, unused, scales } = *census;
    if unused > 0 {
        let message = format!("{unused} of {weights} weights have code 3, which no ternary weight has");
        let remedy = "an I2_S tensor is damaged or in a layout other than that of x86 builds; a tensor of another type was not \
                      ternary when it was made. Either way, convert the original checkpoint with webtern";
        return Some(Finding::problem("unused-code", message).remedy(remedy));
    }
    let Some((least, most)) = scales.filter(|_| zeros < weights) else {
        let message = "every weight is 0: the layer computes nothing";
        return Some(Finding::problem("all-zero", message).remedy(CONVERT_AGAIN));
    };
    (least != most).then(|| {
        let message = format!(
            "its blocks have scales from {least} to {most}, where a ternary layer has one: it was quantized from weights that had not \
             been ternarized, and its output is noise"
        );
        let remedy = "the type is not to blame, be it TQ1_0, TQ2_0 or Q2_0: webtern convert ternarizes first, with one scale for the \
                      tensor";
        Finding::problem("raw-weights", message).remedy(remedy)
    })
}

fn by_zeros(share: f64) -> Option<Finding> {
    let percent = 100.0 * share;
    if share < NO_ZEROS {
        let message = format!(
            "{percent:.1}% of the weights are 0, where ternarizing leaves 20 to 50%: the signs of raw weights were taken, as bitnet.cpp's \
             quantizer does"
        );
        return Some(Finding::warning("no-zeros", message).remedy(CONVERT_AGAIN));
    }
    (!PLAUSIBLE_ZEROS.contains(&share)).then(|| {
        let message = format!("{percent:.1}% of the weights are 0, where ternarizing leaves 20 to 50%");
        Finding::warning("implausible-zeros", message).remedy(CONVERT_AGAIN)
    })
}

fn implausible_scale(scale: f32) -> Finding {
    let (least, most) = (PLAUSIBLE_SCALES.start(), PLAUSIBLE_SCALES.end());
    let message = format!("the scale is {scale}, while trained weights have scales from {least} to {most}");
    let finding = Finding::warning("implausible-scale", message);
    if PLAUSIBLE_SCALES.contains(&(1.0 / scale)) {
        finding.remedy(
            "its inverse would not be unusual: linear_class in the checkpoint's config.json may be wrong (autobitlinear multiplies by \
             weight_scale, bitlinear divides); correct it and convert again",
        )
    } else {
        finding.remedy(CONVERT_AGAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    fn census(zeros: u64, unused: u64, scales: Option<(f32, f32)>) -> TernaryStats {
        TernaryStats { weights: 1000, zeros, unused, scales }
    }

    #[test]
    fn each_mistake_has_its_name() {
        let normal = census(310, 0, Some((0.05, 0.05)));
        for (wrong, codes) in [
            (normal, &[][..]),
            (census(310, 3, Some((0.05, 0.05))), &["unused-code"]),
            (census(1000, 0, None), &["all-zero"]),
            (census(1000, 0, Some((0.05, 0.05))), &["all-zero"]),
            (census(870, 0, Some((0.01, 0.2))), &["raw-weights"]),
            (census(0, 0, Some((0.3, 0.3))), &["no-zeros"]),
            (census(900, 0, Some((0.05, 0.05))), &["implausible-zeros"]),
            (census(310, 0, Some((1.0, 1.0))), &["lost-scale"]),
            (census(310, 0, Some((0.69, 0.69))), &["collapsed-scale"]),
            (census(310, 0, Some((40.0, 40.0))), &["implausible-scale"]),
            (census(310, 0, Some((-0.05, -0.05))), &["implausible-scale"]),
            (census(0, 0, Some((30.0, 30.0))), &["no-zeros", "implausible-scale"]),
        ] {
            let mut layers = TernaryLayers::default();
            layers.look("a", &wrong, false);
            layers.look("b", &wrong, false);
            let found = layers.finish();
            assert_eq!(found.iter().map(|finding| finding.code).collect::<Vec<_>>(), codes, "{wrong:?}");
            assert!(found.iter().all(|finding| finding.tensors == ["a", "b"] && finding.remedy.is_some()), "{found:?}");
        }
        let inverse = implausible_scale(40.0);
        assert!(
            inverse.remedy.unwrap().contains("linear_class")
                && !implausible_scale(1e9).remedy.unwrap().contains("linear_class")
        );
    }

    #[test]
    fn a_scale_by_chance_or_beside_the_tensor_is_no_finding() {
        let mut layers = TernaryLayers::default();
        layers.look("chance", &census(310, 0, Some((0.69, 0.69))), false);
        layers.look("one", &census(310, 0, Some((1.0, 1.0))), false);
        layers.look("usual", &census(310, 0, Some((0.05, 0.05))), false);
        layers.look("usual too", &census(310, 0, Some((0.06, 0.06))), false);
        layers.look("beside", &census(310, 0, Some((1.0, 1.0))), true);
        assert_eq!(layers.finish(), []);
    }
}
