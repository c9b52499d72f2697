//! Block formats as groups of integers: what the integer kernels want of them.

#![forbid(unsafe_code)]

use super::k_quants::{groups_q2_k, groups_q3_k, groups_q4_k, groups_q5_k, groups_q6_k};
use super::q4_q5::{groups_q4_0, groups_q4_1, groups_q5_0, groups_q5_1};
use super::q8::groups_q8_0;
use crate::gguf::GgmlType;

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

/// Calls `each` with the groups of whole blocks of type `ty`, in order.
///
/// # Panics
///
/// For a type that is not made of groups of integers: floats and the ternary types.
pub fn groups(ty: GgmlType, blocks: &[u8], mut each: impl FnMut(Groups<'_>)) {
    match ty {
        GgmlType::Q8_0 => of_blocks(blocks, |block| groups_q8_0(block, &mut each)),
        GgmlType::Q4_0 => of_blocks(blocks, |block| groups_q4_0(block, &mut each)),
        GgmlType::Q4_1 => of_blocks(blocks, |block| groups_q4_1(block, &mut each)),
        GgmlType::Q5_0 => of_blocks(blocks, |block| groups_q5_0(block, &mut each)),
        GgmlType::Q5_1 => of_blocks(blocks, |block| groups_q5_1(block, &mut each)),
        GgmlType::Q2K => of_blocks(blocks, |block| groups_q2_k(block, &mut each)),
        GgmlType::Q3K => of_blocks(blocks, |block| groups_q3_k(block, &mut each)),
        GgmlType::Q4K => of_blocks(blocks, |block| groups_q4_k(block, &mut each)),
        GgmlType::Q5K => of_blocks(blocks, |block| groups_q5_k(block, &mut each)),
        GgmlType::Q6K => of_blocks(blocks, |block| groups_q6_k(block, &mut each)),
        _ => panic!("type {ty} is not made of groups of integers"),
    }
}

fn of_blocks<const B: usize>(blocks: &[u8], each: impl FnMut(&[u8; B])) {
    blocks.as_chunks().0.iter().for_each(each);
}
