//! The legacy 4- and 5-bit formats: 32 weights a block.
//!
//! | type   | bytes | 0-1     | then                                     | weight         |
//! |--------|-------|---------|------------------------------------------|----------------|
//! | `Q4_0` | 18    | d (f16) | nibbles 2-17                             | `d * (q - 8)`  |
//! | `Q4_1` | 20    | d (f16) | m (f16) 2-3, nibbles 4-19                | `d * q + m`    |
//! | `Q5_0` | 22    | d (f16) | high bits 2-5, nibbles 6-21              | `d * (q - 16)` |
//! | `Q5_1` | 24    | d (f16) | m (f16) 2-3, high bits 4-7, nibbles 8-23 | `d * q + m`    |
//!
//! Of the 16 nibble bytes, byte j has weight j in its low half and weight j + 16 in its high half.
//! Bit j of the little-endian u32 of high bits is bit 4 of weight j.

#![forbid(unsafe_code)]

use super::float::{f16_at, to_f16};
use super::groups::Groups;
use super::q8::reciprocal;

pub(super) fn decode_q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = f16_at(block, 0);
    for (out, code) in out.iter_mut().zip(nibbles(&block[2..])) {
        *out = d * (f32::from(code) - 8.0);
    }
}

/// The codes are not lowered by 8: they fit 4 bits.
pub(super) fn groups_q4_0(block: &[u8; 18], mut each: impl FnMut(Groups<'_>)) {
    each(Groups { codes: &nibbles(&block[2..]), scale: f16_at(block, 0), min: 0.0 });
}

pub(super) fn groups_q4_1(block: &[u8; 20], mut each: impl FnMut(Groups<'_>)) {
    each(Groups { codes: &nibbles(&block[4..]), scale: f16_at(block, 0), min: -f16_at(block, 2) });
}

pub(super) fn groups_q5_0(block: &[u8; 22], mut each: impl FnMut(Groups<'_>)) {
    let codes = with_high_bits(nibbles(&block[6..]), &block[2..]).map(|code| code - 16);
    each(Groups { codes: &codes, scale: f16_at(block, 0), min: 0.0 });
}

pub(super) fn groups_q5_1(block: &[u8; 24], mut each: impl FnMut(Groups<'_>)) {
    let codes = with_high_bits(nibbles(&block[8..]), &block[4..]);
    each(Groups { codes: &codes, scale: f16_at(block, 0), min: -f16_at(block, 2) });
}

/// The codes in the first 16 bytes.
pub(super) fn nibbles(bytes: &[u8]) -> [i8; 32] {
    let mut codes = [0; 32];
    let (low, high) = codes.split_at_mut(16);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
        (*low, *high) = ((byte & 15).cast_signed(), (byte >> 4).cast_signed());
    }
    codes
}

/// Codes with the bits of the first four bytes on top.
fn with_high_bits(codes: [i8; 32], bytes: &[u8]) -> [i8; 32] {
    std::array::from_fn(|j| codes[j] | (bytes[j / 8] >> (j % 8) & 1).cast_signed() << 4)
}

/// `d` is an eighth of the weight of largest magnitude (the first such), negated, so that this
/// weight gets code 0, the only code for -8: its own sign is exact, the opposite extreme is cut to
/// code 15.
pub(super) fn encode_q4_0(weights: &[f32; 32]) -> Option<[u8; 18]> {
    let extreme = weights.iter().fold(weights[0], |max, &weight| if weight.abs() > max.abs() { weight } else { max });
    let d = extreme / -8.0;
    let inverse = reciprocal(d);
    let code = |weight: f32| ((weight * inverse + 8.5) as u8).min(15);
    let mut block = [0; 18];
    block[..2].copy_from_slice(&to_f16(d)?.to_le_bytes());
    for (j, byte) in block[2..].iter_mut().enumerate() {
        *byte = code(weights[j]) | code(weights[j + 16]) << 4;
    }
    Some(block)
}
