//! Checkpoints of several files.

use super::*;

#[test]
fn shards_are_read_by_their_index() {
    let checkpoint = Checkpoint::new("Qwen2ForCausalLM", 64, 64, 2, 2);
    let (whole, _) = checkpoint.convert(&Options::default()).unwrap();
    let first = |name: &str| !name.contains("layers.1.");
    let shard =
        |name: &str| if first(name) { "model-00001-of-00002.safetensors" } else { "model-00002-of-00002.safetensors" };
    let map: BTreeMap<&String, &str> = checkpoint.tensors.keys().map(|name| (name, shard(name))).collect();
    let mut files = checkpoint.files();
    files.remove("model.safetensors");
    for half in [true, false] {
        let tensors = checkpoint.tensors.iter().filter(|(name, _)| first(name) == half);
        let name = if half { "model-00001-of-00002.safetensors" } else { "model-00002-of-00002.safetensors" };
        files.insert(name.into(), Checkpoint::safetensors(tensors));
    }
    files.insert(
        "model.safetensors.index.json".into(),
        json!({ "metadata": {}, "weight_map": map }).to_string().into_bytes(),
    );
    assert!(convert(&mut files, &Options::default()).unwrap().0 == whole);

    let error = |files: &mut Memory| convert(files, &Options::default()).unwrap_err();
    let mut wrong = files.clone();
    let index = json!({ "weight_map": { "model.norm.weight": "model-00002-of-00002.safetensors", "x": "model-00001-of-00002.safetensors" } });
    wrong.insert("model.safetensors.index.json".into(), index.to_string().into_bytes());
    assert!(error(&mut wrong).message().contains("is in model-00002-of-00002.safetensors, but it is not"));
    let mut twice = files.clone();
    twice.insert("model-00002-of-00002.safetensors".into(), files["model-00001-of-00002.safetensors"].clone());
    assert!(error(&mut twice).message().contains("is in model-00001-of-00002.safetensors and in model-00002"));
    files.remove("model-00002-of-00002.safetensors");
    let missing = error(&mut files);
    assert_eq!(missing.code(), ErrorCode::Truncated);
    assert!(missing.message().contains("1 of the 2 weight files"), "{missing}");
}
