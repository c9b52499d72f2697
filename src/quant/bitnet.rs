//! Tensors that really are ternary: three values, one scale.
//!
//! BitNet b1.58 (arXiv:2402.17764) trains master weights W and computes with `s * q`, where
//! `s = mean|W|` over the whole matrix and `q = clamp(round(W / s), -1, 1)`: see [`ternarize`].
//! Doing that again to the result would keep the signs and shrink the scale by the share of zeros,
//! so weights that already have three values are recognized by [`detect_ternary`].

#![forbid(unsafe_code)]

use super::float::to_f16;
use super::i2_s;
use super::ternary::{self as blocks, Ternary};
use crate::error::Result;
use crate::gguf::GgmlType;
use half::f16;

/// Ternarizes master weights as BitNet b1.58 does: `s = max(mean|W|, 1e-5)` over all of them
/// (summed in f64), `q = clamp(round(W / s), -1, 1)` with ties to even.
///
/// The weights must be finite; otherwise the scale is not, and [`encode_ternary`] refuses the
/// result.
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

/// Appends `tensor`, whose rows have `cols` weights, as type `ty`. The codes are exact; the scale
/// is rounded to f16, except in `I2_S`, which stores f32.
///
/// # Errors
///
/// `unsupported-type` when `ty` is not ternary; `bad-option` when a row is not a whole number of
/// its blocks (for `I2_S` too, whose own runtime cannot read other rows); `malformed` for codes
/// above 2, for a scale that the type cannot hold, and for what a reader of `I2_S` would take for
/// damage.
pub fn encode_ternary(ty: GgmlType, tensor: &Ternary, cols: usize, dst: &mut Vec<u8>) -> Result<()> {
    let Ternary { codes, scale } = tensor;
    if !ty.is_ternary() || ty == GgmlType::Ptq1_0 {
        bail!(
            UnsupportedType,
            "{ty} is not a ternary type that can be written; these are Q2_0, PQ2_0, TQ1_0, TQ2_0 and I2_S"
        );
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
        GgmlType::Pq2_0 => pack_all(codes, dst, |codes| blocks::pack_pq2_0(codes, d)),
        _ => pack_all(codes, dst, |codes| blocks::pack_q2_0(codes, d)),
    }
    Ok(())
}

fn pack_all<const L: usize, const B: usize>(codes: &[u8], dst: &mut Vec<u8>, pack: impl Fn(&[u8; L]) -> [u8; B]) {
    dst.extend(codes.as_chunks().0.iter().flat_map(pack));
}
