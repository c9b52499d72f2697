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

    // WrinkleFree's later checkpoints: random masks, the causal mask, and a mask token that ends texts.
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
