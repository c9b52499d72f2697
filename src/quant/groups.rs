//! Block formats as groups of integers: what the integer kernels want of them.

#![forbid(unsafe_code)]

use super::float::f16_at;
use super::k_quants::{groups_q4_k, groups_q5_k, groups_q6_k};
use crate::gguf::GgmlType;

/// Consecutive weights `factor * code - min`, for `Q4_0` `factor * (code - 8)`.
pub struct Groups<'a> {
    /// One for each weight.
    pub codes: &'a [i8],
    /// The scale they share.
    pub factor: f32,
    /// What is subtracted from each; 0 in types without.
    pub min: f32,
}

impl Groups<'_> {
    /// The weights as f32. Not for `Q4_0`.
    pub(super) fn decode(&self, out: &mut [f32]) {
        for (out, &code) in out.iter_mut().zip(self.codes) {
            *out = self.factor * f32::from(code) - self.min;
        }
    }
}

/// Calls `each` with the groups of whole blocks of type `ty`, in order.
///
/// # Panics
///
/// For a type other than `Q8_0`, `Q4_0`, `Q4_K`, `Q5_K` and `Q6_K`.
pub fn groups(ty: GgmlType, blocks: &[u8], mut each: impl FnMut(Groups<'_>)) {
    match ty {
        GgmlType::Q8_0 => {
            for block in blocks.as_chunks::<34>().0 {
                each(Groups { codes: bytemuck::cast_slice(&block[2..]), factor: f16_at(block, 0), min: 0.0 });
            }
        }
        GgmlType::Q4_0 => {
            for block in blocks.as_chunks::<18>().0 {
                let codes: [i8; 32] = std::array::from_fn(|j| (block[2 + j % 16] >> (j / 16 * 4) & 15).cast_signed());
                each(Groups { codes: &codes, factor: f16_at(block, 0), min: 0.0 });
            }
        }
        GgmlType::Q4K => blocks.as_chunks().0.iter().for_each(|block| groups_q4_k(block, &mut each)),
        GgmlType::Q5K => blocks.as_chunks().0.iter().for_each(|block| groups_q5_k(block, &mut each)),
        GgmlType::Q6K => blocks.as_chunks().0.iter().for_each(|block| groups_q6_k(block, &mut each)),
        _ => panic!("type {ty} is not made of groups of integers"),
    }
}
