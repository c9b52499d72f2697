//! Files that PyTorch wrote, whole and damaged. `tests/reference/torch_golden.py` makes them.

use super::*;
use crate::ErrorCode;
use crate::testing::test;

type Memory = BTreeMap<String, Vec<u8>>;

macro_rules! golden {
    ($($name:literal)*) => {
        [$(($name, include_bytes!(concat!("../../../tests/golden/torch/", $name)).as_slice())),*]
    };
}

const GOOD: [(&str, &[u8]); 5] = golden!("lightning.pt" "protocol-5.pt" "training.pt" "types.pt" "views.pt");

/// Every tensor of the only file, by name, as the type, shape and bytes in hexadecimal.
fn tensors(files: &mut Memory) -> Result<serde_json::Map<String, serde_json::Value>> {
    let all = weights(files)?.tensors.into_iter().map(|tensor| {
        let mut bytes = vec![0; tensor.bytes as usize];
        tensor.read(files, 0, &mut bytes)?;
        let data: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let dtype = format!("{:?}", tensor.dtype);
        Ok((tensor.name, serde_json::json!({ "dtype": dtype, "shape": tensor.shape, "data": data })))
    });
    all.collect()
}

fn only(name: &str, file: impl Into<Vec<u8>>) -> Memory {
    [(name.to_owned(), file.into())].into()
}

/// A file of two tensors of a byte each.
fn safetensors() -> Vec<u8> {
    let header =
        br#"{"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"c":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#;
    [&(header.len() as u64).to_le_bytes(), &header[..], &[7, 8]].concat()
}

#[track_caller]
fn refuse(mut files: Memory, code: ErrorCode, words: &str) {
    let error = weights(&mut files).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.message().contains(words), "{error}");
}

#[test]
fn tensors_are_those_that_pytorch_saved() {
    let expected = include_str!("../../../tests/golden/torch/expected.json");
    let expected: serde_json::Map<String, serde_json::Value> = serde_json::from_str(expected).unwrap();
    assert_eq!(expected.len(), GOOD.len());
    for (name, file) in GOOD {
        assert_eq!(serde_json::Value::Object(tensors(&mut only(name, file)).unwrap()), expected[name], "{name}");
    }
}

#[test]
fn refuses_what_is_not_tensors_row_by_row() {
    let refused = golden!("before-1.6.pt" "transposed.pt" "module.pt" "tensor.pt" "two.pt" "none.pt" "command.pt"
        "compressed.pt" "big-endian.pt");
    let words = [
        "PyTorch before 1.6",
        "tensor a of shape [3, 2] is stored with strides [1, 3], not row by row",
        "torch.nn.modules.linear.Linear, which tensors do not need",
        "no dictionary of tensors",
        "weights under model and module",
        "no tensors, also not under model_state_dict, state_dict, model, module, but epoch, args",
        "system, which tensors do not need",
        "is compressed or encrypted",
        "the byte order big",
    ];
    for ((name, file), words) in refused.into_iter().zip(words) {
        refuse(only(name, file), ErrorCode::UnsupportedType, words);
    }
    let [(name, file)] = golden!("short-storage.pt");
    refuse(only(name, file), ErrorCode::Malformed, "data/0 has 4 bytes, but the pickle says 8");
    refuse(only("model.pt", *b"PK, but no archive"), ErrorCode::Truncated, "ends before its directory");
    refuse(only("model.pt", *b"not a PyTorch file"), ErrorCode::UnsupportedType, "not an archive");
    refuse(only("model.pt", *b"version https://git-lfs"), ErrorCode::Truncated, "git lfs pull");
    refuse(only("model.pt", *b""), ErrorCode::Truncated, "model.pt");
}

#[test]
fn storages_are_checked_against_the_archive() {
    let [(_, small), (_, training)] = golden!("protocol-5.pt" "training.pt");
    let replace = |file: &[u8], from: &[u8], to: &[u8]| {
        let at: Vec<usize> = (0..file.len()).filter(|&at| file[at..].starts_with(from)).collect();
        let mut changed = file.to_vec();
        at.iter().for_each(|&at| changed[at..at + to.len()].copy_from_slice(to));
        assert!(!at.is_empty(), "{from:?} is not there");
        only("model.pt", changed)
    };
    let change = |from: &[u8], to: &[u8]| replace(small, from, to);
    // The pickle ends: offset 0, shape (2,), stride (1,), no gradient; TUPLE1 is 0x85, NEWFALSE
    // 0x89, 0x94 memoises.
    let beyond = "beyond its storage of 8 bytes";
    refuse(change(b"K\x00K\x02\x85", b"K\x01K\x02\x85"), ErrorCode::Malformed, beyond);
    refuse(change(b"K\x00K\x02\x85", b"K\x00K\x03\x85"), ErrorCode::Malformed, beyond);
    refuse(change(b"K\x01\x85\x94\x89", b"K\x02\x85\x94\x89"), ErrorCode::UnsupportedType, "strides [2]");
    refuse(change(b"\x8c\x010", b"\x8c\x019"), ErrorCode::Truncated, "data/9, which is not in the archive");
    refuse(change(b"data.pkl", b"data.txt"), ErrorCode::UnsupportedType, "not one with the data.pkl");
    refuse(replace(training, b"data/1", b"data/0"), ErrorCode::Malformed, "twice in the archive");
}

// Half a million files take too long for the browser.
#[cfg(not(target_arch = "wasm32"))]
#[test]
fn damage_gives_a_typed_error_or_other_tensors() {
    let [(_, torch)] = golden!("protocol-5.pt");
    for (name, file) in [("model.pt", torch), ("model.safetensors", &safetensors())] {
        for len in 0..file.len() {
            // An archive has its directory at the end, safetensors have data there.
            assert!(tensors(&mut only(name, &file[..len])).is_err(), "{name} {len}");
        }
        let mut files = only(name, file);
        for (at, &byte) in file.iter().enumerate() {
            for damaged in 0..=255 {
                files.get_mut(name).unwrap()[at] = damaged;
                // What is read may be wrong, for weights have no checksum; but it is read or
                // refused.
                let _ = tensors(&mut files);
            }
            files.get_mut(name).unwrap()[at] = byte;
        }
    }
}

/// Files that cannot be read from some byte on.
struct Failing {
    files: Memory,
    from: u64,
}

impl Files for Failing {
    fn names(&self) -> Vec<String> {
        self.files.names()
    }

    fn size(&mut self, name: &str) -> Result<u64> {
        self.files.size(name)
    }

    fn read_at(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<()> {
        if offset + buffer.len() as u64 > self.from {
            bail!(Io, "the disk is gone");
        }
        self.files.read_at(name, offset, buffer)
    }
}

#[test]
fn failures_to_read_stay_what_they_are() {
    let [(name, file)] = golden!("protocol-5.pt");
    for from in 0..file.len() as u64 {
        let error = weights(&mut Failing { files: only(name, file), from }).unwrap_err();
        assert_eq!((error.code(), error.message()), (ErrorCode::Io, "the disk is gone"), "{from}");
    }
}

#[test]
fn files_are_chosen_by_name() {
    let [(_, good), (_, other)] = golden!("protocol-5.pt" "views.pt");
    let choose = |names: &[&str]| {
        let mut files: Memory = names.iter().map(|name| ((*name).to_owned(), other.to_vec())).collect();
        files.insert(names[0].to_owned(), good.to_vec());
        weights(&mut files).map(|found| (found.tensors.len(), found.notices))
    };
    for names in [
        &["pytorch_model.bin"][..],
        &["pytorch_model.bin", "another.bin"],
        &["checkpoint.pt", "optimizer.pt", "scheduler.pt", "training_args.bin", "rng_state_0.pth", "rng_state.pth"],
        &["model.pth", "tokenizer.json"],
    ] {
        assert_eq!(choose(names), Ok((1, vec![])), "{names:?}");
    }
    let error = choose(&["a.pt", "b.bin"]).unwrap_err();
    assert!(error.message().contains("has a.pt, b.bin but no pytorch_model.bin.index.json"), "{error}");
    let error = choose(&["optimizer.pt", "config.json"]).unwrap_err();
    assert_eq!((error.code(), error.message().contains("no weights")), (ErrorCode::Io, true), "{error}");

    let mut files = only("model.safetensors", safetensors());
    files.insert("pytorch_model.bin".into(), good.to_vec());
    let found = weights(&mut files).unwrap();
    assert_eq!(found.tensors.len(), 2);
    assert_eq!(found.notices, ["the weights are taken from safetensors; pytorch_model.bin is not read"]);
}

#[test]
fn pytorch_shards_are_read_by_their_index() {
    let [(_, a), (_, views)] = golden!("protocol-5.pt" "views.pt");
    let map = ["embedding", "head", "rows", "row", "column", "parameter"].map(|name| (name, "2.bin"));
    let map: BTreeMap<&str, &str> = map.into_iter().chain([("a", "1.bin")]).collect();
    let index = serde_json::json!({ "weight_map": map }).to_string().into_bytes();
    let files = [("1.bin", a.to_vec()), ("2.bin", views.to_vec()), ("pytorch_model.bin.index.json", index)];
    let mut files: Memory = files.map(|(name, file)| (name.to_owned(), file)).into();
    assert_eq!(weights(&mut files).unwrap().tensors.len(), 7);
    files.remove("2.bin");
    refuse(
        files,
        ErrorCode::Truncated,
        "1 of the 2 weight files that pytorch_model.bin.index.json names are missing: 2.bin",
    );
}
