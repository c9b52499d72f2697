//! Whole models: trained, and of the shape of a published one.

use super::*;

fn mask_token(id: u32) -> DiffusionOverrides {
    DiffusionOverrides { mask_token_id: Some(id), ..DiffusionOverrides::default() }
}
use crate::common;

#[test]
fn a_trained_checkpoint_gives_the_reference_file_and_outputs() {
    let Some(tiny) = common::fixture("tiny-dlm") else { return };
    let mut folder = Folder::open(&tiny.join("checkpoint")).unwrap();
    let f16 = ConvertOptions { scales: Scales::F16, ..ConvertOptions::default() };
    let (file, report) = convert(&mut folder, &f16).unwrap();
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
    let (file, report) = checkpoint.convert(&ConvertOptions::default()).unwrap();
    assert_eq!((report.architecture, report.sub_norms, report.diffusion), ("bitnet", "two", None));
    let (codes, scale) = absmean(&checkpoint.values("model.layers.1.mlp.gate_proj.weight"));
    assert_ternary(&weights(&file, "blk.1.ffn_gate.weight"), &codes, scale);
    let norm = checkpoint.values("model.layers.1.mlp.down_proj.0.weight");
    assert_eq!(weights(&file, "blk.1.ffn_sub_norm.weight"), norm);
    assert_eq!(header(&file).metadata.require_f32("bitnet.attention.sub_norm_epsilon"), Ok(1e-6));

    let options = ConvertOptions {
        diffusion: mask_token(5),
        embedding_type: Some(GgmlType::Q8_0),
        ty: Some(GgmlType::Tq1_0),
        ..ConvertOptions::default()
    };
    let (file, report) = checkpoint.convert(&options).unwrap();
    let (gate, down) = (tensor(&report, "blk.0.ffn_gate.weight"), tensor(&report, "blk.0.ffn_down.weight"));
    assert_eq!((gate.ty, down.ty, down.fallback.as_ref()), ("Q2_0", "TQ1_0", None));
    assert!(gate.fallback.as_ref().unwrap().contains("rows of 576 weights are not whole blocks of 256 as TQ1_0 has"));
    let mut engine = engine(&file, &EngineOptions::default());
    assert_eq!(engine.info().notices, [NO_TEMPLATE]);
    assert_eq!(engine.info().diffusion.as_ref().unwrap().mask_token, 5);
    for mode in ["ar", "adaptive"] {
        let out = generate(&mut engine, &[1, 300, 400], json!({ "mode": mode, "maxTokens": 4 }));
        assert!(!out.is_empty() && out.len() <= 4 && !out.contains(&5), "{mode} {out:?}");
    }

    let stops = ConvertOptions { diffusion: mask_token(0), ..ConvertOptions::default() };
    let error = checkpoint.convert(&stops).unwrap_err();
    assert_eq!(error.code(), ErrorCode::BadOption, "{error}");
    let forced =
        ConvertOptions { diffusion: DiffusionOverrides { force_mask_token: true, ..stops.diffusion }, ..stops };
    assert_eq!(checkpoint.convert(&forced).unwrap().1.diffusion.unwrap().mask_token, 0);
}
