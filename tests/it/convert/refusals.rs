//! What is refused, and that nothing half-written stays behind.

use super::*;

#[test]
fn rejects_damaged_safetensors() {
    let checkpoint = Checkpoint::new("Qwen2ForCausalLM", 64, 64, 2, 1);
    let whole = checkpoint.files()["model.safetensors"].clone();
    let refuse = |weights: Vec<u8>, code: ErrorCode, words: &str| {
        let mut files = checkpoint.files();
        files.insert("model.safetensors".into(), weights);
        let error = convert(&mut files, &ConvertOptions::default()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(words), "{error}");
    };
    refuse(whole[..whole.len() - 1].to_vec(), ErrorCode::Truncated, "its tensors take");
    refuse(whole[..100].to_vec(), ErrorCode::Truncated, "the header takes");
    refuse(whole[..5].to_vec(), ErrorCode::Truncated, "ends before byte 0 + 8");
    refuse([whole.clone(), vec![0]].concat(), ErrorCode::Malformed, "its tensors take");
    refuse(b"version https://git-lfs.github.com/spec/v1\noid".to_vec(), ErrorCode::Truncated, "git lfs pull");
    refuse(vec![255; 64], ErrorCode::Malformed, "no safetensors file");
    let beyond = r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}"#;
    let header = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &[0; 8]].concat();
    refuse(header("{"), ErrorCode::Malformed, "the header is damaged");
    refuse(header(beyond), ErrorCode::Truncated, "its tensors take");
    for lie in [
        r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
        r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#,
        r#"{"a":{"dtype":"F32","shape":[18446744073709551615,4],"data_offsets":[0,8]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#,
    ] {
        refuse(header(lie), ErrorCode::Malformed, "the header is damaged");
    }
}

#[test]
fn rejects_what_would_convert_wrongly() {
    type Damage = fn(&mut Checkpoint);
    let cases: [(Damage, ErrorCode, &str); 17] = [
        (
            |c| c.config["architectures"] = json!(["PhiForCausalLM"]),
            ErrorCode::UnsupportedArchitecture,
            "webtern converts LlamaForCausalLM",
        ),
        (
            |c| c.add("model.layers.0.self_attn.o_proj.lrc_U", &[64, 4]),
            ErrorCode::UnsupportedArchitecture,
            "low-rank correction",
        ),
        (
            |c| c.add("model.layers.0.self_attn.q_proj.lora_A.weight", &[4, 64]),
            ErrorCode::UnsupportedArchitecture,
            "LoRA",
        ),
        (
            |c| c.add("model.layers.0.mlp.down_proj.weight", &[64, 128]),
            ErrorCode::UnsupportedArchitecture,
            "HBitLinear",
        ),
        (|c| c.add("model.layers.0.mlp.router.weight", &[64, 8]), ErrorCode::UnsupportedArchitecture, "no meaning"),
        (
            |c| c.add("model.layers.0.self_attn.q_proj.weight", &[64, 32]),
            ErrorCode::Malformed,
            "config.json asks for [64, 64]",
        ),
        (
            |c| c.add("model.embed_tokens.weight", &[289, 64]),
            ErrorCode::Malformed,
            "has 289 rows, but vocab_size in config.json is 288",
        ),
        (|c| c.add("model.layers.3.input_layernorm.weight", &[64]), ErrorCode::Malformed, "config.json has 1 layers"),
        (|c| c.add("module.model.norm.weight", &[64]), ErrorCode::Malformed, "the same part"),
        (
            |c| drop(c.tensors.remove("model.layers.0.mlp.up_proj.weight")),
            ErrorCode::Malformed,
            "model.layers.0.mlp.up_proj.weight is missing",
        ),
        (
            |c| c.sub_norm(0, "self_attn.q_proj"),
            ErrorCode::UnsupportedArchitecture,
            "SubLN norms before self_attn.q_proj",
        ),
        (|c| c.add_f32("model.norm.weight", &[64], &[f32::NAN; 64]), ErrorCode::Malformed, "row 0, column 0 is NaN"),
        (
            |c| drop(c.tensors.insert("model.norm.weight".into(), (Dtype::I64, vec![64], vec![0; 512]))),
            ErrorCode::UnsupportedType,
            "has type I64",
        ),
        (|c| drop(c.others.remove("tokenizer.json")), ErrorCode::Io, "neither tokenizer.json nor tokenizer.model"),
        (
            |c| drop(c.others.insert("dlm_config.json".into(), br#"{"mask_token_id": 999}"#.to_vec())),
            ErrorCode::Malformed,
            "999",
        ),
        (
            |c| drop(c.others.insert("generation_config.json".into(), br#"{"eos_token_id": 999}"#.to_vec())),
            ErrorCode::Malformed,
            "999",
        ),
        (|c| c.add("model.layers.0.self_attn.q_norm.weight", &[32]), ErrorCode::UnsupportedArchitecture, "attn_q_norm"),
    ];
    for (damage, code, words) in cases {
        let mut checkpoint = Checkpoint::new("LlamaForCausalLM", 64, 96, 2, 1);
        damage(&mut checkpoint);
        let error = checkpoint.convert(&ConvertOptions::default()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(words), "{error}");
    }
}

#[test]
fn weights_that_are_no_numbers_are_found_and_named() {
    for (ty, ternarize) in [(GgmlType::F32, false), (GgmlType::Q8_0, false), (GgmlType::Q2_0, true)] {
        let options = ConvertOptions { ty: Some(ty), ternarize, ..ConvertOptions::default() };
        for (format, value, name) in [
            (Format::Safetensors, f32::NAN, "model.layers.1.self_attn.q_proj.weight"),
            (Format::Torch, f32::INFINITY, "model.layers.1.self_attn.q_proj.weight"),
            (Format::Torch, f32::NEG_INFINITY, "model.layers.0.mlp.down_proj.weight"),
            (Format::Safetensors, f32::INFINITY, "model.embed_tokens.weight"),
        ] {
            let mut checkpoint = Checkpoint::new("LlamaForCausalLM", 64, 64, 2, 2);
            let mut values = checkpoint.values(name);
            values[37 * 64 + 5] = value;
            let shape = checkpoint.tensors[name].1.clone();
            checkpoint.add_f32(name, &shape, &values);
            let error = convert(&mut checkpoint.files_in(format, 1), &options).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Malformed, "{error}");
            // Wherever the row goes in the file, its place in the checkpoint is what helps.
            let words = format!("tensor {name}: row 37, column 5 is {value}");
            assert!(error.message().contains(&words), "{error}");
        }
    }
    let mut checkpoint = Checkpoint::new("LlamaForCausalLM", 64, 64, 2, 1);
    checkpoint.add_f32("model.layers.0.mlp.up_proj.weight", &[64, 64], &[1e5; 64 * 64]);
    let error =
        checkpoint.convert(&ConvertOptions { ty: Some(GgmlType::F16), ..ConvertOptions::default() }).unwrap_err();
    assert!(error.message().contains("up_proj.weight from row 0: a weight is too large for F16"), "{error}");
}

#[test]
fn rejects_impossible_packing() {
    let packed = || {
        let mut checkpoint = Checkpoint::new("BitNetForCausalLM", 64, 64, 2, 1);
        checkpoint.config["quantization_config"] = json!({ "quant_method": "bitnet", "linear_class": "autobitlinear" });
        checkpoint.tensors.insert("model.layers.0.mlp.up_proj.weight".into(), (Dtype::U8, vec![16, 64], vec![0; 1024]));
        checkpoint.add_f32("model.layers.0.mlp.up_proj.weight_scale", &[1], &[0.5]);
        checkpoint
    };
    packed().convert(&ConvertOptions::default()).unwrap();
    type Damage = fn(&mut Checkpoint);
    let cases: [(Damage, &str); 5] = [
        (
            |c| c.tensors.get_mut("model.layers.0.mlp.up_proj.weight").unwrap().2[70] = 0b11_00,
            "row 17 has the unused code 3",
        ),
        (|c| drop(c.tensors.remove("model.layers.0.mlp.up_proj.weight_scale")), "no weight_scale beside it"),
        (|c| c.add_f32("model.layers.0.mlp.up_proj.weight_scale", &[1], &[0.0]), "gives the weights no scale"),
        (|c| c.config["quantization_config"] = json!(null), "quantization_config, which config.json does not have"),
        (|c| c.add("model.layers.0.mlp.up_proj.weight", &[64, 64]), "neither packed nor three-valued"),
    ];
    for (damage, words) in cases {
        let mut checkpoint = packed();
        damage(&mut checkpoint);
        let error = checkpoint.convert(&ConvertOptions::default()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Malformed, "{error}");
        assert!(error.message().contains(words), "{error}");
    }
}

#[test]
fn rejects_checkpoints_without_weights() {
    let checkpoint = Checkpoint::new("Qwen2ForCausalLM", 64, 64, 2, 1);
    let refuse = |change: fn(&mut Memory), code: ErrorCode, words: &str| {
        let mut files = checkpoint.files();
        change(&mut files);
        let error = convert(&mut files, &ConvertOptions::default()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(words), "{error}");
    };
    refuse(|files| drop(files.remove("config.json")), ErrorCode::Io, "config.json is missing");
    refuse(|files| drop(files.remove("model.safetensors")), ErrorCode::Io, "no weights");
    let mislabelled = |files: &mut Memory| {
        let weights = files.remove("model.safetensors").unwrap();
        files.insert("pytorch_model.bin".into(), weights);
    };
    refuse(mislabelled, ErrorCode::UnsupportedType, "pytorch_model.bin is not an archive that `torch.save` writes");
    let several = |files: &mut Memory| {
        let weights = files.remove("model.safetensors").unwrap();
        files.insert("a.safetensors".into(), weights.clone());
        files.insert("b.safetensors".into(), weights);
    };
    refuse(several, ErrorCode::Malformed, "a.safetensors, b.safetensors");
}

/// Takes a header, then no more.
struct FullDisk;

impl Write for FullDisk {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.starts_with(b"GGUF") { Ok(bytes.len()) } else { Err(ErrorKind::StorageFull.into()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_appears_only_when_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, "old").unwrap();
    let mut files = Checkpoint::new("Qwen2ForCausalLM", 64, 64, 2, 1).files();
    let plan = |files: &mut Memory| Plan::new(files, &ConvertOptions::default()).unwrap();

    let halfway = plan(&mut files);
    let total = halfway.report().bytes;
    let mut stop = |written| if written > total / 2 { Err(Error::new(ErrorCode::Aborted, "enough")) } else { Ok(()) };
    let error = write_whole(&path, |out| halfway.write(&mut files, out, &mut stop)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Aborted);
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let full = plan(&mut files);
    let error = write_whole(&path, |_| full.write(&mut files, FullDisk, &mut |_| Ok(()))).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Io, "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let whole = plan(&mut files);
    write_whole(&path, |out| whole.write(&mut files, out, &mut |_| Ok(()))).unwrap();
    assert!(std::fs::read(&path).unwrap() == convert(&mut files, &ConvertOptions::default()).unwrap().0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    for path in [folder.path().to_owned(), folder.path().join("none/model.gguf")] {
        let plan = plan(&mut files);
        let error = write_whole(&path, |out| plan.write(&mut files, out, &mut |_| Ok(()))).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Io, "{error}");
    }
}
