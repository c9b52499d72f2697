//! Weights that are three-valued in groups, and the scales of those that have one.

use super::*;

/// A Qwen3-like checkpoint whose projections are `scale(row, group of 64 columns) * {-1, 0, 1}`.
fn grouped(scale: impl Fn(usize, usize) -> f32) -> Checkpoint {
    let mut checkpoint = Checkpoint::new("Qwen2ForCausalLM", 256, 512, 4, 1);
    let names: Vec<String> = checkpoint.tensors.keys().filter(|name| name.ends_with("_proj.weight")).cloned().collect();
    for name in names {
        let shape = checkpoint.tensors[&name].1.clone();
        let code = |i: usize| (i * i % 7 % 3) as f32 - 1.0;
        let values: Vec<f32> =
            (0..shape[0] * shape[1]).map(|i| scale(i / shape[1], i % shape[1] / 64) * code(i)).collect();
        checkpoint.add_f32(&name, &shape, &values);
    }
    checkpoint
}

#[test]
fn weights_with_a_scale_for_each_group_are_packed_without_loss() {
    for (columns, fitting) in [
        (64, &[GgmlType::Q2_0][..]),
        (128, &[GgmlType::Q2_0, GgmlType::Pq2_0]),
        (256, &[GgmlType::Q2_0, GgmlType::Pq2_0, GgmlType::Tq1_0, GgmlType::Tq2_0]),
    ] {
        let checkpoint = grouped(|row, group| ((row + group * 64 / columns) % 9 + 1) as f32 / 64.0);
        for ty in [None, Some(GgmlType::Q2_0), Some(GgmlType::Pq2_0), Some(GgmlType::Tq1_0), Some(GgmlType::Tq2_0)] {
            let converted = checkpoint.convert(&ConvertOptions { ty, ..ConvertOptions::default() });
            if ty.is_some_and(|ty| !fitting.contains(&ty)) {
                let error = converted.unwrap_err();
                assert!(error.message().contains("cannot hold exactly"), "{error}");
                continue;
            }
            let (file, report) = converted.unwrap();
            assert!(report.ternary_because.unwrap().contains("in each group"));
            let query = tensor(&report, "blk.0.attn_q.weight");
            assert_eq!((query.origin, query.group), (Some(Origin::Groups), Some(columns)), "{ty:?}");
            assert_eq!(query.ty, ty.unwrap_or(GgmlType::Q2_0).name());
            assert_eq!(report.findings.iter().find(|finding| finding.severity == Severity::Problem), None);
            for (name, module) in [("attn_q", "self_attn.q_proj"), ("ffn_down", "mlp.down_proj")] {
                let expected = checkpoint.values(&format!("model.layers.0.{module}.weight"));
                assert_eq!(weights(&file, &format!("blk.0.{name}.weight")), expected, "{ty:?}");
            }
            let verification = verify_bytes(&file, &checkpoint);
            assert!(verification.passed(), "{:?}", verification.findings);
            let mut engine = engine(&file, &EngineOptions::default());
            assert_eq!(engine.info().notices, [NO_TEMPLATE]);
            engine.logits(&[1, 2, 3], AttentionKind::Causal, |row| assert!(row.iter().all(|x| x.is_finite()))).unwrap();
        }
    }
    let rows = grouped(|row, _| (row % 5 + 1) as f32 / 8.0);
    let (_, report) = rows.convert(&ConvertOptions::default()).unwrap();
    assert_eq!(tensor(&report, "blk.0.attn_q.weight").group, Some(256), "a scale for each row");
    let error = rows.convert(&ConvertOptions { ty: Some(GgmlType::I2S), ..ConvertOptions::default() }).unwrap_err();
    assert_eq!(error.code(), ErrorCode::BadOption);
    let mut partly = grouped(|row, _| (row % 5 + 1) as f32 / 8.0);
    partly.add("model.layers.0.mlp.up_proj.weight", &[512, 256]);
    let error = partly.convert(&ConvertOptions::default()).unwrap_err();
    assert!(error.message().contains("mlp.up_proj.weight is not three-valued in groups"), "{error}");
}

fn verify_bytes(file: &[u8], checkpoint: &Checkpoint) -> Verification {
    let mut files: Memory = [("model.gguf".to_owned(), file.to_vec())].into();
    let mut checkpoint = checkpoint.files_in(Format::Safetensors, 1);
    verify(&mut files, "model.gguf", &mut checkpoint, &mut |_, _| Ok(())).unwrap()
}

#[test]
fn one_scale_is_exact_in_a_tensor_and_rounded_in_blocks() {
    let checkpoint = Checkpoint::new("BitNetForCausalLM", 64, 128, 2, 1);
    let (codes, scale) = absmean(&checkpoint.values("model.layers.0.mlp.gate_proj.weight"));
    for scales in [Scales::F32, Scales::F16] {
        let (file, _) = checkpoint.convert(&ConvertOptions { scales, ..ConvertOptions::default() }).unwrap();
        let header = header(&file);
        let beside = header.tensor("blk.0.ffn_gate.scale").is_some();
        assert_eq!(beside, scales == Scales::F32);
        let weight = weights(&file, "blk.0.ffn_gate.weight").into_iter().fold(0.0, f32::max);
        let expected = if beside { scale as f32 } else { half::f16::from_f32(scale as f32).to_f32() };
        assert_eq!(weight, expected, "{scales:?}");
        assert!(
            weights(&file, "blk.0.ffn_gate.weight")
                .iter()
                .zip(&codes)
                .all(|(w, code)| *w == expected * f32::from(*code))
        );
        let verification = verify_bytes(&file, &checkpoint);
        assert!(verification.passed(), "{:?}", verification.findings);
        engine(&file, &EngineOptions::default());
    }
    // I2_S has room for an f32.
    let i2_s = ConvertOptions { ty: Some(GgmlType::I2S), ..ConvertOptions::default() };
    let wide = Checkpoint::new("BitNetForCausalLM", 128, 128, 2, 1);
    assert!(header(&wide.convert(&i2_s).unwrap().0).tensor("blk.0.ffn_gate.scale").is_none());
}

#[test]
fn minicpm_is_llama_with_factors() {
    let mut minicpm = Checkpoint::new("MiniCPMForCausalLM", 64, 96, 4, 2);
    for (key, value) in [("scale_emb", 12.0), ("scale_depth", 1.4), ("dim_model_base", 16.0)] {
        minicpm.config[key] = json!(value);
    }
    let factors: Vec<f32> = (0..8).map(|pair| 1.0 + pair as f32).collect();
    minicpm.config["rope_scaling"] =
        json!({ "rope_type": "longrope", "short_factor": factors, "long_factor": factors });
    let mut llama = Checkpoint::new("LlamaForCausalLM", 64, 96, 4, 2);
    let scaled = |llama: &mut Checkpoint, name: &str, to: &str, factor: f32| {
        let shape = llama.tensors[name].1.clone();
        let values: Vec<f32> = llama.values(name).iter().map(|value| value * factor).collect();
        llama.add_f32(to, &shape, &values);
    };
    let embedding = "model.embed_tokens.weight";
    scaled(&mut llama, embedding, "lm_head.weight", 16.0 / 64.0);
    scaled(&mut llama, embedding, embedding, 12.0);
    for layer in 0..2 {
        for module in ["self_attn.o_proj", "mlp.down_proj"] {
            let name = format!("model.layers.{layer}.{module}.weight");
            scaled(&mut llama, &name, &name, 1.4 / 2f32.sqrt());
        }
    }
    llama.config["tie_word_embeddings"] = json!(false);
    let f32 = ConvertOptions { ty: Some(GgmlType::F32), ..ConvertOptions::default() };
    let (ours, report) = minicpm.convert(&f32).unwrap();
    assert_eq!(report.architecture, "minicpm");
    assert_eq!(weights(&ours, "rope_factors_short.weight"), factors);
    let (theirs, _) = llama.convert(&f32).unwrap();
    let logits = |file: &[u8], tokens: &[u32]| {
        let mut all = Vec::new();
        let mut engine = engine(file, &EngineOptions::default());
        engine.logits(tokens, AttentionKind::Causal, |row| all.extend_from_slice(row)).unwrap();
        all
    };
    // At position 0 nothing is rotated, whatever the factors.
    let (first, expected) = (logits(&ours, &[7]), logits(&theirs, &[7]));
    let most = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
    assert!(first.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-3 * most), "{first:?} {expected:?}");
    let later = logits(&ours, &[7, 90, 200])[2 * 288..].to_vec();
    assert!(later.iter().zip(&logits(&theirs, &[7, 90, 200])[2 * 288..]).any(|(a, b)| (a - b).abs() > 1e-3 * most));
    let error = engine_error(&ours, |metadata| metadata.replace("minicpm.residual_scale", "minicpm.residual_sca1e"));
    assert!(error.contains("minicpm.residual_scale is missing"), "{error}");
}

/// What loading `file` fails with after its bytes were changed as text.
fn engine_error(file: &[u8], change: impl Fn(String) -> String) -> String {
    // One char a byte, so that lengths stay.
    let text: String = file.iter().map(|&byte| char::from(byte)).collect();
    let bytes: Vec<u8> = change(text).chars().map(|c| c as u8).collect();
    let mut loader = webtern::engine::EngineLoader::new(EngineOptions::default());
    loader.begin_file("model.gguf", None).unwrap();
    loader.push(&bytes).and_then(|()| loader.finish().map(drop)).unwrap_err().message().to_owned()
}
