//! The metadata of diffusion models.

use super::*;

#[test]
fn diffusion_settings_come_from_options_then_files_then_names() {
    let mut checkpoint = Checkpoint::new("Fast_dLLM_QwenForCausalLM", 64, 64, 2, 1);
    let settings = |checkpoint: &Checkpoint, options: &ConvertOptions| {
        let found = checkpoint.convert(options).unwrap().1.diffusion.unwrap();
        (found.mask_token, found.block_size, found.attention)
    };
    assert_eq!(settings(&checkpoint, &ConvertOptions::default()), (2, 32, AttentionKind::Block));
    checkpoint.config["bd_size"] = json!(16);
    assert_eq!(settings(&checkpoint, &ConvertOptions::default()), (2, 16, AttentionKind::Block));
    checkpoint.others.insert("dlm_config.json".into(), br#"{"mask_token_id": 40, "bd_size": 8}"#.to_vec());
    assert_eq!(settings(&checkpoint, &ConvertOptions::default()), (40, 8, AttentionKind::Block));
    let options = ConvertOptions {
        block_size: Some(4),
        diffusion: DiffusionOverrides {
            mask_token_id: Some(41),
            attention: Some(AttentionKind::Causal),
            ..DiffusionOverrides::default()
        },
        ..ConvertOptions::default()
    };
    assert_eq!(settings(&checkpoint, &options), (41, 4, AttentionKind::Causal));

    // WrinkleFree's later checkpoints: random masks, the causal mask, and a mask token that ends
    // texts.
    checkpoint.config["architectures"] = json!(["Qwen2ForCausalLM"]);
    checkpoint.others.insert(
        "dlm_config.json".into(),
        br#"{"mask_token_id": 40, "mask_prob": 0.15, "training_method": "unified"}"#.to_vec(),
    );
    assert_eq!(settings(&checkpoint, &ConvertOptions::default()), (40, 16, AttentionKind::Causal));
    checkpoint.others.insert("dlm_config.json".into(), br#"{"mask_token_id": 1, "mask_prob": 0.15}"#.to_vec());
    let (_, report) = checkpoint.convert(&ConvertOptions::default()).unwrap();
    assert!(
        report.diffusion.is_none() && find(&report.findings, "mask-token-stops").message.contains("also ends answers")
    );
    let error = checkpoint.convert(&ConvertOptions { block_size: Some(8), ..ConvertOptions::default() }).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NoMaskToken);

    checkpoint.others.insert("generation_config.json".into(), br#"{"eos_token_id": [1, 50]}"#.to_vec());
    let (file, _) = checkpoint.convert(&ConvertOptions::default()).unwrap();
    assert_eq!(header(&file).metadata.u32("tokenizer.ggml.eot_token_id"), Ok(Some(50)));
}

/// A small checkpoint of a class, with the query and key norms of Qwen3.
fn of_class(class: &str) -> Checkpoint {
    let mut checkpoint = Checkpoint::new(class, 64, 64, 2, 1);
    if class.contains("Qwen3") || class.contains("SDAR") {
        checkpoint.add("model.layers.0.self_attn.q_norm.weight", &[32]);
        checkpoint.add("model.layers.0.self_attn.k_norm.weight", &[32]);
    }
    checkpoint
}

#[test]
fn families_decide_block_shift_and_acceptance() {
    for (class, architecture, block, shift, acceptance) in [
        ("Fast_dLLM_QwenForCausalLM", "qwen2", 32, true, None),
        ("SDARForCausalLM", "qwen3", 4, false, Some("dynamic")),
        ("A2DQwen2LMHeadModel", "qwen2", 32, false, Some("dynamic")),
        ("A2DQwen3LMHeadModel", "qwen3", 32, false, Some("dynamic")),
        ("A2DLlamaLMHeadModel", "llama", 32, false, Some("dynamic")),
    ] {
        let (file, report) = of_class(class).convert(&ConvertOptions::default()).unwrap();
        let found = report.diffusion.unwrap();
        assert_eq!((report.architecture, found.block_size), (architecture, block), "{class}");
        assert_eq!((found.shift_logits, found.acceptance.map(Acceptance::as_str)), (shift, acceptance), "{class}");
        assert!(!found.autoregressive, "{class}");
        let metadata = header(&file).metadata;
        assert_eq!(metadata.bool("diffusion.shift_logits"), Ok(Some(shift)), "{class}");
        assert_eq!(metadata.string("diffusion.acceptance"), Ok(acceptance), "{class}");
        assert_eq!(engine(&file, &EngineOptions::default()).info().diffusion, Some(found), "the file says it all");
    }
}

#[test]
fn an_option_overrides_the_shift_and_another_block_size_is_a_warning() {
    let mut checkpoint = of_class("SDARForCausalLM");
    checkpoint.config["block_size"] = json!(8);
    checkpoint.config["mask_token_id"] = json!(77);
    let (_, report) = checkpoint.convert(&ConvertOptions::default()).unwrap();
    let found = report.diffusion.unwrap();
    assert_eq!((found.mask_token, found.block_size), (77, 8));
    let diffusion = DiffusionOverrides { shift_logits: Some(true), ..DiffusionOverrides::default() };
    let (_, report) =
        checkpoint.convert(&ConvertOptions { diffusion, block_size: Some(6), ..ConvertOptions::default() }).unwrap();
    let found = report.diffusion.unwrap();
    assert_eq!((found.shift_logits, found.block_size), (true, 6));
    let finding = find(&report.findings, "block-size-changed");
    assert!(finding.message.contains("blocks of 8; the file says 6"), "{}", finding.message);
    checkpoint.config["mask_token_id"] = json!(288);
    let error = checkpoint.convert(&ConvertOptions::default()).unwrap_err();
    assert!(error.code() == ErrorCode::Malformed && error.message().contains("mask token 288"), "{error}");
}

#[test]
fn full_attention_checkpoints_are_refused_by_name_and_warned_of_without() {
    let checkpoint = of_class("A2DQwen3LMHeadModel");
    let named = |name: &str| ConvertOptions { name: Some(name.into()), ..ConvertOptions::default() };
    let error = checkpoint.convert(&named("Qwen3-0.6B-diffusion-mdlm-v0.1")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnsupportedArchitecture);
    assert!(error.message().contains("full-attention") && error.message().contains("bd3lm"), "{error}");
    let (_, report) = checkpoint.convert(&named("Qwen3-0.6B-diffusion-bd3lm-v0.1")).unwrap();
    let finding = find(&report.findings, "block-diffusion-assumed");
    assert!(finding.severity == Severity::Warning && finding.remedy.as_ref().unwrap().contains("--block-size"));
}

#[test]
fn tiny_a2d_does_not_think_unless_asked() {
    let template = "{% if enable_thinking %}think{% else %}answer{% endif %}";
    for (class, thinks) in [("A2DQwen3LMHeadModel", false), ("A2DLlamaLMHeadModel", true)] {
        let mut checkpoint = of_class(class);
        checkpoint.others.insert("chat_template.jinja".into(), template.as_bytes().to_vec());
        let (file, _) = checkpoint.convert(&ConvertOptions::default()).unwrap();
        let written = header(&file).metadata.string("tokenizer.chat_template").unwrap().unwrap().to_owned();
        assert!(written.ends_with(template), "{written}");
        assert_eq!(written.contains("enable_thinking = false"), !thinks, "{class}: {written}");
        let engine = engine(&file, &EngineOptions::default());
        let text =
            engine.frontend().apply_chat_template(&[Message::new("user", "hello")], &Default::default(), true).unwrap();
        assert_eq!(text, "answer", "{class}");
    }
}
