//! Root-mean-square normalisation (arXiv:1910.07467).

#![forbid(unsafe_code)]

use crate::kernels::Kernels;

/// `x / sqrt(mean(x^2) + epsilon) * gain`.
#[derive(Clone, Copy)]
pub struct Norm<'a> {
    /// A factor for each value of a row.
    pub gain: &'a [f32],
    /// Keeps a row of zeros from being divided by zero.
    pub epsilon: f32,
}

impl Norm<'_> {
    /// Writes the normalised `x`, a row as long as the gain, to `out`.
    pub fn apply(self, kernels: &dyn Kernels, x: &[f32], out: &mut [f32]) {
        let scale = self.scale(kernels, x);
        for ((out, x), gain) in out.iter_mut().zip(x).zip(self.gain) {
            *out = x * scale * gain;
        }
    }

    /// Normalises a row in place.
    pub fn apply_in_place(self, kernels: &dyn Kernels, x: &mut [f32]) {
        let scale = self.scale(kernels, x);
        for (x, gain) in x.iter_mut().zip(self.gain) {
            *x = *x * scale * gain;
        }
    }

    fn scale(self, kernels: &dyn Kernels, x: &[f32]) -> f32 {
        1.0 / (kernels.dot_f32(x, x) / self.gain.len() as f32 + self.epsilon).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::scalar::Scalar;

    #[test]
    fn normalises_a_row() {
        let mut out = [0.0; 2];
        Norm { gain: &[1.0, 2.0], epsilon: 0.0 }.apply(&Scalar, &[3.0, 4.0], &mut out);
        let rms = 12.5f32.sqrt();
        assert_eq!(out, [3.0 / rms, 4.0 / rms * 2.0]);
        let mut zeros = [0.0; 2];
        Norm { gain: &[1.0, 2.0], epsilon: 1e-5 }.apply_in_place(&Scalar, &mut zeros);
        assert_eq!(zeros, [0.0; 2]);
        Norm { gain: &[1.0, 2.0], epsilon: 0.0 }.apply_in_place(&Scalar, &mut zeros);
        assert!(zeros.iter().all(|x| x.is_nan()), "without epsilon a zero row has no norm");
    }
}
