//! The files that weights may be in.

use super::*;

#[test]
fn pytorch_files_and_shards_give_the_same_file() {
    let mut packed = Checkpoint::new("BitNetForCausalLM", 64, 64, 2, 1);
    packed.config["quantization_config"] = json!({ "quant_method": "bitnet", "linear_class": "autobitlinear" });
    packed
        .tensors
        .insert("model.layers.0.mlp.up_proj.weight".into(), (Dtype::U8, vec![16, 64], vec![0b01_10_00_01; 1024]));
    packed.add_f32("model.layers.0.mlp.up_proj.weight_scale", &[1], &[0.5]);
    let mut trained = Checkpoint::new("LlamaForCausalLM", 64, 96, 4, 2);
    for name in trained.tensors.keys().cloned().collect::<Vec<_>>() {
        trained.rename(&name, &format!("module._orig_mod.{name}"));
    }
    for checkpoint in [packed, trained] {
        let (whole, _) = checkpoint.convert(&ConvertOptions::default()).unwrap();
        for (format, shards) in [(Format::Safetensors, 2), (Format::Torch, 1), (Format::Torch, 3)] {
            let (file, report) = convert(&mut checkpoint.files_in(format, shards), &ConvertOptions::default()).unwrap();
            assert!(file == whole, "{format:?} in {shards}");
            assert!(!report.findings.iter().any(|finding| finding.code == "other-weights"), "{:?}", report.findings);
        }
    }
}

#[test]
fn safetensors_go_before_pytorch_files() {
    let checkpoint = Checkpoint::new("Qwen2ForCausalLM", 64, 64, 2, 1);
    let mut files = checkpoint.files();
    files.insert("optimizer.pt".into(), b"whatever".to_vec());
    let note = "the weights are taken from safetensors; pytorch_model.bin is not read";
    for noticed in [false, true] {
        let (file, report) = convert(&mut files, &ConvertOptions::default()).unwrap();
        assert!(file == checkpoint.convert(&ConvertOptions::default()).unwrap().0);
        assert_eq!(report.findings.iter().any(|found| found.message == note), noticed, "{:?}", report.findings);
        files.insert("pytorch_model.bin".into(), b"whatever".to_vec());
    }
}

#[test]
fn rejects_shards_that_do_not_belong_together() {
    let (first, second) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    let files = Checkpoint::new("Qwen2ForCausalLM", 64, 64, 2, 2).files_in(Format::Safetensors, 2);
    let error = |change: &dyn Fn(&mut Memory)| {
        let mut files = files.clone();
        change(&mut files);
        convert(&mut files, &ConvertOptions::default()).unwrap_err()
    };
    let wrong = json!({ "weight_map": { "model.norm.weight": first, "x": second } }).to_string().into_bytes();
    let index =
        |index: &[u8]| error(&|files| drop(files.insert("model.safetensors.index.json".into(), index.to_vec())));
    assert_eq!(index(b"{}").code(), ErrorCode::Malformed);
    assert_eq!(
        index(&wrong).message(),
        format!("model.safetensors.index.json says that tensor model.norm.weight is in {first}, but it is not")
    );
    let twice = error(&|files| drop(files.insert(second.into(), files[first].clone())));
    assert!(twice.message().contains(&format!("is in {first} and in {second}")), "{twice}");
    let missing = error(&|files| files.retain(|name, _| !name.ends_with(".safetensors")));
    assert_eq!(missing.code(), ErrorCode::Truncated);
    let words = "2 of the 2 weight files that model.safetensors.index.json names are missing";
    assert_eq!(missing.message(), format!("{words}: {first}, {second}"));
}

#[test]
fn a_tokenizer_model_does_without_tokenizer_json() {
    let mut checkpoint = Checkpoint::new("LlamaForCausalLM", 64, 64, 2, 1);
    checkpoint.config["vocab_size"] = json!(482);
    checkpoint.add("model.embed_tokens.weight", &[482, 64]);
    let json = checkpoint.others.remove("tokenizer.json").unwrap();
    let model = include_bytes!("../../golden/sentencepiece/bytes.model").to_vec();
    checkpoint.others.insert("tokenizer.model".into(), model);
    checkpoint.others.insert("added_tokens.json".into(), br#"{"<|im_end|>": 480}"#.to_vec());
    let (file, report) = checkpoint.convert(&ConvertOptions::default()).unwrap();
    assert_eq!(report.tokenizer, "llama (default), 482 tokens");
    assert_eq!((report.diffusion.unwrap().mask_token, report.mask_token_text.as_deref()), (3, Some("|<MASK>|")));
    let engine = engine(&file, &EngineOptions::default());
    assert_eq!(
        engine.frontend().encode(&Prompt::Text("the answer<|im_end|>".into())).unwrap(),
        [1, 264, 273, 358, 275, 480]
    );

    let mut folder: Memory = [("model.gguf".to_owned(), file)].into();
    let found = verify(&mut folder, "model.gguf", &mut checkpoint.files(), &mut |_, _| Ok(())).unwrap();
    assert!(found.passed(), "{:?}", found.findings);
    assert_eq!((found.tokenizer.reference, found.tokenizer.lossy), ("tokenizer.model", 0));
    // tokenizer.json goes first.
    checkpoint.others.insert("tokenizer.json".into(), json);
    assert_eq!(checkpoint.convert(&ConvertOptions::default()).unwrap().1.tokenizer, "gpt2 (gpt-2), 482 tokens");
}
