//! What the class and the shapes in `config.json` decide.

use super::*;

#[test]
fn llama_is_permuted_and_keeps_its_precision() {
    let mut checkpoint = Checkpoint::new("LlamaForCausalLM", 64, 96, 4, 1);
    checkpoint.config["rope_parameters"] = json!({ "rope_theta": 5e5, "rope_type": "llama3", "factor": 8.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64 });
    checkpoint.add("model.layers.0.self_attn.q_proj.bias", &[64]);
    let (file, report) = checkpoint.convert(&ConvertOptions::default()).unwrap();
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

    // The rotation itself: Qwen2 has the same graph with pairs half a head apart, so the same
    // weights give the same logits.
    checkpoint.config["architectures"] = json!(["Qwen2ForCausalLM"]);
    let (other, report) = checkpoint.convert(&ConvertOptions::default()).unwrap();
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
    let (file, report) = checkpoint.convert(&ConvertOptions::default()).unwrap();
    assert!(header(&file).tensor("output.weight").is_none());
    assert_eq!(report.dropped[0].name, "lm_head.weight");

    checkpoint.add("lm_head.weight", &[288, 64]);
    let (file, report) = checkpoint.convert(&ConvertOptions::default()).unwrap();
    assert_eq!(weights(&file, "output.weight"), checkpoint.values("lm_head.weight"));
    assert!(find(&report.findings, "head-kept").message.contains("differs from the embedding"));

    checkpoint.tensors.remove("lm_head.weight");
    checkpoint.config["tie_word_embeddings"] = json!(false);
    let error = checkpoint.convert(&ConvertOptions::default()).unwrap_err();
    assert!(error.message().contains("no lm_head.weight"), "{error}");
}
