//! Which weights become ternary, and from which forms.

use super::*;

/// Packs codes -1, 0, 1 as transformers does: the low bits are the first quarter of the rows.
fn pack(codes: &[i8], cols: usize) -> Vec<u8> {
    let quarter = codes.len() / 4;
    assert_eq!(quarter % cols, 0);
    (0..quarter).map(|at| (0..4).map(|i| ((codes[i * quarter + at] + 1) as u8) << (2 * i)).sum()).collect()
}

#[test]
fn packed_weights_of_both_linear_classes_and_ternary_floats_are_the_same_model() {
    let master = Checkpoint::new("BitNetForCausalLM", 64, 128, 4, 1);
    let (reference, _) = master.convert(&ConvertOptions::default()).unwrap();
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
        let (file, report) = checkpoint.convert(&ConvertOptions::default()).unwrap();
        let origin = if class == "floats" { Origin::Ternary } else { Origin::Packed };
        for info in header(&reference).tensors.iter().filter(|info| info.ty == GgmlType::Q2_0) {
            assert_eq!(tensor(&report, &info.name).origin, Some(origin));
            let (ours, theirs) = (weights(&file, &info.name), weights(&reference, &info.name));
            assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-4), "{class} {}", info.name);
        }
        assert_eq!(report.findings.iter().find(|finding| finding.code == "implausible-scale"), None);
        if class == "autobitlinear" {
            // Mislabelled: scales come out as their inverse, which is noticed.
            checkpoint.config["quantization_config"]["linear_class"] = json!("bitlinear");
            let (_, report) = checkpoint.convert(&ConvertOptions::default()).unwrap();
            assert!(find(&report.findings, "implausible-scale").remedy.as_ref().unwrap().contains("linear_class"));
        }
    }
}

#[test]
fn modules_to_not_convert_stay_floats() {
    let mut checkpoint = Checkpoint::new("BitNetForCausalLM", 64, 128, 4, 1);
    checkpoint.config["quantization_config"] = json!({ "quant_method": "bitnet", "quantization_mode": "online", "modules_to_not_convert": ["lm_head", "mlp.up_proj"] });
    let (file, report) = checkpoint.convert(&ConvertOptions::default()).unwrap();
    assert_eq!(tensor(&report, "blk.0.ffn_up.weight").origin, Some(Origin::Float));
    assert_eq!(weights(&file, "blk.0.ffn_up.weight"), checkpoint.values("model.layers.0.mlp.up_proj.weight"));
    assert_eq!(tensor(&report, "blk.0.ffn_gate.weight").origin, Some(Origin::Master));

    checkpoint.add_f32("model.layers.0.mlp.up_proj.weight_scale", &[1], &[0.5]);
    let error = checkpoint.convert(&ConvertOptions::default()).unwrap_err();
    assert!(error.message().contains("scales a layer that is not BitLinear"), "{error}");
}

#[test]
fn rows_that_fit_no_ternary_block_become_f16() {
    let checkpoint = Checkpoint::new("BitNetForCausalLM", 64, 96, 2, 1);
    for ty in [None, Some(GgmlType::Tq2_0)] {
        let (file, report) = checkpoint.convert(&ConvertOptions { ty, ..ConvertOptions::default() }).unwrap();
        let down = tensor(&report, "blk.0.ffn_down.weight");
        assert_eq!((down.ty, tensor(&report, "blk.0.ffn_up.weight").ty), ("F16", "Q2_0"));
        assert!(down.fallback.as_ref().unwrap().contains("rows of 96 weights"));
        let (codes, scale) = absmean(&checkpoint.values("model.layers.0.mlp.down_proj.weight"));
        assert_ternary(&weights(&file, "blk.0.ffn_down.weight"), &codes, scale);
    }
}

#[test]
fn float_models_are_only_ternarized_when_told() {
    let checkpoint = Checkpoint::new("Qwen2ForCausalLM", 64, 128, 2, 1);
    let q2 = ConvertOptions { ty: Some(GgmlType::Q2_0), ..ConvertOptions::default() };
    let error = checkpoint.convert(&q2).unwrap_err();
    assert_eq!(error.code(), ErrorCode::BadOption);
    assert!(error.message().contains("--ternarize"), "{error}");
    let (file, report) = checkpoint.convert(&ConvertOptions { ternarize: true, ..q2 }).unwrap();
    let (codes, scale) = absmean(&checkpoint.values("model.layers.0.self_attn.q_proj.weight"));
    assert_ternary(&weights(&file, "blk.0.attn_q.weight"), &codes, scale);
    assert_eq!(report.ternary_because, Some("the caller says so"));

    for ty in [GgmlType::Q8_0, GgmlType::Q4_0, GgmlType::F16, GgmlType::Bf16, GgmlType::F32] {
        let (file, report) = checkpoint.convert(&ConvertOptions { ty: Some(ty), ..ConvertOptions::default() }).unwrap();
        assert_eq!(tensor(&report, "blk.0.attn_q.weight").ty, ty.name());
        let mut expected = Vec::new();
        webtern::quant::quantize(ty, &checkpoint.values("model.layers.0.self_attn.q_proj.weight"), &mut expected)
            .unwrap();
        assert!(data(&file, &header(&file), "blk.0.attn_q.weight") == expected, "{ty}");
    }
}
