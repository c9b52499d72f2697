//! Malformed files, one by one: what is refused, under which code, in which words, however the
//! bytes are cut.

#![forbid(unsafe_code)]

use super::writer::Encoder;
use super::*;
use crate::error::{Error, ErrorCode, Result};
use crate::testing::test;

/// Pushes `file` in pieces of `piece` bytes to its end; the header, all data in file order, and the
/// tensors ended.
fn push(file: &[u8], piece: usize, limits: &Limits, total: Option<u64>) -> Result<(Header, Vec<u8>, Vec<usize>)> {
    let mut decoder = Decoder::new(limits.clone()).with_total_bytes(total);
    let (mut data, mut ended, mut failure) = (Vec::new(), Vec::new(), None);
    let outcome = (|| {
        for mut input in file.chunks(piece).chain([&[][..]]) {
            while let Some(event) = decoder.decode(&mut input).inspect_err(|error| failure = Some(error.clone()))? {
                match event {
                    GgufEvent::Header => assert!(decoder.header().is_some(), "the event announces the header"),
                    GgufEvent::Data { bytes, .. } => data.extend_from_slice(bytes),
                    GgufEvent::TensorEnd { tensor } => ended.push(tensor),
                }
            }
            assert!(input.is_empty(), "`None` means that all input is consumed");
        }
        assert_eq!(decoder.consumed(), file.len() as u64);
        decoder.finish()
    })();
    if let Some(error) = failure {
        assert_eq!(decoder.decode(&mut &[0; 64][..]), Err(error.clone()), "an error is for ever");
        assert_eq!(decoder.finish(), Err(error), "at the end too");
    }
    outcome.map(|()| (decoder.header().expect("finished files have a header").clone(), data, ended))
}

/// The error for `file`, the same however it is cut.
fn error_of(file: &[u8], limits: &Limits, total: Option<u64>) -> Error {
    let whole = push(file, usize::MAX, limits, total).expect_err("the file should be refused");
    for piece in [1, 7] {
        assert_eq!(push(file, piece, limits, total).err().as_ref(), Some(&whole), "in pieces of {piece}");
    }
    whole
}

#[track_caller]
fn rejects(file: &[u8], code: ErrorCode, words: &str) {
    let error = error_of(file, &Limits::default(), None);
    assert_eq!(error.code(), code, "{error}");
    assert!(error.message().contains(words), "{error}\n  lacks: {words}");
}

/// `(name, dims, type id, offset)`.
type Entry<'a> = (&'a str, &'a [u64], u32, u64);

/// A file of these parts, unchecked, and `data` zeros.
fn file(pairs: &[(&str, Value)], tensors: &[Entry<'_>], data: usize) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.preamble(3, tensors.len() as u64, pairs.len() as u64);
    pairs.iter().for_each(|(key, value)| encoder.pair(key, value));
    tensors.iter().for_each(|(name, dims, id, offset)| encoder.tensor(name, dims, *id, *offset));
    encoder.0.resize(encoder.0.len().next_multiple_of(32) + data, 0);
    encoder.0
}

/// A file whose preamble announces one pair, continued by `build`.
fn one_pair(build: impl FnOnce(&mut Encoder)) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.preamble(3, 0, 1);
    build(&mut encoder);
    encoder.0
}

fn preamble(version: u32, tensors: u64, pairs: u64) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.preamble(version, tensors, pairs);
    encoder.0
}

const F32: u32 = 0;
const I2_S: u32 = 36;
const Q2_0: u32 = 42;

/// A small valid file with every kind of value, tensors out of order and bytes between and after
/// them.
fn sample() -> Vec<u8> {
    let nested = Array::Array(vec![Array::I8(vec![-1, 2]), Array::Array(Vec::new()), Array::Bool(vec![true])]);
    let pairs: [(&str, Value); 15] = [
        ("u8", 1u8.into()),
        ("i8", (-1i8).into()),
        ("u16", 2u16.into()),
        ("i16", (-2i16).into()),
        ("u32", 3u32.into()),
        ("i32", (-3i32).into()),
        ("u64", u64::MAX.into()),
        ("i64", i64::MIN.into()),
        ("f32", 0.5f32.into()),
        ("f64", (-0.25f64).into()),
        ("bool", true.into()),
        ("string", "é\0".into()),
        ("empty", Vec::<u32>::new().into()),
        ("tokens", vec!["a".to_owned(), String::new(), "日本".to_owned()].into()),
        ("nested", nested.into()),
    ];
    let mut bytes = file(&pairs, &[("second", &[4, 2], F32, 64), ("first", &[3], F32, 0)], 64 + 32 + 5);
    let data = bytes.len() - 101;
    bytes[data..].iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
    bytes
}

#[test]
fn reads_every_kind_and_any_order() {
    let file = sample();
    for piece in [1, 2, 3, 8, 100, usize::MAX] {
        for total in [None, Some(file.len() as u64)] {
            let (header, data, ended) = push(&file, piece, &Limits::default(), total).expect("a valid file");
            assert_eq!(header.metadata.u64("u64"), Ok(Some(u64::MAX)));
            assert_eq!(header.metadata.get("i64"), Some(&i64::MIN.into()));
            assert_eq!(header.metadata.string("string"), Ok(Some("é\0")));
            assert_eq!(header.metadata.require_strings("tokens").map(<[_]>::len), Ok(3));
            let nested = "Array([I8([-1, 2]), Array([]), Bool([true])])";
            assert_eq!(format!("{:?}", header.metadata.get("nested")), format!("Some(Array({nested}))"));
            assert_eq!(header.metadata.iter().map(|(key, _)| key).nth(13), Some("tokens"));
            assert_eq!(header.tensor("first").map(|(place, first)| (place, first.bytes)), Some((1, 12)));
            assert_eq!((header.tensors[0].rows(), header.tensors[0].cols()), (2, 4));
            assert_eq!(header.data_bytes(), 44);
            assert_eq!(data, (0..12).chain(64..96).collect::<Vec<u8>>(), "the tensors' bytes alone, in file order");
            assert_eq!(ended, [1, 0]);
        }
    }
}

#[test]
fn writes_what_it_read() {
    let file = sample();
    let (header, data, _) = push(&file, usize::MAX, &Limits::default(), None).expect("a valid file");
    let specs: Vec<_> = ["first", "second"]
        .map(|name| header.tensor(name).expect("it is there").1)
        .map(|info| TensorSpec { name: info.name.clone(), dims: info.dims.clone(), ty: info.ty })
        .into();
    let mut writer = Writer::new(Vec::new(), &header.metadata, &specs).expect("a valid header");
    writer.write_tensor("first", &data[..12]).expect("the first tensor");
    writer.write_tensor("second", &data[12..]).expect("the second tensor");
    let written = writer.finish().expect("all tensors");
    assert_eq!(written.len() as u64, header.data_offset + 64, "padded to the alignment at the end too");
    let (again, data_again, _) = push(&written, usize::MAX, &Limits::default(), None).expect("what it wrote");
    assert_eq!((again.metadata, data_again), (header.metadata, data));
}

#[test]
fn writer_rejects_what_the_decoder_would() {
    let spec = |dims: &[u64], ty| TensorSpec { name: "t".into(), dims: dims.into(), ty };
    let code = |metadata: &Metadata, specs: &[TensorSpec]| {
        Writer::new(Vec::new(), metadata, specs).map(|_| ()).map_err(|error| error.code())
    };
    let none = Metadata::default();
    assert_eq!(code(&none, &[spec(&[33], GgmlType::Q8_0)]), Err(ErrorCode::Malformed), "no whole block");
    assert_eq!(code(&none, &[spec(&[4], GgmlType::F32), spec(&[4], GgmlType::F32)]), Err(ErrorCode::Malformed));
    assert_eq!(code(&none, &[spec(&[128], GgmlType::I2S)]), Err(ErrorCode::UnsupportedType), "not bitnet.cpp's");
    let mut metadata = Metadata::default();
    metadata.insert("general.alignment", 24u32);
    assert_eq!(code(&metadata, &[]), Err(ErrorCode::Malformed), "no power of two");
    let mut metadata = Metadata::default();
    metadata.insert("k".repeat(1 << 16), 0u32);
    assert_eq!(code(&metadata, &[]), Err(ErrorCode::Limits), "key too long");

    let mut writer = Writer::new(Vec::new(), &none, &[spec(&[4], GgmlType::F32)]).expect("a valid header");
    assert_eq!(writer.write_tensor("u", &[0; 16]).unwrap_err().code(), ErrorCode::BadOption, "another name");
    assert_eq!(writer.write_tensor("t", &[0; 15]).unwrap_err().code(), ErrorCode::BadOption, "another length");
    assert_eq!(writer.finish().unwrap_err().code(), ErrorCode::BadOption, "not all written");
}

#[test]
fn rejects_truncation_at_every_offset() {
    let file = sample();
    let end = file.len() - 5;
    for cut in 0..end {
        let error = error_of(&file[..cut], &Limits::default(), None);
        assert_eq!(error.code(), ErrorCode::Truncated, "cut at {cut}: {error}");
        assert!(cut == 0 || error.message().contains(&format!("byte {cut}")), "cut at {cut}: {error}");
        let error = error_of(&file[..cut], &Limits::default(), Some(cut as u64));
        assert_eq!(error.code(), ErrorCode::Truncated, "cut at {cut}, length known: {error}");
    }
    for whole in end..=file.len() {
        assert!(
            push(&file[..whole], 1, &Limits::default(), None).is_ok(),
            "only trailing bytes are missing at {whole}"
        );
    }
    rejects(&file[..end - 10], ErrorCode::Truncated, "tensor second: the file ends at byte");
    rejects(&file[..end - 10], ErrorCode::Truncated, "10 bytes too early");
    rejects(&file[..31], ErrorCode::Truncated, "metadata key 1 of 15: the file ends at byte 31, at least 1 bytes");
}

#[test]
fn rejects_other_files_by_kind() {
    rejects(b"<!DOCTYPE html><html>", ErrorCode::NotGguf, "HTML");
    rejects(b"<html>", ErrorCode::NotGguf, "HTML");
    rejects(b"{\"error\": \"not found\"}", ErrorCode::NotGguf, "JSON");
    rejects(b"GGU!", ErrorCode::NotGguf, "not begin with");
    rejects(b"X", ErrorCode::NotGguf, "not begin with");
    assert_eq!(
        error_of(b"Not found", &Limits::default(), Some(9)).code(),
        ErrorCode::NotGguf,
        "shorter than a preamble"
    );
    rejects(&preamble(1, 0, 0), ErrorCode::Malformed, "version 1 is too old");
    rejects(&preamble(4, 0, 0), ErrorCode::Malformed, "version 4 is unknown");
    rejects(&preamble(3u32.swap_bytes(), 0, 0), ErrorCode::Malformed, "big-endian");
}

#[test]
fn rejects_numbers_above_each_limit() {
    use ErrorCode::Limits as Over;
    rejects(&preamble(3, 1 << 17, 0), Over, "number of tensors is 131072");
    rejects(&preamble(3, u64::MAX, 0), Over, "number of tensors");
    rejects(&preamble(3, 0, u64::MAX), Over, "number of metadata pairs");
    rejects(&one_pair(|e| e.u64(1 << 16)), Over, "metadata key 1 of 1: the length of the key is 65536");
    rejects(&one_pair(|e| e.u64(u64::MAX)), Over, "the length of the key");
    let string = |len| {
        one_pair(|e| {
            e.string("name");
            e.u32(8);
            e.u64(len);
        })
    };
    rejects(&string((64 << 20) + 1), Over, "metadata key name: the length of the string");
    rejects(&string(u64::MAX), Over, "metadata key name: the length of the string");
    let array = |kind, len| {
        one_pair(|e| {
            e.string("list");
            e.u32(9);
            e.u32(kind);
            e.u64(len);
        })
    };
    rejects(&array(4, (1 << 24) + 1), Over, "metadata key list: the length of the array is 16777217");
    rejects(&array(9, u64::MAX), Over, "metadata key list: the length of the array");
    let deep = (0..4).fold(Array::U8(vec![1]), |inner, _| Array::Array(vec![inner]));
    rejects(&file(&[("deep", deep.into())], &[], 0), Over, "metadata key deep, element 0: the depth of arrays");
    rejects(&file(&[("general.alignment", (1u32 << 17).into())], &[], 0), Over, "general.alignment is 131072");
    rejects(&file(&[], &[(&"n".repeat(256), &[1], F32, 0)], 0), Over, "length of the name is 256");
    rejects(&file(&[], &[("t", &[u64::MAX, u64::MAX], F32, 0)], 0), Over, "tensor t has dimensions");
    rejects(&file(&[], &[("t", &[1 << 60], F32, 0)], 0), Over, "more weights than the limit");
    rejects(&file(&[], &[("t", &[1 << 41], F32, 0)], 0), Over, "above the limit of 4398046511104 bytes");
    rejects(&file(&[], &[("t", &[1], F32, u64::MAX - 31)], 0), Over, "at offset 18446744073709551584");

    let limits = Limits { max_header_bytes: 64, ..Limits::default() };
    let long = file(&[("name", "x".repeat(40).into())], &[], 0);
    let error = error_of(&long, &limits, None);
    assert_eq!(error.code(), Over, "{error}");
    assert!(error.message().contains("longer than the limit of 64 bytes"), "{error}");
    assert_eq!(error_of(&long[..48], &limits, None), error, "before any byte of the string was needed");
    let unlimited = Limits { max_string_bytes: u64::MAX, max_header_bytes: u64::MAX, ..Limits::default() };
    assert_eq!(error_of(&string(u64::MAX), &unlimited, None).code(), Over, "sums cannot overflow");
    let unlimited = Limits { max_data_bytes: u64::MAX, ..Limits::default() };
    let overflow = file(&[], &[("t", &[8], F32, u64::MAX - 31)], 0);
    assert_eq!(error_of(&overflow, &unlimited, None).code(), Over, "sums cannot overflow");
}

#[test]
fn rejects_lengths_that_the_file_cannot_hold() {
    let announced = [
        preamble(3, 60_000, 0),
        preamble(3, 0, 60_000),
        one_pair(|e| e.u64(60_000)),
        one_pair(|e| {
            e.string("tokens");
            e.u32(9);
            e.u32(8);
            e.u64(60_000);
        }),
        file(&[], &[("t", &[60_000], F32, 0)], 4),
        file(&[], &[("t", &[1], F32, 60_000 * 32)], 4),
    ];
    for file in announced {
        let error = error_of(&file, &Limits::default(), Some(file.len() as u64));
        assert_eq!(error.code(), ErrorCode::Truncated, "{error}");
        assert!(error.message().contains("bytes"), "{error}");
    }
}

#[test]
fn rejects_metadata_that_contradicts_itself() {
    use ErrorCode::Malformed;
    let twice: [(&str, Value); 2] = [("a.b", 1u32.into()), ("a.b", 1u32.into())];
    rejects(&file(&twice, &[], 0), Malformed, "the key a.b occurs twice");
    rejects(&one_pair(|e| e.string(b"k\xff")), Malformed, "metadata key 1 of 1: the key is not UTF-8");
    let value = |kind, payload: &[u8]| {
        one_pair(|e| {
            e.string("name");
            e.u32(kind);
            e.0.extend_from_slice(payload);
        })
    };
    rejects(&value(13, &[]), Malformed, "name: 13 is no kind of value");
    rejects(&value(7, &[2]), Malformed, "metadata key name: a bool is the byte 2");
    rejects(&value(8, &[2, 0, 0, 0, 0, 0, 0, 0, b'a', 0xc3]), Malformed, "metadata key name: the string is not UTF-8");
    rejects(&value(9, &[13, 0, 0, 0]), Malformed, "metadata key name: 13 is no kind of value");
    let bools = [7, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 3];
    rejects(&value(9, &bools), Malformed, "metadata key name, element 1: a bool is the byte 3");
    let strings = [8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xff];
    rejects(&value(9, &strings), Malformed, "metadata key name, element 0: the string is not UTF-8");
    rejects(&file(&[("general.alignment", 0u32.into())], &[], 0), Malformed, "general.alignment is 0");
    rejects(&file(&[("general.alignment", 48u32.into())], &[], 0), Malformed, "no power of two");
    rejects(&file(&[("general.alignment", "32".into())], &[], 0), Malformed, "general.alignment is a string");
}

#[test]
fn rejects_directories_that_contradict_themselves() {
    use ErrorCode::Malformed;
    rejects(&file(&[], &[("t", &[1, 1, 1, 1, 1], F32, 0)], 4), Malformed, "tensor t: 5 dimensions");
    rejects(&file(&[], &[("t", &[], F32, 0)], 4), Malformed, "tensor t has 0 dimensions");
    rejects(&file(&[], &[("t", &[4, 0], F32, 0)], 4), Malformed, "tensor t has a dimension of zero");
    rejects(&file(&[], &[("t", &[33], 8, 0)], 34), Malformed, "tensor t has rows of 33 weights");
    rejects(&file(&[], &[("t", &[1], F32, 8)], 12), Malformed, "tensor t is at offset 8");
    rejects(&file(&[], &[("t", &[1], F32, 0), ("t", &[1], F32, 32)], 36), Malformed, "two tensors have the name t");
    let overlap: [Entry<'_>; 2] = [("b", &[8], F32, 32), ("a", &[16], F32, 0)];
    rejects(&file(&[], &overlap, 64), Malformed, "tensors a and b overlap");
    rejects(&file(&[], &[("t", &[64], 40, 0)], 36), ErrorCode::UnsupportedType, "tensor t: tensor type 40 (NVFP4)");
    let mut name = preamble(3, 1, 0);
    name.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 0x80]);
    rejects(&name, Malformed, "entry 1 of 1 tensors: the name is not UTF-8");
}

#[test]
fn type_id_42_has_the_layout_that_fits_the_offsets() {
    let rows = |second| [("a", &[256, 64][..], Q2_0, 0), ("b", &[256, 64], Q2_0, second)];
    let (by_64, by_128) = (256 * 64 / 64 * 18, 256 * 64 / 128 * 34);
    let types = |file: &[u8], total: bool| {
        let total = total.then_some(file.len() as u64);
        let (header, data, _) = push(file, 9, &Limits::default(), total).expect("a valid file");
        assert_eq!(data.len() as u64, header.data_bytes());
        header.tensors.iter().map(|tensor| (tensor.ty, tensor.bytes)).collect::<Vec<_>>()
    };
    for total in [false, true] {
        assert_eq!(types(&file(&[], &rows(by_64), 2 * by_64 as usize), total), [(GgmlType::Q2_0, by_64); 2]);
        assert_eq!(types(&file(&[], &rows(by_128), 2 * by_128 as usize), total), [(GgmlType::Pq2_0, by_128); 2]);
    }
    // Only the end of the file tells.
    let last = file(&[], &rows(by_64)[..1], by_128 as usize);
    assert_eq!(types(&last, true), [(GgmlType::Pq2_0, by_128)]);
    assert_eq!(error_of(&last, &Limits::default(), None).code(), ErrorCode::UnsupportedType);
    // 128 weights take two units of alignment either way, so the other tensor decides.
    let small = |second| [("small", &[128][..], Q2_0, 0), ("b", &[256, 64], Q2_0, 64), ("c", &[1], F32, second)];
    let with_small = |bytes: u64| file(&[], &small(64 + bytes.next_multiple_of(32)), 64 + bytes as usize + 4);
    assert_eq!(types(&with_small(by_64), false)[0], (GgmlType::Q2_0, 36));
    assert_eq!(types(&with_small(by_128), false)[0], (GgmlType::Pq2_0, 34));
}

#[test]
fn rejects_both_layouts_of_type_id_42_in_one_file() {
    let (by_64, by_128) = (256 * 64 / 64 * 18, 256 * 64 / 128 * 34);
    let mixed: [Entry<'_>; 3] =
        [("a", &[256, 64], Q2_0, 0), ("b", &[256, 64], Q2_0, by_64), ("c", &[1], F32, by_64 + by_128)];
    let mixed = file(&[], &mixed, (by_64 + by_128 + 4) as usize);
    rejects(&mixed, ErrorCode::Malformed, "tensor a has 64 weights in 18 bytes, tensor b 128 in 34");
    let odd: [Entry<'_>; 2] = [("a", &[256, 64], Q2_0, 0), ("b", &[64, 3], Q2_0, by_128)];
    rejects(&file(&[], &odd, (by_128 + 54) as usize), ErrorCode::Malformed, "tensor b has rows of 64 weights");
}

#[test]
fn rejects_types_with_several_meanings() {
    use ErrorCode::UnsupportedType;
    let i2_s: [Entry<'_>; 2] = [("a", &[128, 2], I2_S, 0), ("b", &[1], F32, 96)];
    let bitnet = [("general.architecture", "bitnet-b1.58".into())];
    let by_type = [("general.file_type", 40u32.into())];
    for pairs in [&bitnet, &by_type] {
        let (header, ..) = push(&file(pairs, &i2_s, 100), 9, &Limits::default(), None).expect("I2_S of bitnet.cpp");
        assert_eq!(header.tensors[0].bytes, 64 + 32);
    }
    rejects(&file(&[("general.architecture", "llama".into())], &i2_s, 100), UnsupportedType, "not one of bitnet.cpp's");
    let gap: [Entry<'_>; 2] = [("a", &[128, 2], I2_S, 0), ("b", &[1], F32, 128)];
    rejects(&file(&bitnet, &gap, 132), UnsupportedType, "has another size");

    let rotated = [("prism.hadamard.block", 128u32.into())];
    rejects(&file(&rotated, &[], 0), ErrorCode::UnsupportedArchitecture, "prism.hadamard.block: the weights");
}

#[test]
fn split_names_count_from_one() {
    let name = split::SplitName::parse("https://host/a-of-b/model-00002-of-00003.gguf").expect("a split name");
    assert_eq!((name.prefix.as_str(), name.no, name.count), ("https://host/a-of-b/model", 1, 3));
    let all: Vec<_> = name.all().collect();
    assert_eq!(all.len(), 3);
    assert_eq!(all[1], "https://host/a-of-b/model-00002-of-00003.gguf");
    for other in
        ["model.gguf", "m-00000-of-00003.gguf", "m-00004-of-00003.gguf", "m-1-of-3.gguf", "m-+0001-of-00003.gguf"]
    {
        assert_eq!(split::SplitName::parse(other), None, "{other}");
    }
}

/// The header of file `no` of `count`, whose tensors are `names`, one f32 each.
fn part(no: u16, count: u16, tensors: i32, names: &[&str]) -> Header {
    let pairs: [(&str, Value); 3] =
        [("split.no", no.into()), ("split.count", count.into()), ("split.tensors.count", tensors.into())];
    let entries: Vec<Entry<'_>> = names.iter().zip(0..).map(|(name, n)| (*name, &[1][..], F32, n * 32)).collect();
    let (header, ..) = push(&file(&pairs, &entries, names.len() * 32), 64, &Limits::default(), None).expect("valid");
    header
}

#[test]
fn merged_headers_list_the_tensors_of_all_files() {
    let whole = split::merge([part(0, 3, 3, &[]), part(1, 3, 3, &["a", "b"]), part(2, 3, 3, &["c"])]).expect("all");
    let tensors: Vec<_> = whole.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.offset)).collect();
    assert_eq!(tensors, [("a", 0), ("b", 32), ("c", 64)]);
    assert_eq!(whole.tensor("c").map(|(place, _)| place), Some(2));
}

#[test]
fn rejects_files_of_another_split() {
    for (parts, words) in [
        (vec![part(0, 2, 2, &["a"]), part(0, 2, 2, &["b"])], "file 1 of 2 by its metadata"),
        (vec![part(1, 2, 2, &["a"])], "where file 1 of 2 belongs"),
        (vec![part(0, 2, 2, &["a"]), part(1, 3, 2, &["b"])], "file 2 of 3 by its metadata"),
        (vec![part(0, 2, 2, &["a"])], "only 1 are here"),
        (vec![part(0, 2, 3, &["a"]), part(1, 2, 3, &["b"])], "split.tensors.count is 3"),
        (vec![part(0, 2, 2, &["a"]), part(1, 2, 2, &["a"])], "two tensors have the name a"),
    ] {
        let error = split::merge(parts).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Malformed, "{error}");
        assert!(error.message().contains(words), "{error}");
    }
    assert_eq!(split::merge([]).unwrap_err().code(), ErrorCode::BadOption);
    let beyond = split::Part::of(&part(2, 2, 0, &[])).unwrap_err();
    assert!(beyond.message().contains("split.no is 2"), "{beyond}");
}

#[test]
fn an_empty_file_is_called_so_however_it_comes() {
    let decoder = || Decoder::new(Limits::default()).with_total_bytes(Some(0));
    let mut fed = decoder();
    let error = fed.decode(&mut &[][..]).unwrap_err();
    assert_eq!((error.code(), error.message()), (ErrorCode::Truncated, "the file is empty"));
    assert_eq!(fed.finish(), Err(error.clone()));
    assert_eq!(decoder().finish(), Err(error));
}
