//! Block formats of ggml: what the bytes of a tensor mean.
//!
//! A quantized tensor is a sequence of *blocks*. A block holds a fixed number of weights as small integer codes, and
//! one or two f16 numbers that turn codes into weights: `w = d * code`, or `w = d * code + m`. The K-quants split a
//! block into sub-blocks whose own small integer scales multiply `d`. Each file here is one family of formats and opens
//! with its byte layout; everything is little-endian, and "weight j" means the j-th of the block, along a row.
//!
//! Decoding multiplies in the order of the Python package `gguf` (the reference for every format that it knows), so the
//! results agree with it to the last bit, signs of zeros included. So do the bytes that [`quantize`] writes.
//!
//! The ternary formats have a second reading. A BitNet matrix is *one* scale and codes `{-1, 0, +1}`, and kernels want
//! it that way: [`ternary()`] gives it when a tensor really has that form, and [`encode_ternary`] writes it.

#![forbid(unsafe_code)]

mod bitnet;
mod float;
mod groups;
mod i2_s;
mod k_quants;
mod q4_q5;
mod q8;
mod ternary;
mod ternary_stats;

pub use bitnet::{Ternary, detect_ternary, encode_ternary, ternarize, ternary};
pub use groups::{Groups, groups};
pub use ternary_stats::TernaryStats;

use crate::error::Result;
use crate::gguf::GgmlType;

/// Decodes whole blocks of type `ty` to one f32 a weight.
///
/// `I2_S` has its scale at the end of the tensor, so there `src` is a whole tensor: codes and 32-byte tail.
///
/// # Errors
///
/// `malformed` when `src` does not hold `dst.len()` weights exactly, or is an implausible `I2_S` tensor.
pub fn dequantize(ty: GgmlType, src: &[u8], dst: &mut [f32]) -> Result<()> {
    check_lengths(ty, src, dst.len())?;
    match ty {
        GgmlType::F32 => decode_blocks(src, dst, float::decode_f32),
        GgmlType::F16 => decode_blocks(src, dst, float::decode_f16),
        GgmlType::Bf16 => decode_blocks(src, dst, float::decode_bf16),
        GgmlType::Q8_0 => decode_blocks(src, dst, q8::decode_q8_0),
        GgmlType::Q4_0 => decode_blocks(src, dst, q4_q5::decode_q4_0),
        GgmlType::Q4_1
        | GgmlType::Q5_0
        | GgmlType::Q5_1
        | GgmlType::Q2K
        | GgmlType::Q3K
        | GgmlType::Q4K
        | GgmlType::Q5K
        | GgmlType::Q6K => {
            let mut rest = dst;
            groups(ty, src, |group| {
                let (out, after) = std::mem::take(&mut rest).split_at_mut(group.codes.len());
                group.decode(out);
                rest = after;
            });
        }
        GgmlType::Tq1_0 => decode_blocks(src, dst, |block, out| ternary::decode(block, out, ternary::unpack_tq1_0)),
        GgmlType::Tq2_0 => decode_blocks(src, dst, |block, out| ternary::decode(block, out, ternary::unpack_tq2_0)),
        GgmlType::Q2_0 => decode_blocks(src, dst, |block, out| ternary::decode(block, out, ternary::unpack_q2_0)),
        GgmlType::I2S => return i2_s::decode(src, dst),
    }
    Ok(())
}

/// Encodes whole blocks of weights, appended to `dst`.
///
/// Into the ternary block types this rounds each block by its own largest magnitude, which suits weights that are
/// three-valued already and ruins others: [`ternarize`] those first. `I2_S` (here `src` is a whole tensor) accepts only
/// three-valued weights.
///
/// # Errors
///
/// `unsupported-type` for a type that webtern only reads; `malformed` when `src` is not a whole number of blocks, or
/// has a weight that is not finite or too large for the type; `bad-option` for `I2_S` from weights that are not
/// three-valued.
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
        GgmlType::I2S => match detect_ternary(src) {
            Some(tensor) => i2_s::encode(&tensor, dst),
            None => bail!(
                BadOption,
                "I2_S has one scale for a tensor, and these weights are not three-valued: ternarize them"
            ),
        },
        _ => bail!(
            UnsupportedType,
            "webtern reads {ty} but writes only F32, F16, BF16, Q8_0, Q4_0, TQ1_0, TQ2_0, Q2_0 and I2_S"
        ),
    }
}

/// Finds weights that are NaN or infinite without decoding: in the raw values of the float types, and in the scales of
/// the others (whose codes are integers).
///
/// `src` holds whole blocks; for `I2_S`, a whole tensor.
///
/// # Errors
///
/// `malformed`, naming the first such block (or weight, in the float types) and its byte offset in `src`.
pub fn check_finite(ty: GgmlType, src: &[u8]) -> Result<()> {
    // A float is not finite when its exponent is all ones. The exponents of f32 and bf16 lie in their upper two bytes.
    let (halves, exponent): (&[usize], u16) = match ty {
        GgmlType::F32 | GgmlType::I2S => (&[2], 0x7F80),
        GgmlType::Bf16 => (&[0], 0x7F80),
        GgmlType::F16 | GgmlType::Q8_0 | GgmlType::Q4_0 | GgmlType::Q5_0 | GgmlType::Q2_0 => (&[0], 0x7C00),
        GgmlType::Q4_1 | GgmlType::Q5_1 | GgmlType::Q4K | GgmlType::Q5K => (&[0, 2], 0x7C00),
        GgmlType::Q2K => (&[80, 82], 0x7C00),
        GgmlType::Q3K => (&[108], 0x7C00),
        GgmlType::Q6K => (&[208], 0x7C00),
        GgmlType::Tq1_0 => (&[52], 0x7C00),
        GgmlType::Tq2_0 => (&[64], 0x7C00),
    };
    let size = ty.block_bytes();
    if !src.len().is_multiple_of(size) || (ty == GgmlType::I2S && src.is_empty()) {
        bail!(Malformed, "{} bytes are not a whole number of {ty} blocks of {size}", src.len());
    }
    // The tail of I2_S, which begins with its only scale, is as long as one of its blocks.
    let first = if ty == GgmlType::I2S { src.len() / size - 1 } else { 0 };
    let finite =
        |block: &[u8]| halves.iter().all(|&at| u16::from_le_bytes([block[at], block[at + 1]]) & exponent != exponent);
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

/// Runs `decode` on every block of `B` bytes and its `L` weights. Fixed sizes let the compiler unroll and vectorise it.
fn decode_blocks<const B: usize, const L: usize>(
    src: &[u8],
    dst: &mut [f32],
    decode: impl Fn(&[u8; B], &mut [f32; L]),
) {
    for (block, out) in src.as_chunks().0.iter().zip(dst.as_chunks_mut().0) {
        decode(block, out);
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
