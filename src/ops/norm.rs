//! Root-mean-square normalisation (arXiv:1910.07467).

#![forbid(unsafe_code)]

use crate::kernels::Kernels;

/// `out = x / sqrt(mean(x^2) + epsilon) * gain`, for each row of `gain.len()` values.
pub fn rms_norm(kernels: &dyn Kernels, x: &[f32], gain: &[f32], epsilon: f32, out: &mut [f32]) {
    for (x, out) in x.chunks_exact(gain.len()).zip(out.chunks_exact_mut(gain.len())) {
        let mean = kernels.dot_f32(x, x) / gain.len() as f32;
        let scale = 1.0 / (mean + epsilon).sqrt();
        for ((out, x), gain) in out.iter_mut().zip(x).zip(gain) {
            *out = x * scale * gain;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::scalar::Scalar;

    #[test]
    fn normalises_each_row_by_itself() {
        let mut out = [0.0; 4];
        rms_norm(&Scalar, &[3.0, 4.0, 0.0, 0.0], &[1.0, 2.0], 0.0, &mut out);
        let rms = 12.5f32.sqrt();
        assert_eq!(out[..2], [3.0 / rms, 4.0 / rms * 2.0]);
        assert!(out[2..].iter().all(|x| x.is_nan()), "without epsilon a zero row has no norm");
        rms_norm(&Scalar, &[0.0; 4], &[1.0, 2.0], 1e-5, &mut out);
        assert_eq!(out, [0.0; 4]);
    }
}
