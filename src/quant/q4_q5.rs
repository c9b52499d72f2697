//! The legacy 4- and 5-bit formats: 32 weights a block.
//!
//! | type   | bytes | 0-1     | then                                     | weight         |
//! |--------|-------|---------|------------------------------------------|----------------|
//! | `Q4_0` | 18    | d (f16) | nibbles 2-17                             | `d * (q - 8)`  |
//! | `Q4_1` | 20    | d (f16) | m (f16) 2-3, nibbles 4-19                | `d * q + m`    |
//! | `Q5_0` | 22    | d (f16) | high bits 2-5, nibbles 6-21              | `d * (q - 16)` |
//! | `Q5_1` | 24    | d (f16) | m (f16) 2-3, high bits 4-7, nibbles 8-23 | `d * q + m`    |
//!
//! Of the 16 nibble bytes, byte j has weight j in its low half and weight j + 16 in its high half. Bit j of the
//! little-endian u32 of high bits is bit 4 of weight j.

#![forbid(unsafe_code)]

use super::float::{f16_at, to_f16};
use super::q8::reciprocal;

pub(super) fn decode_q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = f16_at(block, 0);
    decode(&block[2..], 0, out, |q| d * (q - 8.0));
}

pub(super) fn decode_q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, m) = (f16_at(block, 0), f16_at(block, 2));
    decode(&block[4..], 0, out, |q| d * q + m);
}

pub(super) fn decode_q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let d = f16_at(block, 0);
    let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    decode(&block[6..], high, out, |q| d * (q - 16.0));
}

pub(super) fn decode_q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, m) = (f16_at(block, 0), f16_at(block, 2));
    let high = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    decode(&block[8..], high, out, |q| d * q + m);
}

/// Weights from 16 bytes of nibbles and 32 high bits; `weight` maps a code to its value.
#[inline(always)]
fn decode(nibbles: &[u8], high: u32, out: &mut [f32; 32], weight: impl Fn(f32) -> f32) {
    let (low_half, high_half) = out.split_at_mut(16);
    for (j, &byte) in nibbles.iter().enumerate().take(16) {
        let bit = |weight: usize| ((high >> weight) as u8 & 1) << 4;
        low_half[j] = weight(f32::from(byte & 15 | bit(j)));
        high_half[j] = weight(f32::from(byte >> 4 | bit(j + 16)));
    }
}

/// `d` is an eighth of the weight of largest magnitude (the first such), negated, so that this weight gets code 0, the
/// only code for -8: its own sign is exact, the opposite extreme is cut to code 15.
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
