//! The K-quants: 256 weights a block, in sub-blocks with scales of their own. Read only.
//!
//! `d` and `dmin` are f16. A sub-block has a small integer scale `s` and, in some types, a minimum
//! `m`; with code `q` a weight is `(d * s) * q - dmin * m`, or `(d * s) * (q - offset)`.
//!
//! | type   | bytes | sub-blocks | layout                                                        | weight             |
//! |--------|-------|------------|---------------------------------------------------------------|--------------------|
//! | `Q2_K` | 84    | 16 of 16   | scales 0-15, codes 16-79, d 80, dmin 82                       | `d s q - dmin m`   |
//! | `Q3_K` | 110   | 16 of 16   | high bits 0-31, codes 32-95, scales 96-107, d 108             | `d (s-32) (q - 4)` |
//! | `Q4_K` | 144   | 8 of 32    | d 0, dmin 2, scales 4-15, codes 16-143                        | `d s q - dmin m`   |
//! | `Q5_K` | 176   | 8 of 32    | d 0, dmin 2, scales 4-15, high bits 16-47, codes 48-175       | `d s q - dmin m`   |
//! | `Q6_K` | 210   | 16 of 16   | low bits 0-127, high bits 128-191, scales (i8) 192-207, d 208 | `d s (q - 32)`     |
//!
//! **Codes.** Fields of a byte belong to weights far apart, the lowest field first. Two-bit codes:
//! each half of the block (128 weights) has 32 bytes, byte l holding weights l, 32 + l, 64 + l and
//! 96 + l of the half. Four-bit codes: each quarter (64 weights) has 32 bytes, byte l holding
//! weights l and 32 + l; in `Q6_K` each half has 64 bytes, byte l holding weights l and 64 + l.
//!
//! **High bits.** One a weight (`Q3_K`, `Q5_K`): 32 bytes, bit i of byte l belongs to weight 32 i +
//! l. `Q3_K` has 3-bit codes this way. Two a weight (`Q6_K`): as two-bit codes.
//!
//! **Scales.** `Q2_K`: byte i is `s` (low nibble) and `m` (high nibble) of sub-block i. `Q3_K`, 6
//! bits: byte i of the first 8 has the low nibbles of sub-blocks i and i + 8; byte i of the last 4
//! has the upper two bits of sub-blocks i, i + 4, i + 8, i + 12. `Q4_K` and `Q5_K`, 6 bits: the low
//! 6 bits of the first four bytes are `s` of sub-blocks 0-3, of the next four `m` of these; the
//! last four have the low nibbles of `s` and (high nibble) `m` of sub-blocks 4-7, whose upper two
//! bits top the first eight bytes.

#![forbid(unsafe_code)]

use super::float::f16_at;
use super::groups::Groups;

pub(super) fn groups_q2_k(block: &[u8; 84], mut each: impl FnMut(Groups<'_>)) {
    let (d, dmin) = (f16_at(block, 80), f16_at(block, 82));
    for (i, scales) in block[..16].iter().enumerate() {
        let (at, shift) = two_bits(i);
        let bytes = &block[16 + at..][..16];
        let codes: [i8; 16] = std::array::from_fn(|l| (bytes[l] >> shift & 3).cast_signed());
        each(Groups { codes: &codes, scale: d * f32::from(scales & 15), min: dmin * f32::from(scales >> 4) });
    }
}

pub(super) fn groups_q3_k(block: &[u8; 110], mut each: impl FnMut(Groups<'_>)) {
    let d = f16_at(block, 108);
    let (high, codes, scales) = (&block[..32], &block[32..96], &block[96..108]);
    for i in 0..16 {
        let scale = scales[i % 8] >> (4 * (i / 8)) & 15 | (scales[8 + i % 4] >> (2 * (i / 4)) & 3) << 4;
        let (at, shift) = two_bits(i);
        let (bytes, high) = (&codes[at..at + 16], &high[16 * (i % 2)..][..16]);
        let code = |l: usize| bytes[l] >> shift & 3 | (high[l] >> (i / 2) & 1) << 2;
        let codes: [i8; 16] = std::array::from_fn(|l| code(l).cast_signed() - 4);
        each(Groups { codes: &codes, scale: d * (f32::from(scale) - 32.0), min: 0.0 });
    }
}

pub(super) fn groups_q4_k(block: &[u8; 144], mut each: impl FnMut(Groups<'_>)) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    let (scales, codes) = (&block[4..16], &block[16..]);
    for i in 0..8 {
        let (scale, min) = scale_and_min(scales, i);
        let bytes = &codes[32 * (i / 2)..][..32];
        let codes: [i8; 32] = std::array::from_fn(|l| (bytes[l] >> (4 * (i % 2)) & 15).cast_signed());
        each(Groups { codes: &codes, scale: d * scale, min: dmin * min });
    }
}

pub(super) fn groups_q5_k(block: &[u8; 176], mut each: impl FnMut(Groups<'_>)) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    let (scales, high, codes) = (&block[4..16], &block[16..48], &block[48..]);
    for i in 0..8 {
        let (scale, min) = scale_and_min(scales, i);
        let bytes = &codes[32 * (i / 2)..][..32];
        let code = |l: usize| bytes[l] >> (4 * (i % 2)) & 15 | (high[l] >> i & 1) << 4;
        let codes: [i8; 32] = std::array::from_fn(|l| code(l).cast_signed());
        each(Groups { codes: &codes, scale: d * scale, min: dmin * min });
    }
}

pub(super) fn groups_q6_k(block: &[u8; 210], mut each: impl FnMut(Groups<'_>)) {
    let d = f16_at(block, 208);
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    for (i, scale) in scales.iter().enumerate() {
        let (half, part) = (i / 8, i % 8);
        let low = &low[64 * half + 16 * (part % 4)..][..16];
        let (at, shift) = two_bits(i);
        let high = &high[at..at + 16];
        let code = |l: usize| low[l] >> (4 * (part / 4)) & 15 | (high[l] >> shift & 3) << 4;
        let codes: [i8; 16] = std::array::from_fn(|l| code(l).cast_signed() - 32);
        each(Groups { codes: &codes, scale: d * f32::from(scale.cast_signed()), min: 0.0 });
    }
}

/// Where the two-bit fields of weights 16 i.. of a block are: first byte and shift.
fn two_bits(i: usize) -> (usize, usize) {
    (32 * (i / 8) + 16 * (i % 2), 2 * (i % 8 / 2))
}

/// The 6-bit scale and minimum of sub-block `i` of `Q4_K` and `Q5_K`.
fn scale_and_min(scales: &[u8], i: usize) -> (f32, f32) {
    let (scale, min) = if i < 4 {
        (scales[i] & 63, scales[i + 4] & 63)
    } else {
        (scales[i + 4] & 15 | scales[i - 4] >> 6 << 4, scales[i + 4] >> 4 | scales[i] >> 6 << 4)
    };
    (f32::from(scale), f32::from(min))
}
