//! The block formats of one and two bits: codes 0, 1, 2 for -1, 0, +1 times the block's scale `d`
//! (f16).
//!
//! - `TQ1_0`, 256 weights in 54 bytes: codes as base-3 digits 0-47 (five to a byte) and 48-51 (four
//!   to a byte), `d` 52-53. Digit n of bytes m = 0..32 is weight 32 n + m; of the next 16 bytes,
//!   weight 160 + 16 n + m; of the last 4, weight 240 + 4 n + m. The first digit counts most. A
//!   byte is not the number v itself (below 3^5 = 243) but `ceil(256 v / 243)`, v / 243 in fixed
//!   point: multiplying it by 3 carries the next digit out of the byte.
//! - `TQ2_0`, 256 weights in 66 bytes: two-bit codes 0-63, `d` 64-65. Each half of the block (128
//!   weights) has 32 bytes; byte l holds weights l, 32 + l, 64 + l, 96 + l of the half, lowest bits
//!   first.
//! - `PTQ1_0`, 128 weights in 28 bytes: base-3 digits in the same way, 0-23 and 24-25, `d` 26-27.
//!   Digit n of bytes m = 0..16 is weight 16 n + m; of the next 8 bytes, weight 80 + 8 n + m; of
//!   the last 2, weight 120 + 2 n + m.
//! - `Q2_0`, 64 weights in 18 bytes: `d` 0-1, two-bit codes 2-17, byte j holding weights 4 j.. in
//!   order, lowest bits first. `PQ2_0` is the same with 128 weights in 34 bytes.
//! - `Q1_0`, 128 weights in 18 bytes: `d` 0-1, bits 2-17, bit i of byte j being weight 8 j + i: 0
//!   for -1, 1 for +1.
//!
//! Two bits can also hold code 3, the weight `+2 d`. It is decoded, and never written.
//!
//! Encoding follows ggml: `d = max|w|` and `round(w / d)`, which is exact for blocks that are
//! ternary already.

#![forbid(unsafe_code)]

use super::float::{f16_at, to_f16};
use super::q8::{absmax, reciprocal};
use half::f16;

/// The weights `scale * (code - 1)` of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Ternary {
    /// One code a weight, row after row: 0, 1, 2 for -1, 0, +1.
    pub codes: Vec<u8>,
    /// What the codes minus 1 are multiplied by; 0 only when every weight is zero.
    pub scale: f32,
}

/// Encodes a block by its largest magnitude, given how to pack codes and scale.
pub(super) fn encode<const B: usize, const L: usize>(
    weights: &[f32; L],
    pack: impl Fn(&[u8; L], f16) -> [u8; B],
) -> Option<[u8; B]> {
    let d = absmax(weights);
    let inverse = reciprocal(d);
    let codes = weights.map(|weight| ((weight * inverse).round().clamp(-1.0, 1.0) as i8 + 1) as u8);
    Some(pack(&codes, to_f16(d)?))
}

/// The runs of digit bytes in a block: first byte, bytes, digits in each.
type Runs = [(usize, usize, usize); 3];

const TQ1_0_RUNS: Runs = [(0, 32, 5), (32, 16, 5), (48, 4, 4)];
const PTQ1_0_RUNS: Runs = [(0, 16, 5), (16, 8, 5), (24, 2, 4)];

pub(super) fn unpack_tq1_0(block: &[u8; 54], codes: &mut [u8; 256]) -> f32 {
    unpack_digits(*block, TQ1_0_RUNS, codes);
    f16_at(block, 52)
}

pub(super) fn unpack_ptq1_0(block: &[u8; 28], codes: &mut [u8; 128]) -> f32 {
    unpack_digits(*block, PTQ1_0_RUNS, codes);
    f16_at(block, 26)
}

fn unpack_digits<const B: usize>(mut fractions: [u8; B], runs: Runs, codes: &mut [u8]) {
    let mut rest = codes;
    for (first, len, digits) in runs {
        let (run, after) = rest.split_at_mut(len * digits);
        for digit in run.chunks_exact_mut(len) {
            for (code, fraction) in digit.iter_mut().zip(&mut fractions[first..first + len]) {
                let tripled = u16::from(*fraction) * 3;
                *code = (tripled >> 8) as u8;
                *fraction = tripled as u8;
            }
        }
        rest = after;
    }
}

pub(super) fn pack_tq1_0(codes: &[u8; 256], d: f16) -> [u8; 54] {
    let mut block = [0; 54];
    let mut rest = &codes[..];
    for (first, len, digits) in TQ1_0_RUNS {
        let (run, after) = rest.split_at(len * digits);
        for (m, byte) in block[first..first + len].iter_mut().enumerate() {
            let number = (0..5).fold(0, |v, n| 3 * v + if n < digits { u16::from(run[n * len + m]) } else { 0 });
            *byte = (number * 256).div_ceil(243) as u8;
        }
        rest = after;
    }
    block[52..].copy_from_slice(&d.to_le_bytes());
    block
}

pub(super) fn unpack_tq2_0(block: &[u8; 66], codes: &mut [u8; 256]) -> f32 {
    for (i, codes) in codes.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for (code, byte) in codes.iter_mut().zip(&block[32 * (i / 4)..][..32]) {
            *code = byte >> (2 * (i % 4)) & 3;
        }
    }
    f16_at(block, 64)
}

pub(super) fn pack_tq2_0(codes: &[u8; 256], d: f16) -> [u8; 66] {
    let mut block = [0; 66];
    for (i, codes) in codes.as_chunks::<32>().0.iter().enumerate() {
        for (byte, code) in block[32 * (i / 4)..][..32].iter_mut().zip(codes) {
            *byte |= code << (2 * (i % 4));
        }
    }
    block[64..].copy_from_slice(&d.to_le_bytes());
    block
}

pub(super) fn unpack_q2_0(block: &[u8; 18], codes: &mut [u8; 64]) -> f32 {
    unpack_pairs(&block[2..], codes);
    f16_at(block, 0)
}

pub(super) fn unpack_pq2_0(block: &[u8; 34], codes: &mut [u8; 128]) -> f32 {
    unpack_pairs(&block[2..], codes);
    f16_at(block, 0)
}

fn unpack_pairs(bytes: &[u8], codes: &mut [u8]) {
    for (codes, byte) in codes.as_chunks_mut::<4>().0.iter_mut().zip(bytes) {
        // Each shift brings the next field to the bottom of the next byte.
        let byte = u32::from(*byte);
        *codes = ((byte | byte << 6 | byte << 12 | byte << 18) & 0x0303_0303).to_le_bytes();
    }
}

pub(super) fn unpack_q1_0(block: &[u8; 18], codes: &mut [u8; 128]) -> f32 {
    for (codes, byte) in codes.as_chunks_mut::<8>().0.iter_mut().zip(&block[2..]) {
        *codes = std::array::from_fn(|i| (byte >> i & 1) << 1);
    }
    f16_at(block, 0)
}

pub(super) fn pack_q2_0(codes: &[u8; 64], d: f16) -> [u8; 18] {
    let mut block = [0; 18];
    pack_pairs(codes, d, &mut block);
    block
}

pub(super) fn pack_pq2_0(codes: &[u8; 128], d: f16) -> [u8; 34] {
    let mut block = [0; 34];
    pack_pairs(codes, d, &mut block);
    block
}

fn pack_pairs(codes: &[u8], d: f16, block: &mut [u8]) {
    block[..2].copy_from_slice(&d.to_le_bytes());
    for (byte, codes) in block[2..].iter_mut().zip(codes.as_chunks::<4>().0) {
        *byte = codes[0] | codes[1] << 2 | codes[2] << 4 | codes[3] << 6;
    }
}
