//! `Q8_0`: 32 weights in 34 bytes.
//!
//! Bytes 0-1: scale `d` (f16). Bytes 2-33: 32 signed bytes `q`. Weight j is `q[j] * d`.
//!
//! Encoding: `d = max|w| / 127` in f32, `q = round(w * (1 / d))` with ties away from zero, and only
//! then is `d` rounded to f16. The reciprocal is part of the format's reference: dividing instead
//! moves some codes.

#![forbid(unsafe_code)]

use super::float::{f16_at, to_f16};
use super::groups::Groups;

pub(super) fn decode_q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = f16_at(block, 0);
    for (out, &q) in out.iter_mut().zip(&block[2..]) {
        *out = f32::from(q.cast_signed()) * d;
    }
}

pub(super) fn groups_q8_0(block: &[u8; 34], mut each: impl FnMut(Groups<'_>)) {
    each(Groups { codes: bytemuck::cast_slice(&block[2..]), scale: f16_at(block, 0), min: 0.0 });
}

pub(super) fn encode_q8_0(weights: &[f32; 32]) -> Option<[u8; 34]> {
    let d = absmax(weights) / 127.0;
    let inverse = reciprocal(d);
    let mut block = [0; 34];
    block[..2].copy_from_slice(&to_f16(d)?.to_le_bytes());
    for (q, weight) in block[2..].iter_mut().zip(weights) {
        *q = ((weight * inverse).round() as i8).cast_unsigned();
    }
    Some(block)
}

/// The largest magnitude in a block.
pub(super) fn absmax(weights: &[f32]) -> f32 {
    weights.iter().fold(0.0, |max, weight| weight.abs().max(max))
}

/// `1 / d`, and 0 for the block of zeros.
pub(super) fn reciprocal(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}
