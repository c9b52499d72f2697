//! Block formats against the Python package `gguf`: see `tests/reference/quant_golden.py`, which
//! wrote the golden files.

use crate::testing::test;
use webtern::gguf::GgmlType;
use webtern::quant;

const DECODE: &[u8] = include_bytes!("../golden/quant/decode.bin");
const ENCODE: &[u8] = include_bytes!("../golden/quant/encode.bin");
const TERNARIZE: &[u8] = include_bytes!("../golden/quant/ternarize.bin");

/// The records of a golden file: tag, input, expected output.
fn records(mut file: &[u8]) -> Vec<(u32, &[u8], &[u8])> {
    let mut records = Vec::new();
    while !file.is_empty() {
        let (tag, given) = (u32_at(file, 0), u32_at(file, 4) as usize);
        let expected = u32_at(file, 8 + given) as usize;
        let end = 12 + given + expected;
        records.push((tag, &file[8..8 + given], &file[12 + given..end]));
        file = &file[end..];
    }
    records
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_bits(u32_at(bytes, 0))).collect()
}

#[test]
fn decoding_matches_the_gguf_package_bit_for_bit() {
    let records = records(DECODE);
    for (id, blocks, expected) in &records {
        let ty = GgmlType::from_id(*id).unwrap();
        let expected = floats(expected);
        let mut weights = vec![f32::NAN; expected.len()];
        quant::dequantize(ty, blocks, &mut weights).unwrap();
        for (index, (got, want)) in weights.iter().zip(&expected).enumerate() {
            assert_eq!(got.to_bits(), want.to_bits(), "{ty} weight {index}: {got}, not {want}");
        }
    }
    for ty in GgmlType::all() {
        assert!(records.iter().any(|record| record.0 == ty.id()), "no golden blocks of {ty}");
    }
}

#[test]
fn encoding_matches_the_gguf_package_byte_for_byte() {
    let records = records(ENCODE);
    for (id, weights, expected) in &records {
        let ty = GgmlType::from_id(*id).unwrap();
        let mut bytes = Vec::new();
        quant::quantize(ty, &floats(weights), &mut bytes).unwrap();
        assert_eq!(bytes.len(), expected.len(), "{ty}");
        for (index, (got, want)) in bytes.iter().zip(*expected).enumerate() {
            assert_eq!(got, want, "{ty} block {} byte {}", index / ty.block_bytes(), index % ty.block_bytes());
        }
    }
    for ty in GgmlType::all() {
        let written = quant::quantize(ty, &[], &mut Vec::new()).is_ok();
        assert_eq!(records.iter().any(|record| record.0 == ty.id()), written, "golden weights of {ty}");
    }
}

#[test]
fn ternarize_matches_numpy() {
    for (_, weights, expected) in records(TERNARIZE) {
        let tensor = quant::ternarize(&floats(weights));
        assert_eq!(tensor.scale.to_bits(), u32_at(expected, 0), "scale {}", tensor.scale);
        assert_eq!(tensor.codes, expected[4..], "scale {}", tensor.scale);
    }
}
