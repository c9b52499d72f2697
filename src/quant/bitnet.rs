//! Tensors that really are ternary: three values, one scale.
//!
//! BitNet b1.58 (arXiv:2402.17764) trains master weights W and computes with `s * q`, where `s = mean|W|` over the
//! whole matrix and `q = clamp(round(W / s), -1, 1)`: see [`ternarize`]. Doing that again to the result would keep the
//! signs and shrink the scale by the share of zeros, so weights that already have three values are recognized by
//! [`detect_ternary`].
//!
//! Block formats repeat the scale in every block. [`ternary`] undoes that: it accepts a tensor if all its scales are
//! equal, passing over blocks of scale 0, which are zero whatever their codes. Floats it accepts if they are three-valued:
//! a BitNet matrix does not become another layer because it was stored as F16.

#![forbid(unsafe_code)]

use super::float::to_f16;
use super::{check_finite, check_lengths, dequantize, i2_s, ternary as blocks};
use crate::error::Result;
use crate::gguf::GgmlType;
use half::f16;

/// The weights `scale * (code - 1)` of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Ternary {
    /// One code a weight, row after row: 0, 1, 2 for -1, 0, +1.
    pub codes: Vec<u8>,
    /// What the codes minus 1 are multiplied by; 0 only when every weight is zero.
    pub scale: f32,
}

/// Weights looked at together when floats are told apart.
const CHUNK: usize = 4096;

/// Reads the `weights` weights of a tensor of a ternary or float type as codes and one scale.
///
/// `Ok(None)` when it is not of that form: another type, code 3 (`+2 d`), block scales that differ, or floats of more than
/// three values. Such a tensor has to go through [`super::dequantize`].
///
/// # Errors
///
/// `malformed` when `src` has the wrong length, a scale that is NaN or infinite, or is an implausible `I2_S` tensor.
pub fn ternary(ty: GgmlType, src: &[u8], weights: usize) -> Result<Option<Ternary>> {
    check_lengths(ty, src, weights)?;
    check_finite(ty, src)?;
    match ty {
        GgmlType::Tq1_0 => Ok(uniform(src, blocks::unpack_tq1_0)),
        GgmlType::Tq2_0 => Ok(uniform(src, blocks::unpack_tq2_0)),
        GgmlType::Q2_0 => Ok(uniform(src, blocks::unpack_q2_0)),
        GgmlType::I2S => i2_s::unpack(src).map(Some),
        GgmlType::F32 | GgmlType::F16 | GgmlType::Bf16 => floats(ty, src),
        _ => Ok(None),
    }
}

/// Stops at the first chunk with a fourth value: for most float tensors, the very first.
fn floats(ty: GgmlType, src: &[u8]) -> Result<Option<Ternary>> {
    let mut tensor = Ternary { codes: Vec::new(), scale: 0.0 };
    let mut chunk = [0.0; CHUNK];
    for bytes in src.chunks(CHUNK * ty.block_bytes()) {
        let chunk = &mut chunk[..bytes.len() / ty.block_bytes()];
        dequantize(ty, bytes, chunk)?;
        match detect_ternary(chunk) {
            Some(part) if part.scale == 0.0 || tensor.scale == 0.0 || part.scale == tensor.scale => {
                tensor.scale = tensor.scale.max(part.scale);
                tensor.codes.extend(part.codes);
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(tensor))
}

fn uniform<const B: usize, const L: usize>(
    src: &[u8],
    unpack: impl Fn(&[u8; B], &mut [u8; L]) -> f32,
) -> Option<Ternary> {
    let (src, _) = src.as_chunks();
    let mut codes = vec![0; src.len() * L];
    let mut scale = 0.0;
    for (block, codes) in src.iter().zip(codes.as_chunks_mut().0) {
        let d = unpack(block, codes);
        if d == 0.0 {
            codes.fill(1);
        } else if codes.contains(&3) || (scale != 0.0 && d != scale) {
            return None;
        } else {
            scale = d;
        }
    }
    Some(Ternary { codes, scale })
}

/// Ternarizes master weights as BitNet b1.58 does: `s = max(mean|W|, 1e-5)` over all of them (summed in f64),
/// `q = clamp(round(W / s), -1, 1)` with ties to even.
///
/// The weights must be finite; otherwise the scale is not, and [`encode_ternary`] refuses the result.
pub fn ternarize(weights: &[f32]) -> Ternary {
    let sum: f64 = weights.iter().map(|weight| f64::from(weight.abs())).sum();
    let mean = (sum / weights.len().max(1) as f64) as f32;
    // Not `max`, which would hide NaN.
    let scale = if mean < 1e-5 { 1e-5 } else { mean };
    let code = |weight: &f32| ((weight / scale).round_ties_even().clamp(-1.0, 1.0) as i8 + 1) as u8;
    Ternary { codes: weights.iter().map(code).collect(), scale }
}

/// Recognizes weights that are already `{-s, 0, +s}` for one finite s, all zero included (s = 0).
pub fn detect_ternary(weights: &[f32]) -> Option<Ternary> {
    let scale = weights.iter().find(|weight| **weight != 0.0).map_or(0.0, |weight| weight.abs());
    if !scale.is_finite() || weights.iter().any(|weight| *weight != 0.0 && weight.abs() != scale) {
        return None;
    }
    let code = |weight: &f32| 1 + u8::from(*weight > 0.0) - u8::from(*weight < 0.0);
    Some(Ternary { codes: weights.iter().map(code).collect(), scale })
}

/// Appends `tensor`, whose rows have `cols` weights, as type `ty`. The codes are exact; the scale is rounded to f16,
/// except in `I2_S`, which stores f32.
///
/// # Errors
///
/// `unsupported-type` when `ty` is not ternary; `bad-option` when a row is not a whole number of its blocks (for `I2_S`
/// too, whose own runtime cannot read other rows); `malformed` for codes above 2, for a scale that the type cannot
/// hold, and for what a reader of `I2_S` would take for damage.
pub fn encode_ternary(ty: GgmlType, tensor: &Ternary, cols: usize, dst: &mut Vec<u8>) -> Result<()> {
    let Ternary { codes, scale } = tensor;
    if !ty.is_ternary() {
        bail!(UnsupportedType, "{ty} is not a ternary type; these are Q2_0, TQ1_0, TQ2_0 and I2_S");
    }
    if cols == 0 || !cols.is_multiple_of(ty.block_len()) || !codes.len().is_multiple_of(cols) {
        bail!(
            BadOption,
            "{} weights in rows of {cols} cannot be written as {ty}, which takes whole rows of blocks of {} weights; \
             Q2_0 has the smallest blocks, 64",
            codes.len(),
            ty.block_len()
        );
    }
    if let Some(index) = codes.iter().position(|code| *code > 2) {
        bail!(Malformed, "weight {index} has code {}; ternary codes are 0, 1 and 2", codes[index]);
    }
    if ty == GgmlType::I2S {
        return i2_s::encode(tensor, dst);
    }
    let Some(d) = to_f16(*scale).filter(|d| *scale == 0.0 || *d != f16::ZERO) else {
        bail!(Malformed, "the scale {scale} is outside the range of f16 (6e-8 to 65504), in which {ty} stores it");
    };
    match ty {
        GgmlType::Tq1_0 => pack_all(codes, dst, |codes| blocks::pack_tq1_0(codes, d)),
        GgmlType::Tq2_0 => pack_all(codes, dst, |codes| blocks::pack_tq2_0(codes, d)),
        _ => pack_all(codes, dst, |codes| blocks::pack_q2_0(codes, d)),
    }
    Ok(())
}

fn pack_all<const L: usize, const B: usize>(codes: &[u8], dst: &mut Vec<u8>, pack: impl Fn(&[u8; L]) -> [u8; B]) {
    dst.extend(codes.as_chunks().0.iter().flat_map(pack));
}
