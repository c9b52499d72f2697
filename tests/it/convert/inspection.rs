//! What an inspection says about a checkpoint before it is converted.

use super::*;
use webtern::inspect::checkpoint as inspect;

fn report(checkpoint: &Checkpoint) -> Report {
    inspect(&mut checkpoint.files(), &ConvertOptions::default()).unwrap()
}

#[test]
fn the_first_layer_tells_the_form_of_the_weights() {
    let masters = Checkpoint::new("BitNetForCausalLM", 64, 96, 2, 2);
    let found = report(&masters);
    assert_eq!((found.weight_scale, found.tokenizer.as_str()), (None, "gpt2 (gpt-2), 288 tokens"));
    let query = tensor(&found, "blk.0.attn_q.weight");
    let (codes, scale) = absmean(&masters.values("model.layers.0.self_attn.q_proj.weight"));
    let zeros = codes.iter().filter(|code| **code == 0).count() as f64 / codes.len() as f64;
    assert_eq!((query.origin, query.zeros), (Some(Origin::Master), Some(zeros)));
    assert!((f64::from(query.scale.unwrap()) - scale).abs() < 1e-6);
    assert_eq!(tensor(&found, "blk.1.attn_q.weight").origin, None, "only the first layer is read");
    let fallback = find(&found.findings, "fallback-type");
    assert_eq!(fallback.tensors, ["blk.0.ffn_down.weight", "blk.1.ffn_down.weight"]);
    assert!(fallback.message.contains("rows of 96 weights are not whole blocks of 64 as Q2_0 has them: it is F16"));

    let floats = Checkpoint::new("Qwen2ForCausalLM", 64, 64, 2, 1);
    assert_eq!(tensor(&report(&floats), "blk.0.attn_q.weight").origin, Some(Origin::Float));

    let mut packed = Checkpoint::new("BitNetForCausalLM", 64, 64, 2, 1);
    packed.config["quantization_config"] = json!({ "quant_method": "bitnet", "linear_class": "autobitlinear" });
    packed
        .tensors
        .insert("model.layers.0.mlp.up_proj.weight".into(), (Dtype::U8, vec![16, 64], vec![0b01_10_00_01; 1024]));
    packed.add_f32("model.layers.0.mlp.up_proj.weight_scale", &[1], &[25.0]);
    let found = report(&packed);
    let up = tensor(&found, "blk.0.ffn_up.weight");
    assert_eq!((found.weight_scale, up.origin, up.zeros), (Some("multiply"), Some(Origin::Packed), Some(0.5)));
    let scale = find(&found.findings, "implausible-scale");
    assert_eq!(
        (scale.severity, scale.tensors.as_slice()),
        (Severity::Warning, &["blk.0.ffn_up.weight".to_owned()][..])
    );
    packed.config["quantization_config"]["linear_class"] = json!("bitlinear");
    assert_eq!(report(&packed).weight_scale, Some("divide"));
}

#[test]
fn codes_taken_for_weights_are_noticed_before_they_are_converted() {
    let mut checkpoint = Checkpoint::new("LlamaForCausalLM", 64, 64, 2, 1);
    let names: Vec<String> = checkpoint.tensors.keys().filter(|name| name.contains("_proj.")).cloned().collect();
    for (scale, code) in [(Some(1.0), "lost-scale"), (None, "collapsed-scale")] {
        for name in &names {
            let shape = checkpoint.tensors[name].1.clone();
            let codes = absmean(&checkpoint.values(name)).0;
            let zeros = codes.iter().filter(|code| **code == 0).count() as f32 / codes.len() as f32;
            let values: Vec<f32> = codes.iter().map(|code| f32::from(*code) * scale.unwrap_or(1.0 - zeros)).collect();
            checkpoint.add_f32(name, &shape, &values);
        }
        let found = report(&checkpoint);
        assert_eq!(found.ternary_because, Some("the first layer's weights are three-valued"));
        assert_eq!(find(&found.findings, code).tensors.len(), 7);
    }
}

#[test]
fn it_says_whether_the_checkpoint_is_a_diffusion_model() {
    let mut checkpoint = Checkpoint::new("LlamaForCausalLM", 64, 64, 2, 1);
    checkpoint.sub_norm(0, "self_attn.o_proj");
    checkpoint.sub_norm(0, "mlp.down_proj");
    let found = report(&checkpoint);
    let codes: Vec<&str> = found.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["sub-norms", "block-size-assumed", "attention-assumed", "shift-assumed"]);
    assert_eq!((found.mask_token_text.as_deref(), found.chat_template), (Some("|<MASK>|"), false));
    assert_eq!(found.modes, ["adaptive", "iterative", "greedy", "ar"]);

    checkpoint.others.insert("dlm_config.json".into(), br#"{"mask_token_id": 1, "mask_prob": 0.15}"#.to_vec());
    let found = report(&checkpoint);
    assert_eq!(find(&found.findings, "mask-token-stops").severity, Severity::Warning);
    assert_eq!((found.modes, found.mask_token_text), (&["ar"][..], None));

    let json = String::from_utf8(checkpoint.others["tokenizer.json"].clone()).unwrap();
    checkpoint.others.insert("tokenizer.json".into(), json.replace("|<MASK>|", "<mask-of-ours>").into_bytes());
    checkpoint.others.remove("dlm_config.json");
    let found = report(&checkpoint);
    assert!(find(&found.findings, "no-mask-token").remedy.as_ref().unwrap().contains("token 2 (<mask-of-ours>)"));
}
