//! What the integration tests share: fixtures, small models made on the spot, and running them.

pub(crate) mod cuts;
#[path = "../../../examples/random_model/file.rs"]
pub(crate) mod random_model;
#[cfg(feature = "cli")]
pub(crate) mod server;
pub(crate) mod torch_file;

use random_model::{RandomModel, Shape};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use webtern::Result;
use webtern::decode::{Event, Outcome};
use webtern::engine::{Engine, EngineLoader, EngineOptions, Request};
use webtern::gguf::{Decoder, GgmlType, GgufEvent, Header, Limits, Metadata, TensorInfo, TensorSpec, Writer};

/// The path of the fixture file or folder `name`, or `None` where fixtures may be missing. In CI
/// they must be there.
pub(crate) fn fixture(name: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/fixtures"));
    let path = std::env::var_os("WEBTERN_FIXTURES").map_or_else(beside, PathBuf::from).join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "there is no fixture {}", path.display());
    eprintln!("skipped: there is no fixture {}", path.display());
    None
}

/// The bytes of the fixture file `name`.
pub(crate) fn fixture_bytes(name: &str) -> Option<Vec<u8>> {
    fixture(name).map(|path| std::fs::read(path).unwrap())
}

/// The header of a GGUF file.
pub(crate) fn header(file: &[u8]) -> Header {
    let mut decoder = Decoder::new(Limits::default());
    assert_eq!(decoder.decode(&mut &*file), Ok(Some(GgufEvent::Header)));
    decoder.into_header().unwrap()
}

/// A file taken apart, changed, and put together again.
pub(crate) fn rewritten(file: &[u8], change: impl FnOnce(&mut Metadata, &mut Vec<(TensorSpec, Vec<u8>)>)) -> Vec<u8> {
    let header = header(file);
    let part = |info: &TensorInfo| {
        let spec = TensorSpec { name: info.name.clone(), dims: info.dims.clone(), ty: info.ty };
        (spec, file[(header.data_offset + info.offset) as usize..][..info.bytes as usize].to_vec())
    };
    let mut tensors: Vec<_> = header.tensors.iter().map(part).collect();
    let mut metadata = header.metadata.clone();
    change(&mut metadata, &mut tensors);
    let specs: Vec<TensorSpec> = tensors.iter().map(|(spec, _)| spec.clone()).collect();
    let mut writer = Writer::new(Vec::new(), &metadata, &specs).unwrap();
    for (spec, bytes) in &tensors {
        writer.write_tensor(&spec.name, bytes).unwrap();
    }
    writer.finish().unwrap()
}

/// Loads the files of a model.
pub(crate) fn load<T: AsRef<[u8]>>(files: &[T], options: &EngineOptions) -> Result<Engine> {
    let mut loader = EngineLoader::new(options.clone());
    for (number, file) in files.iter().enumerate() {
        loader.begin_file(&format!("file {number}"), Some(file.as_ref().len() as u64))?;
        loader.push(file.as_ref())?;
    }
    loader.finish()
}

/// Loads a model that must load.
pub(crate) fn engine(file: &[u8]) -> Engine {
    load(&[file], &EngineOptions::default()).unwrap()
}

/// All events of a run.
pub(crate) fn events(engine: &mut Engine, request: &Request) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    engine.start(request)?;
    while engine.step(&mut events)? {}
    Ok(events)
}

/// What came of a request in JSON.
pub(crate) fn answer(engine: &mut Engine, request: serde_json::Value) -> Outcome {
    let request = Request::from_json(&request.to_string()).unwrap();
    match events(engine, &request).unwrap().pop() {
        Some(Event::Done { result }) => result,
        last => panic!("the last event is {last:?}"),
    }
}

/// A sentencepiece vocabulary of the 256 bytes, three control tokens and a mask token: 260 tokens.
pub(crate) fn byte_tokenizer() -> Metadata {
    let mut tokens = ["<unk>", "<s>", "</s>"].map(str::to_owned).to_vec();
    tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    tokens.push("|<MASK>|".to_owned());
    let mut types = vec![6i32; tokens.len()];
    types[..3].copy_from_slice(&[2, 3, 3]);
    types[259] = 3;
    let mut metadata = Metadata::default();
    metadata.insert("tokenizer.ggml.model", "llama");
    metadata.insert("tokenizer.ggml.scores", vec![0f32; tokens.len()]);
    metadata.insert("tokenizer.ggml.token_type", types);
    metadata.insert("tokenizer.ggml.tokens", tokens);
    metadata
}

/// A `tokenizer.json` of GPT-2's kind: three special tokens, the third a mask token, and the 256
/// bytes.
pub(crate) fn tokenizer_json() -> String {
    let printable = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let shifted = (0..256u32).filter(|byte| !printable(byte)).zip(256..).map(|(_, code)| code);
    let characters = (0..256).filter(printable).chain(shifted).filter_map(char::from_u32);
    let special = ["<s>", "</s>", "|<MASK>|"];
    let tokens = special.into_iter().map(str::to_owned).chain(characters.map(String::from));
    let vocab: BTreeMap<String, usize> = tokens.zip(0..).collect();
    let added = special.map(|token| {
        json!({ "id": vocab[token], "content": token, "special": true, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false })
    });
    let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    let tokenizer = json!({
        "version": "1.0", "added_tokens": added, "normalizer": null, "post_processor": null, "decoder": bytes,
        "pre_tokenizer": bytes, "model": { "type": "BPE", "vocab": vocab, "merges": [] },
    });
    tokenizer.to_string()
}

/// A block-diffusion model for [`byte_tokenizer`] in 60 KB.
pub(crate) const TOY: RandomModel = RandomModel {
    shape: Shape { layers: 2, hidden: 64, heads: 4, kv_heads: 2, head_dim: 16, feed_forward: 128, context_length: 128 },
    linear: GgmlType::Q2_0,
    grouped: false,
    mask_token: Some(259),
    unending: false,
    seed: 1,
};

/// The bytes of [`TOY`].
pub(crate) fn toy() -> Vec<u8> {
    TOY.write(Vec::new(), &byte_tokenizer()).unwrap()
}

/// The command line.
#[cfg(feature = "cli")]
pub(crate) fn webtern() -> std::process::Command {
    std::process::Command::new(env!("CARGO_BIN_EXE_webtern"))
}
