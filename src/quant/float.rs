//! Plain floats, one weight a block.
//!
//! - `F32`: 4 bytes, IEEE binary32.
//! - `F16`: 2 bytes, IEEE binary16: 1 sign bit, 5 exponent bits (bias 15), 10 fraction bits.
//! - `BF16`: 2 bytes, the upper half of an f32.
//!
//! Narrowing rounds to nearest, ties to even. A finite weight that would round to infinity is
//! refused.

#![forbid(unsafe_code)]

use half::{bf16, f16};

/// The f32 with the value of the f16 whose bits are `bits`.
///
/// An f16 shifted left by 13 has the fields of an f32 whose exponent is too small by 127 - 15 =
/// 112; multiplying by 2^112 mends that exactly, for subnormal numbers too. There is no branch and
/// no run-time choice of instructions, unlike in `half`, so loops over it vectorise.
pub(super) fn f16_to_f32(bits: u16) -> f32 {
    const TWO_POW_112: f32 = f32::from_bits((112 + 127) << 23);
    let magnitude = u32::from(bits & 0x7FFF);
    let scaled = (f32::from_bits(magnitude << 13) * TWO_POW_112).to_bits();
    let special = if magnitude >= 0x7C00 { 0x7F80_0000 } else { 0 };
    f32::from_bits(scaled | special | (u32::from(bits & 0x8000) << 16))
}

/// The f16 stored at byte `at` of a block.
pub(super) fn f16_at(block: &[u8], at: usize) -> f32 {
    f16_to_f32(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// The nearest f16, or `None` when that is infinite or NaN.
pub(super) fn to_f16(value: f32) -> Option<f16> {
    Some(f16::from_f32(value)).filter(|half| half.is_finite())
}

pub(super) fn decode_f32(block: &[u8; 4], out: &mut [f32; 1]) {
    *out = [f32::from_le_bytes(*block)];
}

pub(super) fn decode_f16(block: &[u8; 2], out: &mut [f32; 1]) {
    *out = [f16_to_f32(u16::from_le_bytes(*block))];
}

pub(super) fn decode_bf16(block: &[u8; 2], out: &mut [f32; 1]) {
    *out = [f32::from_bits(u32::from(u16::from_le_bytes(*block)) << 16)];
}

pub(super) fn encode_f32(weight: &[f32; 1]) -> Option<[u8; 4]> {
    Some(weight[0].to_le_bytes())
}

pub(super) fn encode_f16(weight: &[f32; 1]) -> Option<[u8; 2]> {
    to_f16(weight[0]).map(f16::to_le_bytes)
}

pub(super) fn encode_bf16(weight: &[f32; 1]) -> Option<[u8; 2]> {
    Some(bf16::from_f32(weight[0])).filter(|half| half.is_finite()).map(bf16::to_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn f16_to_f32_matches_half_for_every_pattern() {
        for bits in 0..=u16::MAX {
            let (ours, theirs) = (f16_to_f32(bits), f16::from_bits(bits).to_f32());
            if theirs.is_nan() {
                assert!(ours.is_nan(), "{bits:#06x}");
            } else {
                assert_eq!(ours.to_bits(), theirs.to_bits(), "{bits:#06x}");
            }
        }
    }
}
