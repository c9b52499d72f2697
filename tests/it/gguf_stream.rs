//! The GGUF reader and writer against real files and against the `gguf` package of PyPI.

use crate::common::cuts::random_cuts;
use crate::common::{fixture_bytes, header};
use crate::outcome::Outcome;
use serde_json::Value as Json;
use webtern::ErrorCode;
use webtern::gguf::{GgmlType, Metadata, TensorSpec, Value, Writer};

fn assert_cuts_do_not_matter(file: &[u8]) -> Outcome {
    let whole = Outcome::of([file], None);
    assert!(whole == Outcome::of([file], Some(file.len() as u64)), "whole, length known");
    assert!(whole == Outcome::of(file.chunks(1), None), "byte by byte");
    for seed in 0..8 {
        assert!(whole == Outcome::of(random_cuts(file, seed), None), "cut at random, seed {seed}");
    }
    whole
}

#[test]
fn real_files_read_the_same_however_cut() {
    // How many tensors and where the data begin, as the `gguf` package says; of `Q2_0` it knows
    // nothing yet.
    for (name, expected) in [
        ("stories260K.gguf", Some((48, 14176))),
        ("tiny-dlm/tiny-dlm-q2_0.gguf", None),
        ("vocab/ggml-vocab-gpt-2.gguf", Some((0, 1_766_816))),
        ("vocab/ggml-vocab-llama-spm.gguf", Some((0, 723_872))),
    ] {
        let Some(file) = fixture_bytes(name) else { continue };
        let outcome = assert_cuts_do_not_matter(&file);
        assert_eq!(outcome.error, None, "{name}");
        let header = header(&file);
        assert_eq!(outcome.ended.len(), header.tensors.len(), "{name}: every tensor ends");
        for (info, bytes) in header.tensors.iter().zip(&outcome.tensors) {
            let start = (header.data_offset + info.offset) as usize;
            assert_eq!(bytes, &file[start..start + info.bytes as usize], "{name}: {}", info.name);
        }
        if let Some(expected) = expected {
            assert_eq!((header.tensors.len(), header.data_offset), expected, "{name}");
        }
    }
}

#[test]
fn damaged_files_fail_the_same_however_cut() {
    let Some(file) = fixture_bytes("stories260K.gguf") else { return };
    let header_bytes = header(&file).data_offset as usize;
    let mut failed = 0;
    for seed in 0..300 {
        let mut damaged = file[..header_bytes + 4096].to_vec();
        let place = seed * 7919 % header_bytes;
        damaged[place] ^= 1 << (seed % 8);
        let whole = Outcome::of([&damaged[..]], None);
        assert_eq!(Outcome::of(random_cuts(&damaged, seed as u64), None), whole, "byte {place} damaged");
        let error = whole.error.expect("cut short at least");
        failed += usize::from(error.code() != ErrorCode::Truncated);
    }
    assert!(failed > 20, "only {failed} of 300 damages met a check, so the damages are too mild");
}

fn golden() -> Json {
    serde_json::from_str(include_str!("../golden/gguf.json")).expect("the golden file is JSON")
}

fn bytes(hex: &Json) -> Vec<u8> {
    let hex = hex.as_str().expect("hexadecimal text").as_bytes();
    let digit = |digit: u8| (digit as char).to_digit(16).expect("a hexadecimal digit") as u8;
    hex.chunks(2).map(|pair| digit(pair[0]) * 16 + digit(pair[1])).collect()
}

/// The metadata of `tests/reference/gguf_golden.py`.
fn golden_metadata() -> Metadata {
    let pairs: [(&str, Value); 18] = [
        ("general.architecture", "llama".into()),
        ("general.alignment", 64u32.into()),
        ("test.u8", 200u8.into()),
        ("test.i8", (-100i8).into()),
        ("test.u16", 60_000u16.into()),
        ("test.i16", (-30_000i16).into()),
        ("test.u32", 4_000_000_000u32.into()),
        ("test.i32", (-2_000_000_000i32).into()),
        ("test.u64", u64::MAX.into()),
        ("test.i64", i64::MIN.into()),
        ("test.f32", 1.5f32.into()),
        ("test.f64", 0.1f64.into()),
        ("test.bool", true.into()),
        ("test.string", "naïve 日本語 🦙".into()),
        ("test.tokens", ["<s>", "Ġa", "日"].map(str::to_owned).to_vec().into()),
        ("test.scores", vec![0.0f32, -1.25].into()),
        ("test.types", vec![3i32, 1, -1].into()),
        ("test.flags", vec![true, false].into()),
    ];
    let mut metadata = Metadata::default();
    for (key, value) in pairs {
        metadata.insert(key, value);
    }
    metadata
}

#[test]
fn reads_what_the_gguf_package_wrote() {
    let golden = golden();
    let file = bytes(&golden["file"]);
    let outcome = assert_cuts_do_not_matter(&file);
    assert_eq!(outcome.error, None);
    let header = header(&file);
    assert_eq!(header.metadata, golden_metadata());
    assert_eq!(Json::from(header.data_offset), golden["data_offset"]);
    let kinds: Vec<_> = header
        .metadata
        .iter()
        .map(|(key, value)| match value {
            Value::Array(array) => (key, format!("array of {}", array.kind())),
            scalar => (key, scalar.kind().to_string()),
        })
        .collect();
    let expected = golden["metadata"].as_array().expect("a list");
    assert_eq!(kinds.len(), expected.len());
    for ((key, kind), expected) in kinds.iter().zip(expected) {
        assert_eq!((Json::from(*key), Json::from(kind.as_str())), (expected["key"].clone(), expected["kind"].clone()));
    }
    let expected = golden["tensors"].as_array().expect("a list");
    assert_eq!(header.tensors.len(), expected.len());
    for ((info, data), expected) in header.tensors.iter().zip(&outcome.tensors).zip(expected) {
        assert_eq!(Json::from(info.name.as_str()), expected["name"]);
        assert_eq!(Json::from(info.dims.clone()), expected["dims"], "{}", info.name);
        assert_eq!(Json::from(info.ty.name()), expected["type"], "{}", info.name);
        assert_eq!(Json::from(info.offset), expected["offset"], "{}", info.name);
        assert_eq!(data, &bytes(&expected["bytes"]), "{}", info.name);
    }
}

#[test]
fn writes_byte_for_byte_what_the_gguf_package_writes() {
    let golden = golden();
    let tensors = golden["tensors"].as_array().expect("a list");
    let specs: Vec<_> = tensors
        .iter()
        .map(|tensor| TensorSpec {
            name: tensor["name"].as_str().expect("a name").to_owned(),
            dims: tensor["dims"].as_array().expect("a list").iter().map(|dim| dim.as_u64().expect("a size")).collect(),
            ty: GgmlType::all().find(|ty| tensor["type"] == ty.name()).expect("a type webtern reads"),
        })
        .collect();
    let mut writer = Writer::new(Vec::new(), &golden_metadata(), &specs).expect("a valid header");
    for (spec, tensor) in specs.iter().zip(tensors) {
        writer.write_tensor(&spec.name, &bytes(&tensor["bytes"])).expect("the next tensor");
    }
    assert_eq!(writer.finish().expect("all tensors"), bytes(&golden["file"]));
}
