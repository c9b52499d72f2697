//! Damaged, hostile and unsuitable models and requests: each is refused with the right code and a
//! message that names the trouble, however the bytes arrive, and nothing panics.

use crate::common::cuts::random_cuts;
use crate::common::random_model::{Normal, weights};
use crate::common::{TOY, answer, byte_tokenizer, engine, events, header, load, toy};
use serde_json::{Value as Json, json};
use webtern::decode::AttentionKind;
use webtern::engine::{Engine, EngineOptions, Prompt, Request};
use webtern::gguf::{GgmlType, Metadata, TensorSpec, Value, Writer};
use webtern::model::{LoadOptions, Loader};
use webtern::{Error, ErrorCode, Result};

/// A valid model, to be spoilt before it is written.
struct Draft {
    metadata: Metadata,
    tensors: Vec<(TensorSpec, Vec<u8>)>,
}

impl Draft {
    fn new() -> Self {
        let tokenizer = byte_tokenizer();
        let mut normal = Normal::new(TOY.seed);
        let specs = TOY.tensors(tokenizer.require_strings("tokenizer.ggml.tokens").unwrap().len());
        let tensors = specs.into_iter().map(|spec| (spec.clone(), weights(&spec, &mut normal).unwrap())).collect();
        Self { metadata: TOY.metadata(&tokenizer), tensors }
    }

    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.metadata.insert(key, value);
    }

    fn without_key(&mut self, key: &str) {
        let mut metadata = Metadata::default();
        for (other, value) in self.metadata.iter().filter(|(other, _)| *other != key) {
            metadata.insert(other, value.clone());
        }
        assert_eq!(metadata.len() + 1, self.metadata.len(), "there was a key {key}");
        self.metadata = metadata;
    }

    fn place(&self, name: &str) -> usize {
        self.tensors.iter().position(|(spec, _)| spec.name == name).unwrap()
    }

    fn without_tensor(&mut self, name: &str) {
        self.tensors.remove(self.place(name));
    }

    fn add_tensor(&mut self, name: &str, dims: &[u64], ty: GgmlType) {
        let spec = TensorSpec { name: name.to_owned(), dims: dims.to_vec(), ty };
        let bytes = weights(&spec, &mut Normal::new(0)).unwrap();
        self.tensors.push((spec, bytes));
    }

    fn reshape(&mut self, name: &str, dims: &[u64]) {
        let ty = self.tensors[self.place(name)].0.ty;
        self.without_tensor(name);
        self.add_tensor(name, dims, ty);
    }

    /// Puts `value` at byte `at` of a tensor.
    fn poke(&mut self, name: &str, at: usize, value: &[u8]) {
        let place = self.place(name);
        self.tensors[place].1[at..][..value.len()].copy_from_slice(value);
    }

    fn file(&self) -> Vec<u8> {
        let specs: Vec<TensorSpec> = self.tensors.iter().map(|(spec, _)| spec.clone()).collect();
        let mut writer = Writer::new(Vec::new(), &self.metadata, &specs).unwrap();
        for (spec, bytes) in &self.tensors {
            writer.write_tensor(&spec.name, bytes).unwrap();
        }
        writer.finish().unwrap()
    }
}

/// What loading `pieces` comes to.
fn outcome<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    total: Option<usize>,
    options: LoadOptions,
) -> Result<Engine> {
    let mut loader = Loader::new(options);
    loader.begin_file("bad.gguf", total.map(|bytes| bytes as u64))?;
    pieces.into_iter().try_for_each(|piece| loader.push(piece))?;
    Engine::new(loader.finish()?, &EngineOptions::default())
}

fn error<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, total: Option<usize>) -> Option<Error> {
    outcome(pieces, total, LoadOptions::default()).err()
}

/// Loads `file` whole, byte by byte and cut at random, with its length known and unknown. Says what
/// is wrong with how it is refused.
fn fault(file: &[u8], code: ErrorCode, words: &[&str]) -> std::result::Result<(), String> {
    for total in [None, Some(file.len())] {
        let whole = error([file], total).ok_or("it loads")?;
        if whole.code() != code || words.iter().any(|words| !whole.message().contains(words)) {
            return Err(format!("length {total:?}: expected {code} and {words:?}, got {} {whole}", whole.code()));
        }
        if error(file.chunks(1), total).as_ref() != Some(&whole) {
            return Err(format!("length {total:?}: byte by byte gives another error than {whole}"));
        }
        if let Some(seed) = (0..4).find(|&seed| error(random_cuts(file, seed), total).as_ref() != Some(&whole)) {
            return Err(format!("length {total:?}: random cuts {seed} give another error than {whole}"));
        }
    }
    Ok(())
}

/// A name and how to spoil a model.
type Spoil<T> = (&'static str, fn(&mut T));

/// A name, how to spoil a model, the code and words of the message.
type Case<T> = (&'static str, fn(&mut T), ErrorCode, &'static [&'static str]);

use ErrorCode::{Limits, Malformed, NotGguf, OutOfMemory, Truncated, UnsupportedArchitecture, UnsupportedType};

const NAN_F16: [u8; 2] = 0x7E00u16.to_le_bytes();

const MODELS: &[Case<Draft>] = &[
    (
        "unknown architecture",
        |m| m.set("general.architecture", "mamba"),
        UnsupportedArchitecture,
        &["\"mamba\"", "llama"],
    ),
    ("no architecture", |m| m.without_key("general.architecture"), Malformed, &["general.architecture", "missing"]),
    (
        "architecture is a number",
        |m| m.set("general.architecture", 3u32),
        Malformed,
        &["general.architecture", "string"],
    ),
    ("no layer count", |m| m.without_key("llama.block_count"), Malformed, &["llama.block_count"]),
    ("no layers", |m| m.set("llama.block_count", 0u32), Malformed, &["llama.block_count", "0"]),
    ("too few tensors for the layers", |m| m.set("llama.block_count", 3u32), Malformed, &["blk.2.attn_norm.weight"]),
    ("hostile layer count", |m| m.set("llama.block_count", u32::MAX), Limits, &["llama.block_count", "4294967295"]),
    ("hostile layer count of 64 bits", |m| m.set("llama.block_count", u64::MAX), Malformed, &["llama.block_count"]),
    ("large layer count", |m| m.set("llama.block_count", 1u32 << 20), Malformed, &["blk.2.attn_norm.weight"]),
    ("hostile width", |m| m.set("llama.embedding_length", u32::MAX), Limits, &["llama.embedding_length"]),
    (
        "another width",
        |m| m.set("llama.embedding_length", 128u32),
        Malformed,
        &["token_embd.weight", "[64, 260]", "128"],
    ),
    ("layer count is text", |m| m.set("llama.block_count", "two"), Malformed, &["llama.block_count", "string"]),
    ("layer count below zero", |m| m.set("llama.block_count", -2i32), Malformed, &["llama.block_count", "-2"]),
    ("no heads", |m| m.set("llama.attention.head_count", 0u32), Malformed, &["llama.attention.head_count"]),
    ("heads that cannot share", |m| m.set("llama.attention.head_count_kv", 3u32), Malformed, &["4 heads", "3"]),
    ("no context", |m| m.set("llama.context_length", 0u32), Malformed, &["llama.context_length"]),
    ("odd rotation", |m| m.set("llama.rope.dimension_count", 15u32), Malformed, &["llama.rope.dimension_count", "15"]),
    ("wide rotation", |m| m.set("llama.rope.dimension_count", 32u32), Malformed, &["llama.rope.dimension_count", "32"]),
    ("rope base NaN", |m| m.set("llama.rope.freq_base", f32::NAN), Malformed, &["llama.rope.freq_base", "NaN"]),
    ("rope scaling", |m| m.set("llama.rope.scaling.type", "su"), UnsupportedArchitecture, &["\"su\"", "yarn"]),
    (
        "no factors of LongRoPE",
        |m| m.set("llama.rope.scaling.type", "longrope"),
        Malformed,
        &["rope_factors_short.weight is missing"],
    ),
    ("no epsilon", |m| m.without_key("llama.attention.layer_norm_rms_epsilon"), Malformed, &["layer_norm_rms_epsilon"]),
    (
        "epsilon below zero",
        |m| m.set("llama.attention.layer_norm_rms_epsilon", -1f32),
        Malformed,
        &["layer_norm_rms_epsilon", "-1"],
    ),
    ("activation", |m| m.set("llama.hidden_activation", "gelu"), UnsupportedArchitecture, &["\"gelu\"", "silu"]),
    ("experts", |m| m.set("llama.expert_count", 8u32), UnsupportedArchitecture, &["llama.expert_count", "dense"]),
    ("no embedding", |m| m.without_tensor("token_embd.weight"), Malformed, &["token_embd.weight", "missing"]),
    ("no last norm", |m| m.without_tensor("output_norm.weight"), Malformed, &["output_norm.weight", "missing"]),
    ("no projection", |m| m.without_tensor("blk.1.ffn_down.weight"), Malformed, &["blk.1.ffn_down.weight", "missing"]),
    ("no norm", |m| m.without_tensor("blk.0.attn_norm.weight"), Malformed, &["blk.0.attn_norm.weight", "missing"]),
    ("no tensors", |m| m.tensors.clear(), Malformed, &["token_embd.weight", "missing"]),
    (
        "transposed projection",
        |m| m.reshape("blk.0.ffn_up.weight", &[128, 64]),
        Malformed,
        &["blk.0.ffn_up.weight", "[128, 64]", "64 x 128"],
    ),
    ("short norm", |m| m.reshape("blk.1.ffn_norm.weight", &[32]), Malformed, &["blk.1.ffn_norm.weight", "[32]"]),
    ("short embedding", |m| m.reshape("token_embd.weight", &[64, 259]), Malformed, &["token_embd.weight", "[64, 259]"]),
    (
        "a dimension too many",
        |m| m.reshape("blk.0.attn_q.weight", &[64, 64, 2]),
        Malformed,
        &["blk.0.attn_q.weight", "[64, 64, 2]"],
    ),
    (
        "a tensor without meaning",
        |m| m.add_tensor("blk.0.attn_sinks.weight", &[64], GgmlType::F32),
        UnsupportedArchitecture,
        &["blk.0.attn_sinks.weight"],
    ),
    (
        "NaN in a norm",
        |m| m.poke("blk.0.attn_norm.weight", 12, &f32::NAN.to_le_bytes()),
        Malformed,
        &["blk.0.attn_norm.weight", "weight 3", "NaN"],
    ),
    (
        "infinity in a norm",
        |m| m.poke("output_norm.weight", 0, &f32::INFINITY.to_le_bytes()),
        Malformed,
        &["output_norm.weight", "infinite"],
    ),
    (
        "NaN in a ternary scale",
        |m| m.poke("blk.1.attn_v.weight", 18, &NAN_F16),
        Malformed,
        &["blk.1.attn_v.weight", "row 1", "NaN"],
    ),
    (
        "NaN in the embedding",
        |m| m.poke("token_embd.weight", 34 * 7, &NAN_F16),
        Malformed,
        &["token_embd.weight", "row 3", "block 1", "NaN"],
    ),
    ("no vocabulary", |m| m.without_key("tokenizer.ggml.tokens"), Malformed, &["tokenizer.ggml.tokens", "missing"]),
    (
        "a vocabulary of numbers",
        |m| m.set("tokenizer.ggml.tokens", vec![1u32; 260]),
        Malformed,
        &["tokenizer.ggml.tokens", "strings"],
    ),
    ("a tokenizer model", |m| m.set("tokenizer.ggml.model", "bert"), UnsupportedArchitecture, &["\"bert\"", "gpt2"]),
    ("too few scores", |m| m.set("tokenizer.ggml.scores", vec![0f32; 9]), Malformed, &["scores", "9", "260"]),
    ("NaN scores", |m| m.set("tokenizer.ggml.scores", vec![f32::NAN; 260]), Malformed, &["scores", "token 0"]),
    ("an unknown token type", |m| m.set("tokenizer.ggml.token_type", vec![9i32; 260]), Malformed, &["token_type", "9"]),
    ("block size 0", |m| m.set("diffusion.block_size", 0u32), Malformed, &["diffusion.block_size"]),
    ("threshold", |m| m.set("diffusion.threshold", 1.5f32), Malformed, &["diffusion.threshold", "1.5"]),
    ("attention", |m| m.set("diffusion.attention", "full"), UnsupportedArchitecture, &["diffusion.attention", "full"]),
    (
        "acceptance",
        |m| m.set("diffusion.acceptance", "best"),
        UnsupportedArchitecture,
        &["acceptance \"best\"", "dynamic"],
    ),
    ("no steps", |m| m.set("diffusion.steps", 0u32), Malformed, &["diffusion.steps is 0"]),
    ("a part alone", |m| m.set("split.count", 2u16), Truncated, &["1 of the 2 files"]),
    (
        "the second part first",
        |m| {
            m.set("split.count", 2u16);
            m.set("split.no", 1u16);
        },
        Malformed,
        &["bad.gguf", "file 2 of 2", "file 1 of 2"],
    ),
];

#[test]
fn rejects_unsuitable_models() {
    assert_eq!(Draft::new().file(), toy(), "the draft begins as a model that loads");
    let faults = MODELS.iter().filter_map(|(name, spoil, code, words)| {
        let mut draft = Draft::new();
        spoil(&mut draft);
        fault(&draft.file(), *code, words).err().map(|fault| format!("{name}: {fault}"))
    });
    assert_eq!(faults.collect::<Vec<_>>(), [""; 0]);
}

/// Where `needle` ends in `file`.
fn after(file: &[u8], needle: &[u8]) -> usize {
    file.windows(needle.len()).position(|window| window == needle).unwrap() + needle.len()
}

fn put(file: &mut [u8], at: usize, bytes: impl AsRef<[u8]>) {
    let bytes = bytes.as_ref();
    file[at..][..bytes.len()].copy_from_slice(bytes);
}

/// Puts `bytes` at `offset` bytes after the text `name`. After a key come its kind (4 bytes) and
/// its value; after a tensor's name the number of its dimensions (4 bytes), the dimensions (8
/// each), its type (4) and its offset (8).
fn put_after(file: &mut [u8], name: &str, offset: usize, bytes: impl AsRef<[u8]>) {
    let at = after(file, name.as_bytes()) + offset;
    put(file, at, bytes);
}

fn rename(file: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let at = after(file, from.as_bytes()) - from.len();
    put(file, at, to);
}

/// A file that says it is aligned so.
fn aligned(alignment: u32) -> Vec<u8> {
    let mut draft = Draft::new();
    draft.set("general.alignment", 32u32);
    let mut file = draft.file();
    put_after(&mut file, "general.alignment", 4, alignment.to_le_bytes());
    file
}

const HUGE: [u8; 8] = u64::MAX.to_le_bytes();

const FILES: &[Case<Vec<u8>>] = &[
    ("a web page", |f| *f = b"<!DOCTYPE html><html><body>Not found</body></html>".to_vec(), NotGguf, &["HTML"]),
    ("JSON", |f| *f = br#"{"error": "Repository not found"}"#.to_vec(), NotGguf, &["JSON"]),
    ("zeros", |f| f.fill(0), NotGguf, &["GGUF"]),
    ("another letter", |f| put(f, 3, b"X"), NotGguf, &["GGUF"]),
    ("version 1", |f| put(f, 4, 1u32.to_le_bytes()), Malformed, &["version 1"]),
    ("version 99", |f| put(f, 4, 99u32.to_le_bytes()), Malformed, &["version 99"]),
    ("big-endian", |f| put(f, 4, 3u32.to_be_bytes()), Malformed, &["big-endian"]),
    ("hostile tensor count", |f| put(f, 8, HUGE), Limits, &["number of tensors", "18446744073709551615"]),
    ("hostile pair count", |f| put(f, 16, HUGE), Limits, &["number of metadata pairs"]),
    ("hostile key length", |f| put(f, 24, HUGE), Limits, &["length"]),
    ("hostile string length", |f| put_after(f, "general.architecture", 4, HUGE), Limits, &["general.architecture"]),
    ("hostile array length", |f| put_after(f, "tokenizer.ggml.tokens", 8, HUGE), Limits, &["tokenizer.ggml.tokens"]),
    (
        "a kind of value",
        |f| put_after(f, "llama.block_count", 0, 13u32.to_le_bytes()),
        Malformed,
        &["llama.block_count", "13"],
    ),
    (
        "a kind of element",
        |f| put_after(f, "tokenizer.ggml.scores", 4, [99]),
        Malformed,
        &["tokenizer.ggml.scores", "99"],
    ),
    (
        "a key twice",
        |f| rename(f, "llama.rope.freq_base", "llama.context_length"),
        Malformed,
        &["llama.context_length"],
    ),
    ("a key that is not UTF-8", |f| put(f, 32, [0xFF]), Malformed, &["UTF-8"]),
    (
        "dimensions: many",
        |f| put_after(f, "token_embd.weight", 0, [0xFF; 4]),
        Malformed,
        &["token_embd.weight", "4294967295"],
    ),
    ("a dimension of 0", |f| put_after(f, "token_embd.weight", 4, [0; 8]), Malformed, &["token_embd.weight", "zero"]),
    (
        "a hostile dimension",
        |f| put_after(f, "token_embd.weight", 4, HUGE),
        Limits,
        &["token_embd.weight", "18446744073709551615"],
    ),
    (
        "a row of part of a block",
        |f| put_after(f, "token_embd.weight", 4, [65]),
        Malformed,
        &["token_embd.weight", "65", "Q8_0"],
    ),
    (
        "an unsupported type",
        |f| put_after(f, "token_embd.weight", 20, [40]),
        UnsupportedType,
        &["token_embd.weight", "NVFP4"],
    ),
    (
        "an unknown type",
        |f| put_after(f, "token_embd.weight", 20, [0xFF; 4]),
        UnsupportedType,
        &["token_embd.weight", "4294967295"],
    ),
    (
        "a tensor off the grid",
        |f| put_after(f, "blk.0.attn_norm.weight", 16, [33]),
        Malformed,
        &["blk.0.attn_norm.weight", "no multiple of 32"],
    ),
    (
        "overlapping tensors",
        |f| put_after(f, "blk.0.attn_norm.weight", 16, [0; 8]),
        Malformed,
        &["blk.0.attn_norm.weight", "overlap"],
    ),
    ("a hostile offset", |f| put_after(f, "blk.0.attn_norm.weight", 16, HUGE), Limits, &["blk.0.attn_norm.weight"]),
    ("two tensors of a name", |f| rename(f, "blk.0.attn_k", "blk.0.attn_q"), Malformed, &["blk.0.attn_q.weight"]),
    ("an alignment of 33", |f| *f = aligned(33), Malformed, &["general.alignment", "33"]),
    ("an alignment of 0", |f| *f = aligned(0), Malformed, &["general.alignment", "0"]),
    ("a hostile alignment", |f| *f = aligned(1 << 31), Limits, &["general.alignment", "2147483648"]),
];

#[test]
fn rejects_damaged_files() {
    let sound = toy();
    let faults = FILES.iter().filter_map(|(name, spoil, code, words)| {
        let mut file = sound.clone();
        spoil(&mut file);
        fault(&file, *code, words).err().map(|fault| format!("{name}: {fault}"))
    });
    assert_eq!(faults.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn rejects_next_to_nothing() {
    for (file, code, words) in [
        (&b""[..], Truncated, "empty"),
        (b"G", Truncated, "byte 1"),
        (b"GGUF", Truncated, "byte 4"),
        (b"<p>", NotGguf, "HTML"),
    ] {
        let error = error([file], None).unwrap();
        assert_eq!(error.code(), code, "{file:?}: {error}");
        assert!(error.message().contains(words), "{file:?}: {error}");
    }
    assert_eq!(error([], None).unwrap().code(), Truncated);
}

/// Counts within every limit that the rest of the file cannot hold: refused at once where its
/// length is known.
#[test]
fn rejects_counts_beyond_the_end_of_the_file() {
    let sound = toy();
    let spoils: [Spoil<Vec<u8>>; 5] = [
        ("tensors", |f| put(f, 8, 60_000u64.to_le_bytes())),
        ("metadata pairs", |f| put(f, 16, 60_000u64.to_le_bytes())),
        ("a key", |f| put(f, 24, 60_000u64.to_le_bytes())),
        ("a string", |f| put_after(f, "general.architecture", 4, (1u64 << 20).to_le_bytes())),
        ("an array", |f| put_after(f, "tokenizer.ggml.tokens", 8, (1u64 << 20).to_le_bytes())),
    ];
    for (name, spoil) in spoils {
        let mut file = sound.clone();
        spoil(&mut file);
        let known = error([&file[..]], Some(file.len())).unwrap();
        assert_eq!(known.code(), Truncated, "{name}: {known}");
        assert_eq!(error(file.chunks(1), Some(file.len())), Some(known), "{name}: byte by byte");
        let unknown = error([&file[..]], None).unwrap();
        assert_eq!(error(file.chunks(1), None), Some(unknown), "{name}: byte by byte, length unknown");
    }
}

#[test]
fn rejects_files_cut_short_at_every_section() {
    let file = toy();
    let header = header(&file);
    let data = header.data_offset as usize;
    let tensors = header.tensors.iter().flat_map(|info| {
        let start = data + info.offset as usize;
        let bytes = info.bytes as usize;
        [0, 1, bytes / 2, bytes - 1].map(|part| (start + part, info.name.as_str()))
    });
    // Metadata and directory at every eleventh byte, then each tensor at four places.
    for (length, tensor) in (1..data).step_by(11).map(|length| (length, "")).chain(tensors) {
        let cut = &file[..length];
        for total in [None, Some(length), Some(file.len())] {
            let whole = error([cut], total).unwrap_or_else(|| panic!("cut at {length}: it loads"));
            assert_eq!(whole.code(), Truncated, "cut at {length}, length {total:?}: {whole}");
            assert_eq!(error(random_cuts(cut, length as u64), total), Some(whole.clone()), "cut at {length}");
            // Where the length is known to be short, the first tensor beyond it is named.
            assert!(total == Some(length) || whole.message().contains(tensor), "cut at {length} in {tensor}: {whole}");
        }
    }
}

#[test]
fn rejects_models_above_the_memory_limit_at_the_header() {
    let file = toy();
    let header = header(&file);
    let bytes: u64 = header.tensors.iter().map(|info| info.bytes).sum();
    let limited = |limit| LoadOptions { memory_limit: limit, ..LoadOptions::default() };
    assert!(outcome([&file[..]], None, limited(bytes)).is_ok());
    let error = outcome([&file[..header.data_offset as usize]], None, limited(bytes - 1)).err().unwrap();
    assert_eq!(error.code(), OutOfMemory, "{error}");
    assert!(error.message().contains(&bytes.to_string()), "{error}");
}

/// The model in two files, with the metadata that `change` made of each.
fn halves(change: impl Fn(usize, &mut Draft)) -> [Vec<u8>; 2] {
    [0, 1].map(|number| {
        let mut draft = Draft::new();
        let middle = draft.tensors.len() / 2;
        let second = draft.tensors.split_off(middle);
        if number == 1 {
            draft = Draft { metadata: Metadata::default(), tensors: second };
        }
        draft.set("split.no", number as u16);
        draft.set("split.count", 2u16);
        change(number, &mut draft);
        draft.file()
    })
}

#[test]
fn rejects_incomplete_and_mixed_up_splits() {
    let refusal = |files: &[&Vec<u8>]| load(files, &EngineOptions::default()).err().unwrap();
    let [first, second] = &halves(|_, _| {});
    assert!(load(&[first, second], &EngineOptions::default()).is_ok());
    let [_, other] = &halves(|number, draft| draft.set("split.count", 2u16 + number as u16));
    let [_, doubled] = &halves(|number, draft| {
        if number == 1 {
            draft.tensors.push(Draft::new().tensors.swap_remove(1));
        }
    });
    let short = &second[..second.len() - 100].to_vec();
    for (name, files, code, words) in [
        ("only the first", &[first][..], Truncated, &["1 of the 2 files"][..]),
        ("only the second", &[second], Malformed, &["file 0", "file 2 of 2", "file 1 of 2"]),
        ("wrong order", &[second, first], Malformed, &["file 0", "file 2 of 2"]),
        ("the first twice", &[first, first], Malformed, &["file 1", "file 1 of 2", "file 2 of 2"]),
        ("a file too many", &[first, second, second], Malformed, &["file 2"]),
        ("a part of another model", &[first, other], Malformed, &["file 1", "of 3"]),
        ("a tensor in both", &[first, doubled], Malformed, &["blk.0.attn_norm.weight", "more than one"]),
        ("a short second", &[first, short], Truncated, &["file 1"]),
        ("no file at all", &[], Truncated, &["no model"]),
    ] {
        let error = refusal(files);
        assert_eq!(error.code(), code, "{name}: {error}");
        for words in words {
            assert!(error.message().contains(words), "{name}: {error} lacks {words:?}");
        }
    }
}

#[test]
fn rejects_bytes_without_a_file() {
    let error = Loader::new(LoadOptions::default()).push(b"GGUF").unwrap_err();
    assert_eq!(error.code(), ErrorCode::BadOption, "{error}");
}

#[test]
fn rejects_load_options_that_the_model_does_not_allow() {
    let file = toy();
    for (options, words) in [
        (r#"{ "contextLength": 0 }"#, &["contextLength 0", "1 to 128"][..]),
        (r#"{ "contextLength": 129 }"#, &["contextLength 129", "1 to 128"]),
        (r#"{ "maskTokenId": 260 }"#, &["260", "vocabulary"]),
        (r#"{ "maskTokenId": 2 }"#, &["2 (</s>)", "ends answers"]),
    ] {
        let error = load(&[&file], &EngineOptions::from_json(options).unwrap()).err().unwrap();
        assert_eq!(error.code(), ErrorCode::BadOption, "{options}: {error}");
        for words in words {
            assert!(error.message().contains(words), "{options}: {error} lacks {words:?}");
        }
    }
    let options =
        EngineOptions::from_json(r#"{ "contextLength": 64, "maskTokenId": 2, "forceMaskToken": true }"#).unwrap();
    let engine = load(&[&file], &options).unwrap();
    assert_eq!((engine.info().context_length, engine.info().diffusion.as_ref().unwrap().mask_token), (64, 2));
}

#[test]
fn rejects_requests_that_the_model_cannot_serve() {
    let mut engine = engine(&toy());
    let good = json!({ "prompt": "abc", "mode": "ar", "maxTokens": 5 });
    let expected = answer(&mut engine, good.clone()).tokens;
    let long = "x".repeat(200);
    let cases: [(Json, ErrorCode, &[&str]); 8] = [
        (json!({ "prompt": long }), ErrorCode::ContextFull, &["128", "contextLength"]),
        (json!({ "messages": [{ "role": "user", "content": long }] }), ErrorCode::ContextFull, &["128"]),
        (json!({ "prompt": "abc", "maxTokens": 128 }), ErrorCode::ContextFull, &["128", "maxTokens"]),
        (json!({ "tokens": [5, 260] }), ErrorCode::BadOption, &["token 260", "index 1", "260"]),
        (json!({ "tokens": [u32::MAX] }), ErrorCode::BadOption, &["4294967295"]),
        (json!({ "tokens": [] }), ErrorCode::BadOption, &["no tokens"]),
        (json!({ "prompt": "abc", "blockSize": 256 }), ErrorCode::BadOption, &["blockSize", "256"]),
        (json!({ "prompt": "abc", "subBlockSize": 5 }), ErrorCode::BadOption, &["subBlockSize", "5"]),
    ];
    for (request, code, words) in cases {
        let error = events(&mut engine, &Request::from_json(&request.to_string()).unwrap()).unwrap_err();
        assert_eq!(error.code(), code, "{request}: {error}");
        for words in words {
            assert!(error.message().contains(words), "{request}: {error} lacks {words:?}");
        }
        assert_eq!(answer(&mut engine, good.clone()).tokens, expected, "the model still works");
    }
    for (tokens, code) in [(vec![260], ErrorCode::BadOption), (vec![5; 129], ErrorCode::ContextFull)] {
        let error = engine.logits(&tokens, AttentionKind::Block, |_| {}).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
}

#[test]
fn rejects_an_empty_prompt_where_no_start_token_is_added() {
    let mut draft = Draft::new();
    draft.set("tokenizer.ggml.add_bos_token", false);
    let mut engine = engine(&draft.file());
    assert_eq!(engine.frontend().encode(&Prompt::Text(String::new())), Ok(vec![]));
    let error = engine.start(&Request::from_json(r#"{ "prompt": "" }"#).unwrap()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::BadOption, "{error}");
    assert!(error.message().contains("no tokens"), "{error}");
}

#[test]
fn rejects_diffusion_without_a_usable_mask_token() {
    let spoils: [Spoil<Draft>; 2] = [
        ("no mask token", |draft| {
            draft.without_key("tokenizer.ggml.mask_token_id");
            draft.set("tokenizer.ggml.token_type", vec![1i32; 260]);
        }),
        ("a mask token that ends answers", |draft| draft.set("tokenizer.ggml.mask_token_id", 2u32)),
    ];
    for (name, spoil) in spoils {
        let mut draft = Draft::new();
        spoil(&mut draft);
        let mut engine = engine(&draft.file());
        assert_eq!(engine.info().diffusion, None, "{name}");
        for mode in ["greedy", "iterative", "adaptive"] {
            let request = json!({ "tokens": [70, 71], "mode": mode });
            let error = engine.start(&Request::from_json(&request.to_string()).unwrap()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::NoMaskToken, "{name}, {mode}: {error}");
            assert!(error.message().contains("mask token") && error.message().contains("`ar`"), "{name}: {error}");
        }
        assert_eq!(answer(&mut engine, json!({ "tokens": [70, 71], "maxTokens": 3 })).tokens.len(), 3, "auto runs ar");
    }
}
