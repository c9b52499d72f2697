//! Root-mean-square normalization (arXiv:1910.07467).

#![forbid(unsafe_code)]

use crate::kernels::Kernels;

/// `x / sqrt(mean(x^2) + epsilon) * weight`.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a> {
    /// The learned weight of each value of a row.
    pub weight: &'a [f32],
    /// Avoids a division by zero.
    pub epsilon: f32,
}

impl Norm<'_> {
    /// Writes the normalized row `x`, as long as the weight, to `out`.
    pub(crate) fn apply(self, kernels: &dyn Kernels, x: &[f32], out: &mut [f32]) {
        let scale = self.scale(kernels, x);
        for ((out, x), weight) in out.iter_mut().zip(x).zip(self.weight) {
            *out = x * scale * weight;
        }
    }

    /// Normalizes a row in place.
    pub(crate) fn apply_in_place(self, kernels: &dyn Kernels, x: &mut [f32]) {
        let scale = self.scale(kernels, x);
        for (x, weight) in x.iter_mut().zip(self.weight) {
            *x = *x * scale * weight;
        }
    }

    fn scale(self, kernels: &dyn Kernels, x: &[f32]) -> f32 {
        1.0 / (kernels.dot_f32(x, x) / self.weight.len() as f32 + self.epsilon).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::scalar::Scalar;
    use crate::testing::test;

    #[test]
    fn normalizes_a_row() {
        let mut out = [0.0; 2];
        Norm { weight: &[1.0, 2.0], epsilon: 0.0 }.apply(&Scalar, &[3.0, 4.0], &mut out);
        let rms = 12.5f32.sqrt();
        assert_eq!(out, [3.0 / rms, 4.0 / rms * 2.0]);
        let mut zeros = [0.0; 2];
        Norm { weight: &[1.0, 2.0], epsilon: 1e-5 }.apply_in_place(&Scalar, &mut zeros);
        assert_eq!(zeros, [0.0; 2]);
        Norm { weight: &[1.0, 2.0], epsilon: 0.0 }.apply_in_place(&Scalar, &mut zeros);
        assert!(zeros.iter().all(|x| x.is_nan()), "without epsilon a zero row has no norm");
    }
}
