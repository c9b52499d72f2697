//! Findings about the weights of ternary layers.
//!
//! A layer that was ternarized as BitNet does has one scale, some tenths of the largest weight or
//! less, and 20 to 50% zeros (31% when its weights were normally distributed). Other models are
//! trained with a scale for every 64, 128 or 256 weights of a row: their scales differ, and their
//! share of zeros is the same. The usual mistakes leave traces:
//!
//! - Each block rounded by its own largest magnitude, which is what quantizing raw weights to
//!   TQ1_0, TQ2_0 or Q2_0 does: the scales of blocks differ, and 75 to 90% of the weights are zero;
//!   or they differ in an architecture that is trained with one scale.
//! - The sign taken instead: hardly any zeros.
//! - The codes taken for the weights: the scale is 1. Ternarized again, mean|q| of codes q is 1
//!   minus the share of zeros: the scale is that.
//! - `weight_scale` divided by instead of multiplied with, or the other way round: the scale is
//!   beyond what training gives.

#![forbid(unsafe_code)]

use super::{Finding, add};
use crate::model::Architecture;
use crate::quant::TernaryStats;

/// Scales that trained weights have.
const PLAUSIBLE_SCALES: std::ops::RangeInclusive<f32> = 1e-4..=3.0;

/// Shares of zeros that are not worth a word.
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
    /// Whether the architecture is trained with one scale for each matrix.
    one_scale: bool,
    found: Vec<Finding>,
    /// Layers whose scale is one of the two below, and all with one scale. One alone may be chance.
    ones: Vec<String>,
    collapsed: Vec<String>,
    uniform: usize,
}

impl TernaryLayers {
    /// For layers with one scale each, as the converter makes them.
    pub(crate) fn with_one_scale() -> Self {
        Self { one_scale: true, ..Self::default() }
    }

    /// For the layers of a model of this architecture.
    pub(crate) fn of(architecture: &str) -> Self {
        let one_scale = Architecture::find(architecture).is_ok_and(|architecture| architecture.sub_norms);
        Self { one_scale, ..Self::default() }
    }

    /// Looks at the layer `tensor`, whose scales are those of its weights and of its output
    /// together.
    pub(crate) fn look(&mut self, tensor: &str, census: &TernaryStats) {
        if let Some(finding) = by_codes(census, self.one_scale) {
            add(&mut self.found, finding.about(tensor));
            return;
        }
        if census.is_grouped() {
            return;
        }
        let (share, scale) = (census.zero_share(), census.scale());
        if let Some(finding) = by_zeros(share) {
            add(&mut self.found, finding.about(tensor));
        }
        let Some(scale) = scale else { return };
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

fn by_codes(census: &TernaryStats, one_scale: bool) -> Option<Finding> {
    let TernaryStats { weights, zeros, unused, scales } = *census;
    let percent = 100.0 * census.zero_share();
    if unused > 0 && !census.is_grouped() {
        let message = format!("{unused} of {weights} weights have code 3, which no ternary weight has");
        let remedy = "an I2_S tensor is damaged or in a layout other than that of x86 builds; a tensor of another type was not \
                      ternary when it was made. Either way, convert the original checkpoint with webtern";
        return Some(Finding::problem("unused-code", message).remedy(remedy));
    }
    let Some((least, most)) = scales.filter(|_| zeros < weights) else {
        let message = "every weight is 0: the layer computes nothing";
        return Some(Finding::problem("all-zero", message).remedy(CONVERT_AGAIN));
    };
    if !census.is_grouped() {
        return None;
    }
    if one_scale || census.zero_share() > TernaryStats::RAW_ZEROS {
        let usual = if one_scale { "this architecture is trained with one" } else { "training leaves 30 to 50% zeros" };
        let message = format!(
            "its blocks have scales from {least} to {most}, and {percent:.0}% of its weights are 0, while {usual}: it was likely \
             quantized from weights that had not been ternarized, and its output is noise"
        );
        let remedy = "the type is not to blame, be it TQ1_0, TQ2_0 or Q2_0: webtern convert ternarizes first, with one scale for the \
                      tensor";
        return Some(Finding::problem("raw-weights", message).remedy(remedy));
    }
    (unused > 0).then(|| {
        let message = format!(
            "{unused} of {weights} weights are +2 times the scale of their block: the layer is of two bits, not ternary; \
             webtern runs it as it is"
        );
        Finding::note("two-bit-weights", message)
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
            layers.look("a", &wrong);
            layers.look("b", &wrong);
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
    fn scales_of_groups_are_normal_unless_the_weights_were_raw() {
        let codes = |architecture: &str, census: TernaryStats| {
            let mut layers = TernaryLayers::of(architecture);
            layers.look("a", &census);
            layers.look("b", &census);
            layers.finish().iter().map(|finding| (finding.code, finding.tensors.len())).collect::<Vec<_>>()
        };
        let grouped = census(380, 0, Some((0.01, 0.2)));
        assert_eq!(codes("qwen3", grouped), []);
        assert_eq!(codes("bitnet-b1.58", grouped), [("raw-weights", 2)]);
        assert_eq!(codes("qwen3", census(760, 0, Some((0.01, 0.2)))), [("raw-weights", 2)]);
        assert_eq!(codes("llama", census(380, 5, Some((0.01, 0.2)))), [("two-bit-weights", 2)]);
    }

    #[test]
    fn a_scale_by_chance_is_no_finding() {
        let mut layers = TernaryLayers::default();
        layers.look("chance", &census(310, 0, Some((0.69, 0.69))));
        layers.look("one", &census(310, 0, Some((1.0, 1.0))));
        layers.look("usual", &census(310, 0, Some((0.05, 0.05))));
        layers.look("usual too", &census(310, 0, Some((0.06, 0.06))));
        assert_eq!(layers.finish(), []);
    }
}
