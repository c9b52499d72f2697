//! Block formats as groups of integers: what the integer kernels want of them.

#![forbid(unsafe_code)]

/// Consecutive weights `factor * code - min`, for `Q4_0` `factor * (code - 8)`.
pub struct Groups<'a> {
    /// One for each weight.
    pub codes: &'a [i8],
    /// The scale they share.
    pub scale: f32,
    /// What is subtracted from each; 0 in types without.
    pub min: f32,
}

impl Groups<'_> {
    /// The weights as f32. Not for `Q4_0`.
    pub(super) fn decode(&self, out: &mut [f32]) {
        for (out, &code) in out.iter_mut().zip(self.codes) {
            *out = self.scale * f32::from(code) - self.min;
        }
    }
}
