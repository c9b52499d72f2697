//! The IQ types: codes that stand for points of a lattice (`IQ1` to `IQ3`) or for values of a list
//! (`IQ4`). Read only.
//!
//! | type      | bytes | groups   | layout                                                                          |
//! |-----------|-------|----------|---------------------------------------------------------------------------------|
//! | `IQ1_S`   | 50    | 8 of 32  | d 0, low bits of points 2-33, a u16 for each group 34-49                         |
//! | `IQ1_M`   | 56    | 16 of 16 | low bits of points 0-31, nibbles 32-47, four u16 of scales 48-55                 |
//! | `IQ2_XXS` | 66    | 8 of 32  | d 0, then for each group 4 points and a u32 of signs and scale                   |
//! | `IQ2_XS`  | 74    | 16 of 16 | d 0, u16 of point and signs 2-65, scales 66-73                                   |
//! | `IQ2_S`   | 82    | 16 of 16 | d 0, low bits of points 2-33, signs 34-65, high bits 66-73, scales 74-81         |
//! | `IQ3_XXS` | 98    | 8 of 32  | d 0, points 2-65, a u32 of signs and scale for each group 66-97                  |
//! | `IQ3_S`   | 110   | 8 of 32  | d 0, low bits of points 2-65, high bits 66-73, signs 74-105, scales 106-109      |
//! | `IQ4_NL`  | 18    | 1 of 32  | d 0, nibbles 2-17                                                               |
//! | `IQ4_XS`  | 136   | 8 of 32  | d 0, high bits of scales 2-3, low bits 4-7, nibbles 8-135                        |
//!
//! **Points.** A point is 8 weights (4 in `IQ3`), one of a list of 256 to 2048 that `grids/` holds:
//! 2 (4) bits a weight, an index into the magnitudes that the type has. **Signs.** A bit for each
//! weight, 1 for negative; seven bits where the eighth is their parity. `IQ1` has no signs but an
//! offset: its weights are `scale * (x +- 1/8)` for a point's x of -1, 0, 1, here taken eight times
//! as large. **Scales.** Of 3 or 4 bits, times `d` (f16); `IQ1_M` has the bits of `d` in the upper
//! nibbles of its four u16.
//!
//! `MXFP4`, 32 weights in 17 bytes, is like `IQ4_NL` with other values, and a power of two for `d`
//! (OCP Microscaling Formats 1.0).

#![forbid(unsafe_code)]

use super::float::{f16_at, f16_to_f32};
use super::groups::Groups;
use super::q4_q5::nibbles;

const IQ1_S: &[u8; 2 * 2048] = include_bytes!("grids/iq1_s.bin");
const IQ2_XXS: &[u8; 2 * 256] = include_bytes!("grids/iq2_xxs.bin");
const IQ2_XS: &[u8; 2 * 512] = include_bytes!("grids/iq2_xs.bin");
const IQ2_S: &[u8; 2 * 1024] = include_bytes!("grids/iq2_s.bin");
const IQ3_XXS: &[u8; 2 * 256] = include_bytes!("grids/iq3_xxs.bin");
const IQ3_S: &[u8; 2 * 512] = include_bytes!("grids/iq3_s.bin");

/// The magnitudes of the `IQ2` types.
const IQ2_VALUES: [i8; 4] = [8, 25, 43, 0];
/// The magnitudes of `IQ3_XXS`; those of `IQ3_S` are the odd numbers.
const IQ3_XXS_VALUES: [i8; 8] = [4, 12, 20, 28, 36, 44, 52, 62];
/// The values of nibbles in `IQ4_NL` and `IQ4_XS`.
const IQ4_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
/// The values of nibbles in `MXFP4`, doubled: floats of 2 bits of exponent and 1 of fraction.
const MXFP4_VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Bytes of exponents of `MXFP4` from here on make the largest weights infinite; 255 stands for
/// NaN.
pub(super) const MXFP4_INFINITE: u8 = 252;

fn u16_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

fn u32_at(block: &[u8], at: usize) -> u32 {
    u32::from(u16_at(block, at)) | u32::from(u16_at(block, at + 2)) << 16
}

/// The indices of the values of point `index`, each `16 / N` bits.
fn point<const N: usize>(grid: &[u8], index: usize) -> [usize; N] {
    let word = usize::from(u16_at(grid, 2 * index));
    let width = 16 / N;
    std::array::from_fn(|i| word >> (width * i) & ((1 << width) - 1))
}

/// Eight signs of which the last is the parity of the others.
fn with_parity(signs: u32) -> u8 {
    let signs = (signs & 0x7F) as u8;
    signs | ((signs.count_ones() & 1) as u8) << 7
}

/// `L` values from points of `N`, with a byte of signs for every eight values.
fn signed<const N: usize, const L: usize>(
    value: impl Fn(usize) -> i8,
    point_of: impl Fn(usize) -> [usize; N],
    signs: impl Fn(usize) -> u8,
) -> [i8; L] {
    let mut codes = [0; L];
    for (index, codes) in codes.as_chunks_mut::<N>().0.iter_mut().enumerate() {
        *codes = point_of(index).map(&value);
    }
    for (index, codes) in codes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let signs = signs(index);
        codes.iter_mut().enumerate().filter(|(i, _)| signs >> i & 1 == 1).for_each(|(_, code)| *code = -*code);
    }
    codes
}

/// The low, then the high nibble of byte `i / 2`.
fn nibble(bytes: &[u8], i: usize) -> u8 {
    bytes[i / 2] >> (4 * (i % 2)) & 15
}

pub(super) fn groups_iq2_xxs(block: &[u8; 66], mut each: impl FnMut(Groups<'_>)) {
    let d = f16_at(block, 0);
    for group in block[2..].as_chunks::<8>().0 {
        let word = u32_at(group, 4);
        let codes: [i8; 32] =
            signed(|i| IQ2_VALUES[i], |p| point::<8>(IQ2_XXS, usize::from(group[p])), |p| with_parity(word >> (7 * p)));
        each(Groups { codes: &codes, scale: d * (0.5 + (word >> 28) as f32) * 0.25, min: 0.0 });
    }
}

pub(super) fn groups_iq2_xs(block: &[u8; 74], mut each: impl FnMut(Groups<'_>)) {
    let d = f16_at(block, 0);
    for i in 0..16 {
        let word = |p: usize| u16_at(block, 2 + 4 * i + 2 * p);
        let codes: [i8; 16] = signed(
            |i| IQ2_VALUES[i],
            |p| point::<8>(IQ2_XS, usize::from(word(p) & 511)),
            |p| with_parity(u32::from(word(p) >> 9)),
        );
        each(Groups { codes: &codes, scale: d * (0.5 + f32::from(nibble(&block[66..], i))) * 0.25, min: 0.0 });
    }
}

pub(super) fn groups_iq2_s(block: &[u8; 82], mut each: impl FnMut(Groups<'_>)) {
    let d = f16_at(block, 0);
    for i in 0..16 {
        let index = |p: usize| usize::from(block[2 + p]) | usize::from(block[66 + p / 4] >> (2 * (p % 4)) & 3) << 8;
        let codes: [i8; 16] =
            signed(|i| IQ2_VALUES[i], |p| point::<8>(IQ2_S, index(2 * i + p)), |p| block[34 + 2 * i + p]);
        each(Groups { codes: &codes, scale: d * (0.5 + f32::from(nibble(&block[74..], i))) * 0.25, min: 0.0 });
    }
}

pub(super) fn groups_iq3_xxs(block: &[u8; 98], mut each: impl FnMut(Groups<'_>)) {
    let d = f16_at(block, 0);
    for i in 0..8 {
        let word = u32_at(block, 66 + 4 * i);
        let codes: [i8; 32] = signed(
            |i| IQ3_XXS_VALUES[i],
            |p| point::<4>(IQ3_XXS, usize::from(block[2 + 8 * i + p])),
            |p| with_parity(word >> (7 * p)),
        );
        each(Groups { codes: &codes, scale: d * (0.5 + (word >> 28) as f32) * 0.5, min: 0.0 });
    }
}

pub(super) fn groups_iq3_s(block: &[u8; 110], mut each: impl FnMut(Groups<'_>)) {
    let d = f16_at(block, 0);
    for i in 0..8 {
        let index = |p: usize| usize::from(block[2 + 8 * i + p]) | usize::from(block[66 + i] >> p & 1) << 8;
        let codes: [i8; 32] = signed(|i| 2 * i as i8 + 1, |p| point::<4>(IQ3_S, index(p)), |p| block[74 + 4 * i + p]);
        each(Groups { codes: &codes, scale: d * f32::from(1 + 2 * nibble(&block[106..], i)), min: 0.0 });
    }
}

/// Eight times a point of `IQ1` with its offset.
fn offset_point(index: usize, negative: bool) -> [i8; 8] {
    point::<8>(IQ1_S, index).map(|value| 8 * (value as i8 - 1) + if negative { -1 } else { 1 })
}

pub(super) fn groups_iq1_s(block: &[u8; 50], mut each: impl FnMut(Groups<'_>)) {
    let d = f16_at(block, 0);
    for i in 0..8 {
        let word = u16_at(block, 34 + 2 * i);
        let mut codes = [0; 32];
        for (p, codes) in codes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let index = usize::from(block[2 + 4 * i + p]) | usize::from(word >> (3 * p) & 7) << 8;
            *codes = offset_point(index, word >> 15 == 1);
        }
        each(Groups { codes: &codes, scale: d * f32::from(2 * (word >> 12 & 7) + 1) / 8.0, min: 0.0 });
    }
}

/// The scale of an `IQ1_M` block.
pub(super) fn iq1_m_scale(block: &[u8]) -> f32 {
    f16_to_f32((0..4).fold(0, |bits, i| bits | u16_at(block, 48 + 2 * i) >> 12 << (4 * i)))
}

pub(super) fn groups_iq1_m(block: &[u8; 56], mut each: impl FnMut(Groups<'_>)) {
    let d = iq1_m_scale(block);
    for i in 0..16 {
        let mut codes = [0; 16];
        for (p, codes) in codes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let high = nibble(&block[32..], 2 * i + p);
            *codes = offset_point(usize::from(block[2 * i + p]) | usize::from(high & 7) << 8, high & 8 != 0);
        }
        let scale = u16_at(block, 48 + 2 * (i / 4)) >> (3 * (i % 4)) & 7;
        each(Groups { codes: &codes, scale: d * f32::from(2 * scale + 1) / 8.0, min: 0.0 });
    }
}

pub(super) fn groups_iq4_nl(block: &[u8; 18], mut each: impl FnMut(Groups<'_>)) {
    each(Groups { codes: &listed(&block[2..], &IQ4_VALUES), scale: f16_at(block, 0), min: 0.0 });
}

pub(super) fn groups_iq4_xs(block: &[u8; 136], mut each: impl FnMut(Groups<'_>)) {
    let d = f16_at(block, 0);
    for (i, bytes) in block[8..].as_chunks::<16>().0.iter().enumerate() {
        let scale = nibble(&block[4..8], i) | ((u16_at(block, 2) >> (2 * i) & 3) as u8) << 4;
        each(Groups { codes: &listed(bytes, &IQ4_VALUES), scale: d * (f32::from(scale) - 32.0), min: 0.0 });
    }
}

pub(super) fn groups_mxfp4(block: &[u8; 17], mut each: impl FnMut(Groups<'_>)) {
    each(Groups { codes: &listed(&block[1..], &MXFP4_VALUES), scale: half_power_of_two(block[0]), min: 0.0 });
}

/// `2^(exponent - 128)`: half the scale, as the values are doubled.
fn half_power_of_two(exponent: u8) -> f32 {
    f32::from_bits(match exponent {
        // Subnormal.
        0 | 1 => 0x0020_0000 << exponent,
        _ => u32::from(exponent - 1) << 23,
    })
}

/// The values of the nibbles in the first 16 bytes.
fn listed(bytes: &[u8], values: &[i8; 16]) -> [i8; 32] {
    nibbles(bytes).map(|code| values[usize::from(code.cast_unsigned())])
}
