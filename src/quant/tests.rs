//! What the golden files do not show: codes and scales of ternary types against their weights, and
//! refusals.

#![forbid(unsafe_code)]

use super::*;
use crate::error::ErrorCode;
use crate::testing::test;
use rand_pcg::Pcg32;
use rand_pcg::rand_core::Rng;

const TERNARY: [GgmlType; 5] = [GgmlType::Tq1_0, GgmlType::Tq2_0, GgmlType::Q2_0, GgmlType::Pq2_0, GgmlType::I2S];

/// A ternary tensor of `weights` weights, whose scale is an f16.
fn random_ternary(weights: usize) -> Ternary {
    let mut rng = Pcg32::new(1, 1);
    Ternary { codes: (0..weights).map(|_| (rng.next_u32() % 3) as u8).collect(), scale: 0.03125 }
}

fn weights_of(tensor: &Ternary) -> Vec<f32> {
    tensor.codes.iter().map(|code| tensor.scale * (f32::from(*code) - 1.0)).collect()
}

fn encoded(ty: GgmlType, tensor: &Ternary) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_ternary(ty, tensor, 256, &mut bytes).unwrap();
    bytes
}

fn decoded(ty: GgmlType, bytes: &[u8], weights: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; weights];
    dequantize(ty, bytes, &mut out).unwrap();
    out
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T>, code: ErrorCode, said: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.message().contains(said), "{error}");
}

#[test]
fn ternary_types_keep_codes_and_scale() {
    let tensor = random_ternary(1024);
    for ty in TERNARY {
        let bytes = encoded(ty, &tensor);
        assert_eq!(Some(bytes.len() as u64), ty.tensor_bytes(4, 256), "{ty}");
        assert_eq!(decoded(ty, &bytes, 1024), weights_of(&tensor), "{ty}");
        if ty.has_ternary_blocks() {
            let mut codes = Vec::new();
            code_blocks(ty, &bytes, |block, scale| {
                assert_eq!((block.len(), scale), (ty.block_len(), tensor.scale), "{ty}");
                codes.extend_from_slice(block);
            });
            assert_eq!(codes, tensor.codes, "{ty}");
        }
    }
}

#[test]
fn encode_ternary_matches_quantize() {
    let tensor = random_ternary(1024);
    for ty in TERNARY {
        let mut bytes = Vec::new();
        quantize(ty, &weights_of(&tensor), &mut bytes).unwrap();
        assert_eq!(bytes, encoded(ty, &tensor), "{ty}");
    }
}

#[test]
fn three_valued_recognizes_what_ternarize_made() {
    let mut rng = Pcg32::new(2, 2);
    let master: Vec<f32> = (0..500).map(|_| rng.next_u32() as f32 / 2f32.powi(31) - 1.0).collect();
    let tensor = ternarize(&master);
    assert_eq!(detect_ternary(&master), None);
    assert_eq!(detect_ternary(&weights_of(&tensor)), Some(tensor));
    assert_eq!(detect_ternary(&[0.0, -0.0]), Some(Ternary { codes: vec![1, 1], scale: 0.0 }));
    assert_eq!(detect_ternary(&[0.0, 1.0, f32::NAN]), None);
    assert_eq!(detect_ternary(&[f32::INFINITY, 0.0]), None);
}

#[test]
fn quantize_rounds_within_half_a_step() {
    let mut rng = Pcg32::new(3, 3);
    let weights: Vec<f32> = (0..320).map(|_| rng.next_u32() as f32 / 2f32.powi(31) - 1.0).collect();
    // Half a step of 1/127; in Q4_0 a whole one, at the end opposite to the extreme.
    for (ty, bound) in [(GgmlType::Q8_0, 0.5 / 127.0 + 1e-3), (GgmlType::Q4_0, 1.0 / 8.0 + 1e-3)] {
        let mut bytes = Vec::new();
        quantize(ty, &weights, &mut bytes).unwrap();
        for (weight, got) in weights.iter().zip(decoded(ty, &bytes, 320)) {
            assert!((weight - got).abs() <= bound, "{ty}: {weight} became {got}");
        }
    }
}

#[test]
fn check_finite_finds_every_scale() {
    // The scale of IQ1_M is in four places, so that no two bytes make it infinite.
    for ty in GgmlType::all() {
        let tail = if ty == GgmlType::I2S { 32 } else { 0 };
        let size = ty.block_bytes();
        let mut found = 0;
        for at in 0..size - 1 {
            let mut bytes = vec![0; 3 * size + tail];
            assert_eq!(check_finite(ty, &bytes), Ok(()), "{ty}");
            // The upper half of an f32 infinity, which is also a bf16 infinity and an f16 NaN; in
            // an exponent of MXFP4, NaN.
            let first = bytes.len() - size;
            let infinite = if ty == GgmlType::Mxfp4 { [0xFF; 2] } else { [0x80, 0x7F] };
            bytes[first + at..first + at + 2].copy_from_slice(&infinite);
            let mut weights = vec![0.0; 3 * ty.block_len()];
            let decodes_finite =
                dequantize(ty, &bytes, &mut weights).is_ok() && weights.iter().all(|weight| weight.is_finite());
            let refused = check_finite(ty, &bytes).is_err();
            if ty != GgmlType::I2S {
                assert_eq!(refused, !decodes_finite, "{ty} byte {at}");
            }
            found += usize::from(refused);
        }
        assert_eq!(found > 0, ty != GgmlType::Iq1M, "{ty}");
    }
}

#[test]
fn rejects_weights_that_are_not_finite() {
    for (bad, said) in [(f32::NAN, "weight 70 is NaN"), (f32::INFINITY, "weight 70 is inf")] {
        let mut weights = vec![0.5; 256];
        weights[70] = bad;
        assert_refused(quantize(GgmlType::Q8_0, &weights, &mut Vec::new()), ErrorCode::Malformed, said);
    }
    let tensor = ternarize(&[f32::NAN; 64]);
    assert_refused(encode_ternary(GgmlType::Q2_0, &tensor, 64, &mut Vec::new()), ErrorCode::Malformed, "the scale NaN");
    let mut bytes = encoded(GgmlType::Q2_0, &random_ternary(256));
    bytes[18..20].copy_from_slice(&[0, 0x7E]);
    assert_refused(check_finite(GgmlType::Q2_0, &bytes), ErrorCode::Malformed, "block 1 (byte 18)");
    // The bits of an infinite f16, in the upper nibbles of four u16.
    let mut bytes = [0; 56];
    (bytes[53], bytes[55]) = (0xC0, 0x70);
    assert_refused(check_finite(GgmlType::Iq1M, &bytes), ErrorCode::Malformed, "block 0");
    assert_refused(check_finite(GgmlType::F16, &[0, 0, 0, 0x7C]), ErrorCode::Malformed, "weight 1 (byte 2)");
}

#[test]
fn rejects_weights_beyond_f16() {
    for ty in [GgmlType::F16, GgmlType::Tq1_0, GgmlType::Q2_0] {
        let mut weights = vec![1.0; 256];
        weights[255] = 65520.0;
        assert_refused(quantize(ty, &weights, &mut Vec::new()), ErrorCode::Malformed, "too large");
    }
    assert_refused(quantize(GgmlType::Bf16, &[f32::MAX], &mut Vec::new()), ErrorCode::Malformed, "too large");
    for scale in [1e-9, 1e6] {
        let tensor = Ternary { scale, ..random_ternary(256) };
        assert_refused(
            encode_ternary(GgmlType::Tq2_0, &tensor, 256, &mut Vec::new()),
            ErrorCode::Malformed,
            "range of f16",
        );
    }
}

#[test]
fn rejects_lengths_that_are_not_whole_blocks() {
    for ty in GgmlType::all() {
        let bytes = vec![0; ty.tensor_bytes(1, ty.block_len() as u64).unwrap() as usize - 1];
        let mut weights = vec![0.0; ty.block_len()];
        assert_refused(dequantize(ty, &bytes, &mut weights), ErrorCode::Malformed, ty.name());
        assert_refused(check_finite(ty, &bytes), ErrorCode::Malformed, ty.name());
    }
    assert_refused(check_finite(GgmlType::I2S, &[]), ErrorCode::Malformed, "I2_S");
    assert_refused(quantize(GgmlType::Q8_0, &[0.0; 31], &mut Vec::new()), ErrorCode::Malformed, "31 weights");
    let tensor = random_ternary(576);
    for ty in [GgmlType::Tq1_0, GgmlType::Tq2_0, GgmlType::I2S] {
        assert_refused(encode_ternary(ty, &tensor, 576, &mut Vec::new()), ErrorCode::BadOption, "Q2_0");
    }
    assert_refused(encode_ternary(GgmlType::Q2_0, &tensor, 0, &mut Vec::new()), ErrorCode::BadOption, "rows of 0");
    assert_refused(encode_ternary(GgmlType::Q2_0, &tensor, 128, &mut Vec::new()), ErrorCode::BadOption, "rows of 128");
}

#[test]
fn rejects_what_a_type_cannot_hold() {
    let tensor = random_ternary(256);
    assert_refused(encode_ternary(GgmlType::Q8_0, &tensor, 256, &mut Vec::new()), ErrorCode::UnsupportedType, "Q8_0");
    assert_refused(quantize(GgmlType::Q4K, &[0.0; 256], &mut Vec::new()), ErrorCode::UnsupportedType, "Q4_K");
    let mut weights = vec![0.25; 128];
    weights[3] = 0.5;
    assert_refused(quantize(GgmlType::I2S, &weights, &mut Vec::new()), ErrorCode::BadOption, "three-valued");
    let mut tensor = tensor;
    tensor.codes[9] = 3;
    assert_refused(
        encode_ternary(GgmlType::Tq1_0, &tensor, 256, &mut Vec::new()),
        ErrorCode::Malformed,
        "weight 9 has code 3",
    );
}

#[test]
fn rejects_implausible_i2_s() {
    let tensor = random_ternary(1280);
    let good = encoded(GgmlType::I2S, &tensor);
    let scale_at = good.len() - 32;
    let with = |at: usize, bytes: &[u8]| {
        let mut tensor = good.clone();
        tensor[at..at + bytes.len()].copy_from_slice(bytes);
        let mut weights = vec![0.0; 1280];
        dequantize(GgmlType::I2S, &tensor, &mut weights).map(|()| weights)
    };
    assert_eq!(with(0, &[]).unwrap(), weights_of(&tensor));
    for (at, bytes, said) in [
        (7, vec![0x0C], "code 3 (1 times)"),
        (0, vec![0xAA; scale_at], "0.0% zeros"),
        (2, vec![0x55; scale_at - 4], "% zeros"),
        (scale_at, 0f32.to_le_bytes().to_vec(), "the scale 0"),
        (scale_at, (-0.5f32).to_le_bytes().to_vec(), "the scale -0.5"),
        (scale_at, f32::NAN.to_le_bytes().to_vec(), "NaN"),
    ] {
        assert_refused(with(at, &bytes), ErrorCode::Malformed, said);
    }
    let zeros = Ternary { codes: vec![1; 256], scale: 0.0 };
    assert_eq!(decoded(GgmlType::I2S, &encoded(GgmlType::I2S, &zeros), 256), [0.0; 256]);
    let signs = Ternary { codes: [0, 2].repeat(128), scale: 1.0 };
    assert_refused(encode_ternary(GgmlType::I2S, &signs, 256, &mut Vec::new()), ErrorCode::Malformed, "0.0% zeros");
}
