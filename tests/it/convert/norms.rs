//! SubLN norms: kept, dropped, and under which architecture.

use super::*;

#[test]
fn seven_norms_run_and_dropping_them_says_what_is_lost() {
    let mut checkpoint = Checkpoint::new("LlamaForCausalLM", 64, 64, 2, 2);
    for (layer, projection) in (0..2).flat_map(|layer| ["q", "k", "v", "o"].map(|projection| (layer, projection))) {
        checkpoint.sub_norm(layer, &format!("self_attn.{projection}_proj"));
    }
    for (layer, projection) in (0..2).flat_map(|layer| ["gate", "up", "down"].map(|projection| (layer, projection))) {
        checkpoint.sub_norm(layer, &format!("mlp.{projection}_proj"));
    }
    let (file, report) = checkpoint.convert(&ConvertOptions::default()).unwrap();
    assert_eq!((report.architecture, report.sub_norms), ("bitnet", "seven"));
    let gain = checkpoint.values("model.layers.1.mlp.up_proj.0.weight");
    assert_eq!(weights(&file, "blk.1.ffn_up_norm_in.weight"), gain);
    engine(&file, &EngineOptions::default());

    let drop = ConvertOptions { subln: SubLn::Drop, ..ConvertOptions::default() };
    let (file, report) = checkpoint.convert(&drop).unwrap();
    assert_eq!((report.architecture, report.sub_norms, report.dropped.len()), ("llama", "none", 14));
    assert!(find(&report.findings, "sub-norms-dropped").message.contains("14 SubLN norms are left out"));
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
    let (file, report) =
        checkpoint.convert(&ConvertOptions { ty: Some(GgmlType::I2S), ..ConvertOptions::default() }).unwrap();
    assert_eq!((report.architecture, report.sub_norms), ("bitnet", "two"));
    let header = header(&file);
    assert_eq!(header.metadata.require_f32("bitnet.attention.sub_norm_epsilon"), Ok(1e-5));
    assert_eq!(header.metadata.require_string("bitnet.hidden_activation"), Ok("relu2"));
    assert_eq!(tensor(&report, "blk.0.ffn_down.weight").ty, "I2_S");
    assert_eq!(tensor(&report, "blk.0.attn_q.weight").ty, "Q2_0", "64 columns are no whole block of I2_S");
    engine(&file, &EngineOptions::default());
}

#[test]
fn windows_and_heads_keep_sub_norms_off_architecture_bitnet() {
    let mut checkpoint = Checkpoint::new("MistralForCausalLM", 64, 64, 2, 1);
    checkpoint.config["sliding_window"] = json!(16);
    let (file, _) = checkpoint.convert(&ConvertOptions::default()).unwrap();
    assert_eq!(header(&file).metadata.u32("llama.attention.sliding_window"), Ok(Some(16)));
    checkpoint.sub_norm(0, "self_attn.o_proj");
    checkpoint.sub_norm(0, "mlp.down_proj");
    for window in [json!(16), json!(null)] {
        checkpoint.config["sliding_window"] = window;
        let (file, report) = checkpoint.convert(&ConvertOptions::default()).unwrap();
        assert_eq!((report.architecture, report.sub_norms), ("llama", "two"));
        let notice = "architecture llama with two SubLN norms a layer. webtern runs it; other runtimes than webtern will not run it";
        assert!(find(&report.findings, "sub-norms").message.starts_with(notice));
        assert_eq!(header(&file).metadata.require_f32("llama.attention.sub_norm_epsilon"), Ok(1e-6));
        engine(&file, &EngineOptions::default());
        // The second time without a window, but with a head of its own.
        checkpoint.add("lm_head.weight", &[288, 64]);
    }
}
