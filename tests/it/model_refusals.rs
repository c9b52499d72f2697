//! What the loader refuses, and what it says: golden checkpoints, converted and changed in one
//! place.

use crate::checkpoints::Checkpoint;
use crate::testing::test;
use webtern::decode::AttentionKind;
use webtern::engine::{Engine, EngineOptions};
use webtern::gguf::{Decoder, GgmlType, GgufEvent, Limits, Metadata, TensorSpec, Value, Writer};
use webtern::model::{Attention, LanguageModel, LoadOptions, LoadedModel, Loader, Pass};
use webtern::{Error, ErrorCode, Result};

const LLAMA: &str = "llama-biases";
const BITNET: &str = "bitnet-online";
const QWEN3: &str = "qwen3";

/// A file taken apart.
#[derive(Clone)]
struct File {
    metadata: Metadata,
    tensors: Vec<(TensorSpec, Vec<u8>)>,
}

impl File {
    /// What a golden checkpoint becomes.
    fn new(checkpoint: &str) -> Self {
        let (file, _) = Checkpoint::named(checkpoint).convert(None).unwrap();
        let mut bytes = file.as_slice();
        let mut decoder = Decoder::new(Limits::default());
        let mut data: Vec<Vec<u8>> = Vec::new();
        while let Some(event) = decoder.decode(&mut bytes).unwrap() {
            match event {
                GgufEvent::Header => data.resize(decoder.header().unwrap().tensors.len(), Vec::new()),
                GgufEvent::Data { tensor, bytes, .. } => data[tensor].extend_from_slice(bytes),
                GgufEvent::TensorEnd { .. } => {}
            }
        }
        let header = decoder.into_header().unwrap();
        let spec = |info: &webtern::gguf::TensorInfo| TensorSpec {
            name: info.name.clone(),
            dims: info.dims.clone(),
            ty: info.ty,
        };
        Self { tensors: header.tensors.iter().map(spec).zip(data).collect(), metadata: header.metadata }
    }

    fn with(&self, key: &str, value: impl Into<Value>) -> Self {
        let mut file = self.clone();
        file.metadata.insert(key, value);
        file
    }

    fn without_key(&self, key: &str) -> Self {
        let mut file = self.clone();
        file.metadata = Metadata::default();
        for (name, value) in self.metadata.iter().filter(|(name, _)| *name != key) {
            file.metadata.insert(name, value.clone());
        }
        assert_eq!(file.metadata.len() + 1, self.metadata.len(), "{key} was there");
        file
    }

    fn without(&self, tensor: &str) -> Self {
        let mut file = self.clone();
        file.tensors.retain(|(spec, _)| spec.name != tensor);
        assert_eq!(file.tensors.len() + 1, self.tensors.len(), "{tensor} was there");
        file
    }

    fn and(&self, name: &str, values: &[f32]) -> Self {
        let mut file = self.clone();
        let spec = TensorSpec { name: name.to_owned(), dims: vec![values.len() as u64], ty: GgmlType::F32 };
        file.tensors.push((spec, values.iter().flat_map(|value| value.to_le_bytes()).collect()));
        file
    }

    fn load(&self, options: LoadOptions) -> Result<LoadedModel> {
        let specs: Vec<TensorSpec> = self.tensors.iter().map(|(spec, _)| spec.clone()).collect();
        let mut writer = Writer::new(Vec::new(), &self.metadata, &specs)?;
        for (spec, bytes) in &self.tensors {
            writer.write_tensor(&spec.name, bytes)?;
        }
        let mut loader = Loader::new(options);
        loader.begin_file("model.gguf", None)?;
        loader.push(&writer.finish()?)?;
        loader.finish()
    }

    fn refused(&self) -> Error {
        self.load(LoadOptions::default()).err().expect("the file is refused")
    }
}

/// Checks the code of an error, and that its message has all the `words`.
fn says(error: &Error, code: ErrorCode, words: &[&str]) {
    assert_eq!(error.code(), code, "{error}");
    for word in words {
        assert!(error.message().contains(word), "\"{error}\" lacks \"{word}\"");
    }
}

#[test]
fn rejects_models_it_cannot_run() {
    let llama = File::new(LLAMA);
    let cases: [(File, &[&str]); 13] = [
        (llama.with("general.architecture", "mamba"), &["\"mamba\"", "llama", "qwen3"]),
        (llama.with("llama.expert_count", 8u32), &["llama.expert_count", "dense"]),
        (llama.with("llama.attention.value_length", 12u32), &["llama.attention.value_length", "key length 6"]),
        (llama.with("llama.hidden_activation", "gelu"), &["\"gelu\"", "silu", "relu2"]),
        (llama.with("llama.rope.scaling.type", "dynamic"), &["llama.rope.scaling.type", "\"dynamic\"", "yarn"]),
        (
            llama.with("llama.rope.scaling.type", "yarn").with("llama.rope.scaling.yarn_log_multiplier", 0.1f32),
            &["llama.rope.scaling.yarn_log_multiplier"],
        ),
        (
            llama.with("llama.rope.scaling.type", "yarn").with("llama.rope.scaling.yarn_ext_factor", 0.5f32),
            &["llama.rope.scaling.yarn_ext_factor"],
        ),
        (llama.and("blk.0.attn_q_norm.weight", &[1.0; 6]), &["blk.0.attn_q_norm.weight", "llama"]),
        (llama.and("blk.2.attn_norm.weight", &[1.0; 24]), &["blk.2.attn_norm.weight"]),
        (llama.and("blk.1.ffn_gate.lora_a", &[1.0; 24]), &["blk.1.ffn_gate.lora_a"]),
        (llama.and("blk.one.attn_norm.weight", &[1.0; 24]), &["blk.one.attn_norm.weight"]),
        (llama.and("output.bias", &[1.0; 64]), &["output.bias"]),
        (llama.and("token_embd_norm.weight", &[1.0; 24]), &["token_embd_norm.weight"]),
    ];
    for (file, words) in cases {
        says(&file.refused(), ErrorCode::UnsupportedArchitecture, words);
    }
}

#[test]
fn rejects_contradictions() {
    let (llama, bitnet, qwen3) = (File::new(LLAMA), File::new(BITNET), File::new(QWEN3));
    for key in [
        "general.architecture",
        "llama.block_count",
        "llama.context_length",
        "llama.embedding_length",
        "llama.feed_forward_length",
        "llama.attention.head_count",
        "llama.attention.layer_norm_rms_epsilon",
        "tokenizer.ggml.tokens",
    ] {
        says(&llama.without_key(key).refused(), ErrorCode::Malformed, &[key, "missing"]);
    }
    for key in [
        "llama.block_count",
        "llama.attention.head_count",
        "llama.attention.head_count_kv",
        "llama.rope.dimension_count",
    ] {
        says(&llama.with(key, 0u32).refused(), ErrorCode::Malformed, &[key, "0"]);
        says(&llama.with(key, 1u32 << 30).refused(), ErrorCode::Limits, &[key, "1073741824"]);
        says(&llama.with(key, "many").refused(), ErrorCode::Malformed, &[key, "string"]);
    }
    let wide = llama.with("llama.attention.head_count", 1u32 << 20).with("llama.attention.key_length", 1u32 << 20);
    says(&wide.refused(), ErrorCode::Limits, &["1048576 heads of 1048576"]);
    for value in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        says(&llama.with("llama.rope.freq_base", value).refused(), ErrorCode::Malformed, &["llama.rope.freq_base"]);
    }
    let cases: [(File, &[&str]); 12] = [
        (llama.with("llama.attention.head_count_kv", 3u32), &["4 heads", "3 key/value heads", "llama.attention"]),
        (
            llama
                .with("llama.attention.head_count", 5u32)
                .without_key("llama.attention.head_count_kv")
                .without_key("llama.attention.key_length"),
            &["24", "5 heads", "llama.attention.key_length"],
        ),
        (llama.with("llama.rope.dimension_count", 8u32), &["llama.rope.dimension_count", "8", "6"]),
        (llama.with("llama.rope.dimension_count", 5u32), &["llama.rope.dimension_count", "5", "even"]),
        (llama.with("llama.feed_forward_length", 32u32), &["blk.0.ffn_", "28", "32"]),
        (llama.without("output_norm.weight"), &["output_norm.weight", "missing"]),
        (llama.without("blk.1.ffn_up.weight"), &["blk.1.ffn_up.weight", "missing"]),
        (bitnet.without("blk.0.attn_sub_norm.weight"), &["blk.0.attn_sub_norm.weight", "missing", "bitnet"]),
        (bitnet.without("blk.1.ffn_sub_norm.weight"), &["blk.1.ffn_sub_norm.weight", "missing", "bitnet"]),
        (qwen3.without("blk.1.attn_k_norm.weight"), &["blk.1.attn_k_norm.weight", "missing", "qwen3"]),
        (llama.and("rope_freqs.weight", &[1.0; 4]), &["rope_freqs.weight", "4"]),
        (llama.and("rope_freqs.weight", &[1.0, 0.0, 2.0]), &["rope_freqs.weight", "0"]),
    ];
    for (file, words) in cases {
        says(&file.refused(), ErrorCode::Malformed, words);
    }
}

#[test]
fn rejects_options_out_of_range() {
    let file = File::new(LLAMA);
    for length in [0, 97, usize::MAX] {
        let options = LoadOptions { context_length: Some(length), ..LoadOptions::default() };
        let error = file.load(options).err().expect("the option is refused");
        says(&error, ErrorCode::BadOption, &["contextLength", &length.to_string(), "96"]);
    }
    let options = LoadOptions { memory_limit: 10_000, ..LoadOptions::default() };
    says(
        &file.load(options).err().expect("too large"),
        ErrorCode::OutOfMemory,
        &["19744 bytes", "10000", "smaller model"],
    );
}

#[test]
fn rejects_passes_it_cannot_run() {
    let options = LoadOptions { context_length: Some(16), ..LoadOptions::default() };
    let mut model = File::new(LLAMA).load(options).unwrap().transformer;
    assert_eq!(model.context_length(), 16);
    let mut run = |tokens: &[u32]| {
        let pass = Pass { tokens, position: 0, attention: Attention::Causal, commit: false, logits: &[] };
        model.forward(&pass).map(<[f32]>::len)
    };
    assert_eq!(run(&[1; 16]), Ok(0));
    says(&run(&[1; 17]).unwrap_err(), ErrorCode::ContextFull, &["position 16", "16 positions"]);
    says(&run(&[1, 64]).unwrap_err(), ErrorCode::BadOption, &["token 64", "64 tokens"]);
    assert_eq!(run(&[1, 63]), Ok(0));
}

#[test]
fn tensors_outside_of_layers_may_be_left_out() {
    let file = File::new(BITNET).and("output.weight", &[1.0; 64]).and("extra.weight", &[1.0; 2]);
    let mut engine = Engine::new(file.load(LoadOptions::default()).unwrap(), &EngineOptions::default()).unwrap();
    let notices = engine.info().notices.join("\n");
    assert!(notices.contains("output.weight") && notices.contains("extra.weight"), "{notices}");
    engine.logits(&[1], AttentionKind::Causal, |_| {}).unwrap();
}
