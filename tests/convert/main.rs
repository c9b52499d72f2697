//! The converter against files it did not make: a trained checkpoint with its reference file and outputs, and checkpoints built with
//! the `safetensors` crate whose conversion is computed here by another way.

#![cfg(not(target_arch = "wasm32"))]
#![forbid(unsafe_code)]

#[path = "../common/mod.rs"]
mod common;
mod refusals;
mod verification;

use common::header;
use half::bf16;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use webtern::convert::{Files, Folder, Options, Origin, Plan, Report, TensorReport, Verification, verify, write_whole};
use webtern::decode::{Event, Options as DecodeOptions};
use webtern::engine::{AttentionKind, Engine, EngineOptions, Prompt, Request};
use webtern::gguf::{GgmlType, Header};
use webtern::{Error, ErrorCode, Result};

type Memory = BTreeMap<String, Vec<u8>>;

fn convert(files: &mut dyn Files, options: &Options) -> Result<(Vec<u8>, Report)> {
    let mut file = Vec::new();
    let report = Plan::new(files, options)?.write(files, &mut file, &mut |_| Ok(()))?;
    Ok((file, report))
}

/// The bytes of a tensor.
fn data<'a>(file: &'a [u8], header: &Header, name: &str) -> &'a [u8] {
    let (_, info) = header.tensor(name).unwrap_or_else(|| panic!("no tensor {name}"));
    &file[(header.data_offset + info.offset) as usize..][..info.bytes as usize]
}

/// The weights of a tensor.
fn weights(file: &[u8], name: &str) -> Vec<f32> {
    let header = header(file);
    let (_, info) = header.tensor(name).unwrap();
    let mut out = vec![0.0; (info.rows() * info.cols()) as usize];
    webtern::quant::dequantize(info.ty, data(file, &header, name), &mut out).unwrap();
    out
}

fn engine(file: &[u8], options: &EngineOptions) -> Engine {
    common::load(&[file], options).unwrap()
}

fn generate(engine: &mut Engine, tokens: &[u32], options: Value) -> Vec<u32> {
    let options: DecodeOptions = serde_json::from_value(options).unwrap();
    engine.start(&Request { prompt: Prompt::Tokens(tokens.to_vec()), options }).unwrap();
    let mut events = Vec::new();
    while engine.step(&mut events).unwrap() {}
    match events.pop() {
        Some(Event::Done { result }) => result.tokens,
        other => panic!("the last event is {other:?}"),
    }
}

#[test]
fn a_trained_checkpoint_gives_the_reference_file_and_outputs() {
    let Some(tiny) = common::fixture("tiny-dlm") else { return };
    let mut folder = Folder::open(&tiny.join("checkpoint")).unwrap();
    let (file, report) = convert(&mut folder, &Options::default()).unwrap();
    assert_eq!((report.architecture, report.sub_norms), ("bitnet", "two"));
    assert!(
        report.tensors.iter().filter(|tensor| tensor.ty == "Q2_0").all(|tensor| tensor.origin == Some(Origin::Master))
    );

    let reference = std::fs::read(tiny.join("tiny-dlm-q2_0.gguf")).unwrap();
    let (ours, theirs) = (header(&file), header(&reference));
    for info in &theirs.tensors {
        let (_, converted) = ours.tensor(&info.name).unwrap();
        assert_eq!((converted.ty, &converted.dims), (info.ty, &info.dims), "{}", info.name);
        assert!(data(&file, &ours, &info.name) == data(&reference, &theirs, &info.name), "{}", info.name);
    }
    assert_eq!(ours.tensors.len(), theirs.tensors.len());
    for (key, value) in theirs.metadata.iter().filter(|(key, _)| *key != "general.name") {
        assert_eq!(ours.metadata.get(key), Some(value), "{key}");
    }

    let mut engine = engine(&file, &EngineOptions::default());
    let cases = std::fs::read_to_string(tiny.join("cases.jsonl")).unwrap();
    for case in cases.lines().take(6).map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let tokens: Vec<u32> = serde_json::from_value(case["tokens"].clone()).unwrap();
        for (mode, reference) in
            [("greedy", "greedy"), ("iterative", "iterative-0.9"), ("adaptive", "adaptive-0.9"), ("ar", "ar")]
        {
            let most = if mode == "ar" { 48 } else { 96 };
            let out = generate(&mut engine, &tokens, json!({ "mode": mode, "threshold": 0.9, "maxTokens": most }));
            assert_eq!(json!(out), case["out"][reference], "{} {mode}", case["prompt"]);
        }
    }
}

/// A checkpoint under construction: configuration, and tensors by name.
struct Checkpoint {
    config: Value,
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
    others: Memory,
    state: u64,
}

impl Checkpoint {
    /// A model of class `class` with `layers` layers of random bf16 weights; two query heads a key head.
    fn new(class: &str, hidden: usize, feed_forward: usize, heads: usize, layers: usize) -> Self {
        let head_dim = hidden / heads;
        let tokenizer = json!({
            "version": "1.0", "added_tokens": [
                { "id": 0, "content": "<s>", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false },
                { "id": 1, "content": "</s>", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false },
                { "id": 2, "content": "|<MASK>|", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false },
            ],
            "normalizer": null, "post_processor": null, "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
            "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
            "model": { "type": "BPE", "vocab": byte_vocabulary(), "merges": [] },
        });
        let mut checkpoint = Self {
            config: json!({
                "architectures": [class], "vocab_size": 288, "hidden_size": hidden, "intermediate_size": feed_forward,
                "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": heads / 2,
                "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "eos_token_id": 1, "tie_word_embeddings": true,
            }),
            tensors: BTreeMap::new(),
            others: [("tokenizer.json".to_owned(), tokenizer.to_string().into_bytes())].into(),
            state: 1,
        };
        checkpoint.add("model.embed_tokens.weight", &[288, hidden]);
        checkpoint.add("model.norm.weight", &[hidden]);
        let (q, kv) = (heads * head_dim, heads / 2 * head_dim);
        for layer in 0..layers {
            for (name, shape) in [
                ("input_layernorm", &[hidden][..]),
                ("post_attention_layernorm", &[hidden]),
                ("self_attn.q_proj", &[q, hidden]),
                ("self_attn.k_proj", &[kv, hidden]),
                ("self_attn.v_proj", &[kv, hidden]),
                ("self_attn.o_proj", &[hidden, q]),
                ("mlp.gate_proj", &[feed_forward, hidden]),
                ("mlp.up_proj", &[feed_forward, hidden]),
                ("mlp.down_proj", &[hidden, feed_forward]),
            ] {
                checkpoint.add(&format!("model.layers.{layer}.{name}.weight"), shape);
            }
        }
        checkpoint
    }

    /// A number between -1 and 1.
    fn random(&mut self) -> f32 {
        self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// Adds a random bf16 tensor; vectors are near 1.
    fn add(&mut self, name: &str, shape: &[usize]) {
        let offset = if shape.len() == 1 { 1.0 } else { 0.0 };
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| offset + 0.1 * self.random()).collect();
        let bytes = values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect();
        self.tensors.insert(name.to_owned(), (Dtype::BF16, shape.to_vec(), bytes));
    }

    fn add_f32(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensors.insert(name.to_owned(), (Dtype::F32, shape.to_vec(), bytes));
    }

    fn rename(&mut self, from: &str, to: &str) {
        let tensor = self.tensors.remove(from).unwrap_or_else(|| panic!("no tensor {from}"));
        self.tensors.insert(to.to_owned(), tensor);
    }

    /// Puts a SubLN norm before a projection, as a `Sequential`.
    fn sub_norm(&mut self, layer: usize, module: &str) {
        let name = format!("model.layers.{layer}.{module}");
        self.rename(&format!("{name}.weight"), &format!("{name}.1.weight"));
        let width = self.tensors[&format!("{name}.1.weight")].1[1];
        self.add(&format!("{name}.0.weight"), &[width]);
    }

    fn values(&self, name: &str) -> Vec<f32> {
        let (dtype, _, bytes) = &self.tensors[name];
        match *dtype {
            Dtype::BF16 => bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
            Dtype::F32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            other => panic!("{name} is {other:?}"),
        }
    }

    fn safetensors<'a>(tensors: impl Iterator<Item = (&'a String, &'a (Dtype, Vec<usize>, Vec<u8>))>) -> Vec<u8> {
        let views =
            tensors.map(|(name, (dtype, shape, bytes))| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
        serialize(views, None).unwrap()
    }

    fn files(&self) -> Memory {
        let mut files = self.others.clone();
        files.insert("config.json".into(), self.config.to_string().into_bytes());
        files.insert("model.safetensors".into(), Self::safetensors(self.tensors.iter()));
        files
    }

    fn convert(&self, options: &Options) -> Result<(Vec<u8>, Report)> {
        convert(&mut self.files(), options)
    }
}

/// GPT-2's 256 characters for bytes, as ids 3 to 258.
fn byte_vocabulary() -> Value {
    let printable = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let shifted = (0..256u32).filter(|byte| !printable(byte)).zip(256..).map(|(_, code)| code);
    let characters = (0..256).filter(printable).chain(shifted).filter_map(char::from_u32);
    let mut vocab: serde_json::Map<String, Value> =
        characters.zip(3..).map(|(c, id)| (c.to_string(), json!(id))).collect();
    vocab.extend(["<s>", "</s>", "|<MASK>|"].into_iter().zip(0..).map(|(token, id)| (token.to_owned(), json!(id))));
    Value::Object(vocab)
}

fn tensor<'a>(report: &'a Report, name: &str) -> &'a TensorReport {
    report.tensors.iter().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("no tensor {name}"))
}

/// Row `j half + i` of each head moved to `2 i + j`, spelt as reshape and transpose.
fn permuted(values: &[f32], cols: usize, head_dim: usize) -> Vec<f32> {
    let head = |head: &[f32]| -> Vec<f32> {
        let (first, second) = head.split_at(head.len() / 2);
        first.chunks(cols).zip(second.chunks(cols)).flat_map(|(a, b)| [a, b].concat()).collect()
    };
    values.chunks(head_dim * cols).flat_map(head).collect()
}

/// BitNet's ternarisation in f64: codes -1, 0, 1 and the scale.
fn absmean(values: &[f32]) -> (Vec<i8>, f64) {
    let scale = values.iter().map(|value| f64::from(value.abs())).sum::<f64>() / values.len() as f64;
    let code = |value: &f32| (f64::from(*value) / scale).round().clamp(-1.0, 1.0) as i8;
    (values.iter().map(code).collect(), scale)
}

fn assert_ternary(weights: &[f32], codes: &[i8], scale: f64) {
    let scale = half::f16::from_f64(scale).to_f32();
    let expected: Vec<f32> = codes.iter().map(|code| f32::from(*code) * scale).collect();
    assert_eq!(weights.len(), expected.len());
    assert_eq!(weights.iter().zip(&expected).position(|(weight, expected)| weight != expected), None);
}

#[test]
fn smollm2_subln_converts_loads_and_decodes() {
    let Some(folder) = common::fixture("smollm2-135m-dlm-subln") else { return };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let mut checkpoint = Checkpoint::new("BitnetForCausalLM", 576, 1536, 9, 0);
    checkpoint.config = serde_json::from_slice(&read("config.json")).unwrap();
    checkpoint.config["num_hidden_layers"] = json!(2);
    checkpoint.others = ["tokenizer.json", "tokenizer_config.json"].map(|name| (name.to_owned(), read(name))).into();
    checkpoint.add("model.embed_tokens.weight", &[49152, 576]);
    for layer in 0..2 {
        let name = |module: &str| format!("model.layers.{layer}.{module}.weight");
        for (module, rows, cols) in [
            ("self_attn.q_proj", 576, 576),
            ("self_attn.k_proj", 192, 576),
            ("self_attn.v_proj", 192, 576),
            ("self_attn.o_proj", 576, 576),
            ("mlp.gate_proj", 1536, 576),
            ("mlp.up_proj", 1536, 576),
            ("mlp.down_proj", 576, 1536),
        ] {
            checkpoint.add(&name(module), &[rows, cols]);
        }
        checkpoint.add(&name("input_layernorm"), &[576]);
        checkpoint.add(&name("post_attention_layernorm"), &[576]);
        checkpoint.sub_norm(layer, "self_attn.o_proj");
        checkpoint.sub_norm(layer, "mlp.down_proj");
    }

    // Its tokenizer has no mask token: without one it is autoregressive.
    let (file, report) = checkpoint.convert(&Options::default()).unwrap();
    assert_eq!((report.architecture, report.sub_norms, report.diffusion), ("bitnet", "two", None));
    let (codes, scale) = absmean(&checkpoint.values("model.layers.1.mlp.gate_proj.weight"));
    assert_ternary(&weights(&file, "blk.1.ffn_gate.weight"), &codes, scale);
    let norm = checkpoint.values("model.layers.1.mlp.down_proj.0.weight");
    assert_eq!(weights(&file, "blk.1.ffn_sub_norm.weight"), norm);
    assert_eq!(header(&file).metadata.require_f32("bitnet.attention.sub_norm_epsilon"), Ok(1e-6));

    let options = Options {
        mask_token_id: Some(5),
        embedding_type: Some(GgmlType::Q8_0),
        ty: Some(GgmlType::Tq1_0),
        ..Options::default()
    };
    let (file, report) = checkpoint.convert(&options).unwrap();
    let (gate, down) = (tensor(&report, "blk.0.ffn_gate.weight"), tensor(&report, "blk.0.ffn_down.weight"));
    assert_eq!((gate.ty, down.ty, down.fallback.as_ref()), ("Q2_0", "TQ1_0", None));
    assert!(gate.fallback.as_ref().unwrap().contains("rows of 576 weights are not whole blocks of 256 as TQ1_0 has"));
    let mut engine = engine(&file, &EngineOptions::default());
    assert_eq!(engine.info().notices, [""; 0]);
    assert_eq!(engine.info().diffusion.as_ref().unwrap().mask_token, 5);
    for mode in ["ar", "adaptive"] {
        let out = generate(&mut engine, &[1, 300, 400], json!({ "mode": mode, "maxTokens": 4 }));
        assert!(!out.is_empty() && out.len() <= 4 && !out.contains(&5), "{mode} {out:?}");
    }

    let stops = Options { mask_token_id: Some(0), ..Options::default() };
    let error = checkpoint.convert(&stops).unwrap_err();
    assert_eq!(error.code(), ErrorCode::BadOption, "{error}");
    let forced = Options { force_mask_token: true, ..stops };
    assert_eq!(checkpoint.convert(&forced).unwrap().1.diffusion.unwrap().mask_token, 0);
}

#[test]
fn llama_is_permuted_and_keeps_its_precision() {
    let mut checkpoint = Checkpoint::new("LlamaForCausalLM", 64, 96, 4, 1);
    checkpoint.config["rope_parameters"] = json!({ "rope_theta": 5e5, "rope_type": "llama3", "factor": 8.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64 });
    checkpoint.add("model.layers.0.self_attn.q_proj.bias", &[64]);
    let (file, report) = checkpoint.convert(&Options::default()).unwrap();
    assert_eq!((report.architecture, report.ternary_because), ("llama", None));
    for (name, module, cols) in [
        ("attn_q.weight", "q_proj.weight", 64),
        ("attn_k.weight", "k_proj.weight", 64),
        ("attn_q.bias", "q_proj.bias", 1),
    ] {
        let expected = permuted(&checkpoint.values(&format!("model.layers.0.self_attn.{module}")), cols, 16);
        assert_eq!(weights(&file, &format!("blk.0.{name}")), expected, "{name}");
    }
    assert_eq!(weights(&file, "blk.0.attn_v.weight"), checkpoint.values("model.layers.0.self_attn.v_proj.weight"));
    assert_eq!(tensor(&report, "blk.0.attn_v.weight").ty, "BF16");
    assert_eq!(weights(&file, "rope_freqs.weight").len(), 8);
    engine(&file, &EngineOptions::default());

    // The rotation itself: Qwen2 has the same graph with pairs half a head apart, so the same weights give the same logits.
    checkpoint.config["architectures"] = json!(["Qwen2ForCausalLM"]);
    let (other, report) = checkpoint.convert(&Options::default()).unwrap();
    assert_eq!(report.architecture, "qwen2");
    assert_eq!(weights(&other, "blk.0.attn_q.weight"), checkpoint.values("model.layers.0.self_attn.q_proj.weight"));
    let logits = |file: &[u8]| {
        let mut all = Vec::new();
        let mut engine = engine(file, &EngineOptions::default());
        engine.logits(&[7, 90, 200, 41], AttentionKind::Causal, |row| all.extend_from_slice(row)).unwrap();
        all
    };
    let (ours, theirs) = (logits(&file), logits(&other));
    assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn heads_are_dropped_when_tied_and_kept_when_not() {
    let mut checkpoint = Checkpoint::new("Qwen2ForCausalLM", 64, 64, 2, 1);
    let embedding = checkpoint.tensors["model.embed_tokens.weight"].clone();
    checkpoint.tensors.insert("lm_head.weight".into(), embedding);
    let (file, report) = checkpoint.convert(&Options::default()).unwrap();
    assert!(header(&file).tensor("output.weight").is_none());
    assert_eq!(report.dropped[0].name, "lm_head.weight");

    checkpoint.add("lm_head.weight", &[288, 64]);
    let (file, report) = checkpoint.convert(&Options::default()).unwrap();
    assert_eq!(weights(&file, "output.weight"), checkpoint.values("lm_head.weight"));
    assert!(report.notices.iter().any(|notice| notice.contains("differs from the embedding")), "{:?}", report.notices);

    checkpoint.tensors.remove("lm_head.weight");
    checkpoint.config["tie_word_embeddings"] = json!(false);
    let error = checkpoint.convert(&Options::default()).unwrap_err();
    assert!(error.message().contains("no lm_head.weight"), "{error}");
}

#[test]
fn seven_norms_run_and_dropping_them_says_what_is_lost() {
    let mut checkpoint = Checkpoint::new("LlamaForCausalLM", 64, 64, 2, 2);
    for (layer, projection) in (0..2).flat_map(|layer| ["q", "k", "v", "o"].map(|projection| (layer, projection))) {
        checkpoint.sub_norm(layer, &format!("self_attn.{projection}_proj"));
    }
    for (layer, projection) in (0..2).flat_map(|layer| ["gate", "up", "down"].map(|projection| (layer, projection))) {
        checkpoint.sub_norm(layer, &format!("mlp.{projection}_proj"));
    }
    let (file, report) = checkpoint.convert(&Options::default()).unwrap();
    assert_eq!((report.architecture, report.sub_norms), ("bitnet", "seven"));
    let gain = checkpoint.values("model.layers.1.mlp.up_proj.0.weight");
    assert_eq!(weights(&file, "blk.1.ffn_up_norm_in.weight"), gain);
    engine(&file, &EngineOptions::default());

    let drop = Options { drop_sub_norms: true, ..Options::default() };
    let (file, report) = checkpoint.convert(&drop).unwrap();
    assert_eq!((report.architecture, report.sub_norms, report.dropped.len()), ("llama", "none", 14));
    assert!(report.notices[0].contains("14 SubLN norms are dropped"), "{:?}", report.notices);
    let (codes, scale) = absmean(&permuted(&checkpoint.values("model.layers.0.self_attn.q_proj.1.weight"), 64, 32));
    assert_ternary(&weights(&file, "blk.0.attn_q.weight"), &codes, scale);
    engine(&file, &EngineOptions::default());

    // As gains beside the weights instead of in a Sequential: the same file.
    let mut beside = Checkpoint::new("LlamaForCausalLM", 64, 64, 2, 2);
    beside.tensors = std::mem::take(&mut checkpoint.tensors);
    let names: Vec<String> = beside.tensors.keys().filter(|name| name.contains("_proj.")).cloned().collect();
    for name in names {
        let to = name.replace(".0.weight", "_scale.weight").replace(".1.weight", ".weight");
        beside.rename(&name, &format!("_orig_mod.module.{to}"));
    }
    assert!(beside.convert(&drop).unwrap().0 == file);
}

#[test]
fn bitnet_sub_norms_have_the_epsilon_of_the_other_norms() {
    let mut checkpoint = Checkpoint::new("BitNetForCausalLM", 64, 128, 2, 1);
    checkpoint.config["hidden_act"] = json!("relu2");
    checkpoint.add("model.layers.0.self_attn.attn_sub_norm.weight", &[64]);
    checkpoint.add("model.layers.0.mlp.ffn_sub_norm.weight", &[128]);
    let (file, report) = checkpoint.convert(&Options { ty: Some(GgmlType::I2S), ..Options::default() }).unwrap();
    assert_eq!((report.architecture, report.sub_norms), ("bitnet", "two"));
    let header = header(&file);
    assert_eq!(header.metadata.require_f32("bitnet.attention.sub_norm_epsilon"), Ok(1e-5));
    assert_eq!(header.metadata.require_string("bitnet.hidden_activation"), Ok("relu2"));
    assert_eq!(tensor(&report, "blk.0.ffn_down.weight").ty, "I2_S");
    assert_eq!(tensor(&report, "blk.0.attn_q.weight").ty, "Q2_0", "64 columns are no whole block of I2_S");
    engine(&file, &EngineOptions::default());
}

/// Packs codes -1, 0, 1 as transformers does: the low bits are the first quarter of the rows.
fn pack(codes: &[i8], cols: usize) -> Vec<u8> {
    let quarter = codes.len() / 4;
    assert_eq!(quarter % cols, 0);
    (0..quarter).map(|at| (0..4).map(|i| ((codes[i * quarter + at] + 1) as u8) << (2 * i)).sum()).collect()
}

#[test]
fn packed_weights_of_both_linear_classes_and_ternary_floats_are_the_same_model() {
    let master = Checkpoint::new("BitNetForCausalLM", 64, 128, 4, 1);
    let (reference, _) = master.convert(&Options::default()).unwrap();
    for class in ["autobitlinear", "bitlinear", "floats"] {
        let mut checkpoint = Checkpoint::new("BitNetForCausalLM", 64, 128, 4, 1);
        if class != "floats" {
            checkpoint.config["quantization_config"] =
                json!({ "quant_method": "bitnet", "linear_class": class, "quantization_mode": "offline" });
        } else {
            checkpoint.config["architectures"] = json!(["LlamaForCausalLM"]);
        }
        let names: Vec<String> =
            checkpoint.tensors.keys().filter(|name| name.ends_with("_proj.weight")).cloned().collect();
        for name in names {
            let (codes, scale) = absmean(&checkpoint.values(&name));
            let shape = checkpoint.tensors[&name].1.clone();
            if class == "floats" {
                let values: Vec<f32> = codes.iter().map(|code| f32::from(*code) * scale as f32).collect();
                checkpoint.add_f32(&name, &shape, &values);
                continue;
            }
            let scale = if class == "bitlinear" { 1.0 / scale } else { scale };
            checkpoint.tensors.insert(name.clone(), (Dtype::U8, vec![shape[0] / 4, shape[1]], pack(&codes, shape[1])));
            checkpoint.add_f32(&name.replace(".weight", ".weight_scale"), &[1], &[scale as f32]);
        }
        let (file, report) = checkpoint.convert(&Options::default()).unwrap();
        let origin = if class == "floats" { Origin::Ternary } else { Origin::Packed };
        for info in header(&reference).tensors.iter().filter(|info| info.ty == GgmlType::Q2_0) {
            assert_eq!(tensor(&report, &info.name).origin, Some(origin));
            let (ours, theirs) = (weights(&file, &info.name), weights(&reference, &info.name));
            assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-4), "{class} {}", info.name);
        }
        assert_eq!(report.notices.iter().find(|notice| notice.contains("unusual")), None);
        if class == "autobitlinear" {
            // Mislabelled: scales come out as their inverse, which is noticed.
            checkpoint.config["quantization_config"]["linear_class"] = json!("bitlinear");
            let (_, report) = checkpoint.convert(&Options::default()).unwrap();
            assert!(report.notices.iter().any(|notice| notice.contains("linear_class in config.json may be wrong")));
        }
    }
}

#[test]
fn modules_to_not_convert_stay_floats() {
    let mut checkpoint = Checkpoint::new("BitNetForCausalLM", 64, 128, 4, 1);
    checkpoint.config["quantization_config"] = json!({ "quant_method": "bitnet", "quantization_mode": "online", "modules_to_not_convert": ["lm_head", "mlp.up_proj"] });
    let (file, report) = checkpoint.convert(&Options::default()).unwrap();
    assert_eq!(tensor(&report, "blk.0.ffn_up.weight").origin, Some(Origin::Float));
    assert_eq!(weights(&file, "blk.0.ffn_up.weight"), checkpoint.values("model.layers.0.mlp.up_proj.weight"));
    assert_eq!(tensor(&report, "blk.0.ffn_gate.weight").origin, Some(Origin::Master));

    checkpoint.add_f32("model.layers.0.mlp.up_proj.weight_scale", &[1], &[0.5]);
    let error = checkpoint.convert(&Options::default()).unwrap_err();
    assert!(error.message().contains("scales a layer that is not BitLinear"), "{error}");
}

#[test]
fn rows_that_fit_no_ternary_block_become_f16() {
    let checkpoint = Checkpoint::new("BitNetForCausalLM", 64, 96, 2, 1);
    for ty in [None, Some(GgmlType::Tq2_0)] {
        let (file, report) = checkpoint.convert(&Options { ty, ..Options::default() }).unwrap();
        let down = tensor(&report, "blk.0.ffn_down.weight");
        assert_eq!((down.ty, tensor(&report, "blk.0.ffn_up.weight").ty), ("F16", "Q2_0"));
        assert!(down.fallback.as_ref().unwrap().contains("rows of 96 weights"));
        let (codes, scale) = absmean(&checkpoint.values("model.layers.0.mlp.down_proj.weight"));
        assert_ternary(&weights(&file, "blk.0.ffn_down.weight"), &codes, scale);
    }
}

#[test]
fn windows_and_heads_keep_sub_norms_off_architecture_bitnet() {
    let mut checkpoint = Checkpoint::new("MistralForCausalLM", 64, 64, 2, 1);
    checkpoint.config["sliding_window"] = json!(16);
    let (file, _) = checkpoint.convert(&Options::default()).unwrap();
    assert_eq!(header(&file).metadata.u32("llama.attention.sliding_window"), Ok(Some(16)));
    checkpoint.sub_norm(0, "self_attn.o_proj");
    checkpoint.sub_norm(0, "mlp.down_proj");
    for window in [json!(16), json!(null)] {
        checkpoint.config["sliding_window"] = window;
        let (file, report) = checkpoint.convert(&Options::default()).unwrap();
        assert_eq!((report.architecture, report.sub_norms), ("llama", "two"));
        let notice = "architecture llama with two SubLN norms a layer: other runtimes than webtern will not run it";
        assert!(report.notices.iter().any(|found| found == notice), "{:?}", report.notices);
        assert_eq!(header(&file).metadata.require_f32("llama.attention.sub_norm_epsilon"), Ok(1e-6));
        engine(&file, &EngineOptions::default());
        // The second time without a window, but with a head of its own.
        checkpoint.add("lm_head.weight", &[288, 64]);
    }
}

#[test]
fn float_models_are_only_ternarised_when_told() {
    let checkpoint = Checkpoint::new("Qwen2ForCausalLM", 64, 128, 2, 1);
    let q2 = Options { ty: Some(GgmlType::Q2_0), ..Options::default() };
    let error = checkpoint.convert(&q2).unwrap_err();
    assert_eq!(error.code(), ErrorCode::BadOption);
    assert!(error.message().contains("--ternarize"), "{error}");
    let (file, report) = checkpoint.convert(&Options { ternarize: true, ..q2 }).unwrap();
    let (codes, scale) = absmean(&checkpoint.values("model.layers.0.self_attn.q_proj.weight"));
    assert_ternary(&weights(&file, "blk.0.attn_q.weight"), &codes, scale);
    assert_eq!(report.ternary_because, Some("the caller says so"));

    for ty in [GgmlType::Q8_0, GgmlType::Q4_0, GgmlType::F16, GgmlType::Bf16, GgmlType::F32] {
        let (file, report) = checkpoint.convert(&Options { ty: Some(ty), ..Options::default() }).unwrap();
        assert_eq!(tensor(&report, "blk.0.attn_q.weight").ty, ty.name());
        let mut expected = Vec::new();
        webtern::quant::quantize(ty, &checkpoint.values("model.layers.0.self_attn.q_proj.weight"), &mut expected)
            .unwrap();
        assert!(data(&file, &header(&file), "blk.0.attn_q.weight") == expected, "{ty}");
    }
}

#[test]
fn diffusion_settings_come_from_options_then_files_then_names() {
    let mut checkpoint = Checkpoint::new("Fast_dLLM_QwenForCausalLM", 64, 64, 2, 1);
    let settings = |checkpoint: &Checkpoint, options: &Options| {
        let found = checkpoint.convert(options).unwrap().1.diffusion.unwrap();
        (found.mask_token, found.block_size, found.attention)
    };
    assert_eq!(settings(&checkpoint, &Options::default()), (2, 32, AttentionKind::Block));
    checkpoint.config["bd_size"] = json!(16);
    assert_eq!(settings(&checkpoint, &Options::default()), (2, 16, AttentionKind::Block));
    checkpoint.others.insert("dlm_config.json".into(), br#"{"mask_token_id": 40, "bd_size": 8}"#.to_vec());
    assert_eq!(settings(&checkpoint, &Options::default()), (40, 8, AttentionKind::Block));
    let options = Options {
        mask_token_id: Some(41),
        block_size: Some(4),
        attention: Some(AttentionKind::Causal),
        ..Options::default()
    };
    assert_eq!(settings(&checkpoint, &options), (41, 4, AttentionKind::Causal));

    // WrinkleFree's later checkpoints: random masks, the causal mask, and a mask token that ends texts.
    checkpoint.config["architectures"] = json!(["Qwen2ForCausalLM"]);
    checkpoint.others.insert(
        "dlm_config.json".into(),
        br#"{"mask_token_id": 40, "mask_prob": 0.15, "training_method": "unified"}"#.to_vec(),
    );
    assert_eq!(settings(&checkpoint, &Options::default()), (40, 16, AttentionKind::Causal));
    checkpoint.others.insert("dlm_config.json".into(), br#"{"mask_token_id": 1, "mask_prob": 0.15}"#.to_vec());
    let (_, report) = checkpoint.convert(&Options::default()).unwrap();
    assert!(report.diffusion.is_none() && report.notices.iter().any(|notice| notice.contains("also ends answers")));
    let error = checkpoint.convert(&Options { block_size: Some(8), ..Options::default() }).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NoMaskToken);

    checkpoint.others.insert("generation_config.json".into(), br#"{"eos_token_id": [1, 50]}"#.to_vec());
    let (file, _) = checkpoint.convert(&Options::default()).unwrap();
    assert_eq!(header(&file).metadata.u32("tokenizer.ggml.eot_token_id"), Ok(Some(50)));
}

#[test]
fn shards_are_read_by_their_index() {
    let checkpoint = Checkpoint::new("Qwen2ForCausalLM", 64, 64, 2, 2);
    let (whole, _) = checkpoint.convert(&Options::default()).unwrap();
    let first = |name: &str| !name.contains("layers.1.");
    let shard =
        |name: &str| if first(name) { "model-00001-of-00002.safetensors" } else { "model-00002-of-00002.safetensors" };
    let map: BTreeMap<&String, &str> = checkpoint.tensors.keys().map(|name| (name, shard(name))).collect();
    let mut files = checkpoint.files();
    files.remove("model.safetensors");
    for half in [true, false] {
        let tensors = checkpoint.tensors.iter().filter(|(name, _)| first(name) == half);
        let name = if half { "model-00001-of-00002.safetensors" } else { "model-00002-of-00002.safetensors" };
        files.insert(name.into(), Checkpoint::safetensors(tensors));
    }
    files.insert(
        "model.safetensors.index.json".into(),
        json!({ "metadata": {}, "weight_map": map }).to_string().into_bytes(),
    );
    assert!(convert(&mut files, &Options::default()).unwrap().0 == whole);

    let error = |files: &mut Memory| convert(files, &Options::default()).unwrap_err();
    let mut wrong = files.clone();
    let index = json!({ "weight_map": { "model.norm.weight": "model-00002-of-00002.safetensors", "x": "model-00001-of-00002.safetensors" } });
    wrong.insert("model.safetensors.index.json".into(), index.to_string().into_bytes());
    assert!(error(&mut wrong).message().contains("is in model-00002-of-00002.safetensors, but it is not"));
    let mut twice = files.clone();
    twice.insert("model-00002-of-00002.safetensors".into(), files["model-00001-of-00002.safetensors"].clone());
    assert!(error(&mut twice).message().contains("is in model-00001-of-00002.safetensors and in model-00002"));
    files.remove("model-00002-of-00002.safetensors");
    let missing = error(&mut files);
    assert_eq!(missing.code(), ErrorCode::Truncated);
    assert!(missing.message().contains("1 of the 2 weight files"), "{missing}");
}
