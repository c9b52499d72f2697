//! Block formats of ggml: what the bytes of a tensor mean.
//!
//! A quantized tensor is a sequence of *blocks*. A block holds a fixed number of weights as small
//! integer codes, and one or two f16 numbers that turn codes into weights: `w = d * code`, or
//! `w = d * code + m`. The K-quants split a block into sub-blocks whose own small integer scales
//! multiply `d`. Each file here is one family of formats and opens with its byte layout; everything
//! is little-endian, and "weight j" means the j-th of the block, along a row.
//!
//! Decoding multiplies in the order of the Python package `gguf` (the reference for every format
//! that it knows), so the results agree with it to the last bit, signs of zeros included. So do the
//! bytes that [`quantize`] writes.
//!
//! Kernels do not want floats but the integers: [`groups`] gives a type's blocks as int8 codes with
//! a scale (and a minimum) for each 16 or 32, and [`code_blocks`] those of the ternary types as
//! codes of two bits.

#![forbid(unsafe_code)]

mod bitnet;
mod float;
mod groups;
mod i2_s;
mod iq;
mod k_quants;
mod q4_q5;
mod q8;
mod ternary;
mod ternary_groups;
mod ternary_stats;

pub use bitnet::{detect_ternary, encode_ternary, ternarize};
pub use groups::Groups;
pub use i2_s::I2sReader;
pub use ternary::Ternary;
pub use ternary_groups::TernaryGroups;
pub use ternary_stats::TernaryStats;

use crate::error::Result;
use crate::gguf::GgmlType;

/// Decodes whole blocks of type `ty` to one f32 a weight.
///
/// `I2_S` has its scale at the end of the tensor, so there `src` is a whole tensor: codes and
/// 32-byte tail.
///
/// # Errors
///
/// `malformed` when `src` does not hold `dst.len()` weights exactly, or is an implausible `I2_S`
/// tensor.
pub fn dequantize(ty: GgmlType, src: &[u8], dst: &mut [f32]) -> Result<()> {
    check_lengths(ty, src, dst.len())?;
    match ty {
        GgmlType::F32 => decode_blocks(src, dst, float::decode_f32),
        GgmlType::F16 => decode_blocks(src, dst, float::decode_f16),
        GgmlType::Bf16 => decode_blocks(src, dst, float::decode_bf16),
        GgmlType::Q8_0 => decode_blocks(src, dst, q8::decode_q8_0),
        GgmlType::Q4_0 => decode_blocks(src, dst, q4_q5::decode_q4_0),
        GgmlType::I2S => return i2_s::decode(src, dst),
        _ if ty.has_ternary_blocks() => {
            let mut rest = dst;
            code_blocks(ty, src, |codes, scale| {
                let (out, after) = std::mem::take(&mut rest).split_at_mut(codes.len());
                out.iter_mut().zip(codes).for_each(|(out, code)| *out = scale * (f32::from(*code) - 1.0));
                rest = after;
            });
        }
        _ => {
            let mut rest = dst;
            groups(ty, src, |group| {
                let (out, after) = std::mem::take(&mut rest).split_at_mut(group.codes.len());
                group.decode(out);
                rest = after;
            });
        }
    }
    Ok(())
}

/// Calls `each` with the groups of whole blocks of type `ty`, in order.
///
/// # Panics
///
/// For a type that is not made of groups of integers: floats and the ternary types.
pub fn groups(ty: GgmlType, blocks: &[u8], mut each: impl FnMut(Groups<'_>)) {
    match ty {
        GgmlType::Q8_0 => of_blocks(blocks, |block| q8::groups_q8_0(block, &mut each)),
        GgmlType::Q4_0 => of_blocks(blocks, |block| q4_q5::groups_q4_0(block, &mut each)),
        GgmlType::Q4_1 => of_blocks(blocks, |block| q4_q5::groups_q4_1(block, &mut each)),
        GgmlType::Q5_0 => of_blocks(blocks, |block| q4_q5::groups_q5_0(block, &mut each)),
        GgmlType::Q5_1 => of_blocks(blocks, |block| q4_q5::groups_q5_1(block, &mut each)),
        GgmlType::Q2K => of_blocks(blocks, |block| k_quants::groups_q2_k(block, &mut each)),
        GgmlType::Q3K => of_blocks(blocks, |block| k_quants::groups_q3_k(block, &mut each)),
        GgmlType::Q4K => of_blocks(blocks, |block| k_quants::groups_q4_k(block, &mut each)),
        GgmlType::Q5K => of_blocks(blocks, |block| k_quants::groups_q5_k(block, &mut each)),
        GgmlType::Q6K => of_blocks(blocks, |block| k_quants::groups_q6_k(block, &mut each)),
        GgmlType::Iq1S => of_blocks(blocks, |block| iq::groups_iq1_s(block, &mut each)),
        GgmlType::Iq1M => of_blocks(blocks, |block| iq::groups_iq1_m(block, &mut each)),
        GgmlType::Iq2Xxs => of_blocks(blocks, |block| iq::groups_iq2_xxs(block, &mut each)),
        GgmlType::Iq2Xs => of_blocks(blocks, |block| iq::groups_iq2_xs(block, &mut each)),
        GgmlType::Iq2S => of_blocks(blocks, |block| iq::groups_iq2_s(block, &mut each)),
        GgmlType::Iq3Xxs => of_blocks(blocks, |block| iq::groups_iq3_xxs(block, &mut each)),
        GgmlType::Iq3S => of_blocks(blocks, |block| iq::groups_iq3_s(block, &mut each)),
        GgmlType::Iq4Nl => of_blocks(blocks, |block| iq::groups_iq4_nl(block, &mut each)),
        GgmlType::Iq4Xs => of_blocks(blocks, |block| iq::groups_iq4_xs(block, &mut each)),
        GgmlType::Mxfp4 => of_blocks(blocks, |block| iq::groups_mxfp4(block, &mut each)),
        _ => panic!("type {ty} is not made of groups of integers"),
    }
}

/// Calls `each` with the codes and the scale of every block of type `ty`, in order. A weight is
/// `scale * (code - 1)` with a code of 0 to 3.
///
/// # Panics
///
/// For a type without [`GgmlType::has_ternary_blocks`].
pub fn code_blocks(ty: GgmlType, blocks: &[u8], each: impl FnMut(&mut [u8], f32)) {
    match ty {
        GgmlType::Tq1_0 => unpack_blocks(blocks, ternary::unpack_tq1_0, each),
        GgmlType::Tq2_0 => unpack_blocks(blocks, ternary::unpack_tq2_0, each),
        GgmlType::Q1_0 => unpack_blocks(blocks, ternary::unpack_q1_0, each),
        GgmlType::Q2_0 => unpack_blocks(blocks, ternary::unpack_q2_0, each),
        GgmlType::Pq2_0 => unpack_blocks(blocks, ternary::unpack_pq2_0, each),
        GgmlType::Ptq1_0 => unpack_blocks(blocks, ternary::unpack_ptq1_0, each),
        _ => panic!("type {ty} has no blocks of ternary codes"),
    }
}

/// Encodes whole blocks of weights, appended to `dst`.
///
/// Into the ternary block types this rounds each block by its own largest magnitude, which suits
/// weights that are three-valued already and ruins others: [`ternarize`] those first. `I2_S` (here
/// `src` is a whole tensor) accepts only three-valued weights.
///
/// # Errors
///
/// `unsupported-type` for a type that webtern only reads; `malformed` when `src` is not a whole
/// number of blocks, or has a weight that is not finite or too large for the type; `bad-option` for
/// `I2_S` from weights that are not three-valued.
pub fn quantize(ty: GgmlType, src: &[f32], dst: &mut Vec<u8>) -> Result<()> {
    if !src.len().is_multiple_of(ty.block_len()) {
        bail!(Malformed, "{} weights are not a whole number of {ty} blocks of {}", src.len(), ty.block_len());
    }
    if let Some(index) = src.iter().position(|weight| !weight.is_finite()) {
        bail!(Malformed, "weight {index} is {}; only finite weights can be written", src[index]);
    }
    match ty {
        GgmlType::F32 => encode_blocks(ty, src, dst, float::encode_f32),
        GgmlType::F16 => encode_blocks(ty, src, dst, float::encode_f16),
        GgmlType::Bf16 => encode_blocks(ty, src, dst, float::encode_bf16),
        GgmlType::Q8_0 => encode_blocks(ty, src, dst, q8::encode_q8_0),
        GgmlType::Q4_0 => encode_blocks(ty, src, dst, q4_q5::encode_q4_0),
        GgmlType::Tq1_0 => encode_blocks(ty, src, dst, |weights| ternary::encode(weights, ternary::pack_tq1_0)),
        GgmlType::Tq2_0 => encode_blocks(ty, src, dst, |weights| ternary::encode(weights, ternary::pack_tq2_0)),
        GgmlType::Q2_0 => encode_blocks(ty, src, dst, |weights| ternary::encode(weights, ternary::pack_q2_0)),
        GgmlType::Pq2_0 => encode_blocks(ty, src, dst, |weights| ternary::encode(weights, ternary::pack_pq2_0)),
        GgmlType::I2S => match detect_ternary(src) {
            Some(tensor) => i2_s::encode(&tensor, dst),
            None => bail!(
                BadOption,
                "I2_S has one scale for a tensor, and these weights are not three-valued: ternarize them"
            ),
        },
        _ => bail!(
            UnsupportedType,
            "webtern reads {ty} but writes only F32, F16, BF16, Q8_0, Q4_0, TQ1_0, TQ2_0, Q2_0, PQ2_0 and I2_S"
        ),
    }
}

/// Finds weights that are NaN or infinite without decoding: in the raw values of the float types,
/// and in the scales of the others (whose codes are integers).
///
/// `src` holds whole blocks; for `I2_S`, a whole tensor.
///
/// # Errors
///
/// `malformed`, naming the first such block (or weight, in the float types) and its byte offset in
/// `src`.
pub fn check_finite(ty: GgmlType, src: &[u8]) -> Result<()> {
    // A float is not finite when its exponent is all ones. The exponents of f32 and bf16 lie in
    // their upper two bytes.
    let (halves, exponent): (&[usize], u16) = match ty {
        GgmlType::F32 | GgmlType::I2S => (&[2], 0x7F80),
        GgmlType::Bf16 => (&[0], 0x7F80),
        GgmlType::Q4_1 | GgmlType::Q5_1 | GgmlType::Q4K | GgmlType::Q5K => (&[0, 2], 0x7C00),
        GgmlType::Q2K => (&[80, 82], 0x7C00),
        GgmlType::Q3K => (&[108], 0x7C00),
        GgmlType::Q6K => (&[208], 0x7C00),
        GgmlType::Tq1_0 => (&[52], 0x7C00),
        GgmlType::Tq2_0 => (&[64], 0x7C00),
        GgmlType::Ptq1_0 => (&[26], 0x7C00),
        GgmlType::Iq1M | GgmlType::Mxfp4 => (&[], 0),
        _ => (&[0], 0x7C00),
    };
    let size = ty.block_bytes();
    if !src.len().is_multiple_of(size) || (ty == GgmlType::I2S && src.is_empty()) {
        bail!(Malformed, "{} bytes are not a whole number of {ty} blocks of {size}", src.len());
    }
    // The tail of I2_S, which begins with its only scale, is as long as one of its blocks.
    let first = if ty == GgmlType::I2S { src.len() / size - 1 } else { 0 };
    let finite = |block: &[u8]| match ty {
        GgmlType::Iq1M => iq::iq1_m_scale(block).is_finite(),
        GgmlType::Mxfp4 => block[0] < iq::MXFP4_INFINITE,
        _ => halves.iter().all(|&at| u16::from_le_bytes([block[at], block[at + 1]]) & exponent != exponent),
    };
    match src.chunks_exact(size).skip(first).position(|block| !finite(block)) {
        None => Ok(()),
        Some(_) if ty == GgmlType::I2S => bail!(Malformed, "the scale of the tensor is NaN or infinite"),
        Some(at) if ty.block_len() == 1 => bail!(Malformed, "weight {at} (byte {}) is NaN or infinite", at * size),
        Some(at) => bail!(Malformed, "{ty} block {at} (byte {}) has a scale that is NaN or infinite", at * size),
    }
}

fn check_lengths(ty: GgmlType, src: &[u8], weights: usize) -> Result<()> {
    if ty.tensor_bytes(1, weights as u64) == Some(src.len() as u64) {
        return Ok(());
    }
    bail!(
        Malformed,
        "{} bytes do not hold {weights} weights of type {ty} ({} in {} bytes)",
        src.len(),
        ty.block_len(),
        ty.block_bytes()
    )
}

/// Runs `decode` on every block of `B` bytes and its `L` weights. Fixed sizes let the compiler
/// unroll and vectorise it.
fn decode_blocks<const B: usize, const L: usize>(
    src: &[u8],
    dst: &mut [f32],
    decode: impl Fn(&[u8; B], &mut [f32; L]),
) {
    for (block, out) in src.as_chunks().0.iter().zip(dst.as_chunks_mut().0) {
        decode(block, out);
    }
}

fn of_blocks<const B: usize>(blocks: &[u8], each: impl FnMut(&[u8; B])) {
    blocks.as_chunks().0.iter().for_each(each);
}

/// Calls `each` with the codes and the scale of every block, which `unpack` tells.
fn unpack_blocks<const B: usize, const L: usize>(
    blocks: &[u8],
    unpack: impl Fn(&[u8; B], &mut [u8; L]) -> f32,
    mut each: impl FnMut(&mut [u8], f32),
) {
    let mut codes = [0; L];
    for block in blocks.as_chunks().0 {
        let scale = unpack(block, &mut codes);
        each(&mut codes, scale);
    }
}

/// Runs `encode` on every `L` weights; `None` from it means that they are too large for the type.
fn encode_blocks<const L: usize, const B: usize>(
    ty: GgmlType,
    src: &[f32],
    dst: &mut Vec<u8>,
    encode: impl Fn(&[f32; L]) -> Option<[u8; B]>,
) -> Result<()> {
    dst.reserve(src.len() / L * B);
    for (index, weights) in src.as_chunks().0.iter().enumerate() {
        match encode(weights) {
            Some(block) => dst.extend_from_slice(&block),
            None => bail!(
                Malformed,
                "a weight is too large for {ty}, in the block of {L} that begins at weight {}",
                index * L
            ),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
