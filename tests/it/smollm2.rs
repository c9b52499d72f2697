//! A checkpoint of real size from folder to answer, by the command line: the configuration and
//! tokenizer of a SmolLM2-135M with SubLN, and random weights.

#[path = "../../examples/random_checkpoint/file.rs"]
mod random_checkpoint;

use crate::common;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

/// A special token that no text needs: the tokenizer has no mask token.
const MASK_TOKEN: &str = "16";

/// What the command line answers in JSON.
fn webtern(arguments: &[&str], path: &Path) -> Value {
    let output = common::webtern().arg("--json").args(arguments).current_dir(path).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn smollm2_with_subln_converts_verifies_and_decodes_in_every_mode() {
    let Some(original) = common::fixture("smollm2-135m-dlm-subln") else { return };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let checkpoint = folder.path().join("checkpoint");
    fs::create_dir(&checkpoint).unwrap();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        fs::write(checkpoint.join(name), fs::read(original.join(name)).unwrap()).unwrap();
    }
    let config: Value = serde_json::from_slice(&fs::read(original.join("config.json")).unwrap()).unwrap();
    let weights = File::create(checkpoint.join("model.safetensors")).unwrap();
    random_checkpoint::write(&config, BufWriter::new(weights)).unwrap();

    let report = webtern(&["convert", "checkpoint", "-o", "model.gguf", "--mask-token-id", MASK_TOKEN], folder.path());
    assert_eq!((&report["architecture"], &report["subNorms"]), (&json!("bitnet"), &json!("two")));
    assert_eq!(report["dropped"], json!([]));
    let tensors = report["tensors"].as_array().unwrap();
    let count = |ty: &str| tensors.iter().filter(|tensor| tensor["type"] == ty).count();
    // 210 of the F32 tensors are the scales of the ternary ones.
    assert_eq!((tensors.len(), count("Q2_0"), count("F32"), count("BF16")), (542, 210, 331, 1));

    let found = webtern(&["verify", "model.gguf", "--against", "checkpoint"], folder.path());
    assert_eq!((found["matrices"].as_array().unwrap().len(), &found["findings"]), (211, &json!([])));

    for mode in ["ar", "greedy", "iterative", "adaptive"] {
        let arguments = ["generate", "model.gguf", "-p", "Why", "--mode", mode, "-n", "6"];
        let outcome = webtern(&arguments, folder.path());
        let tokens: Vec<u32> = serde_json::from_value(outcome["tokens"].clone()).unwrap();
        assert_eq!(outcome["stats"]["mode"], mode);
        assert!(tokens.len() == 6 || outcome["finishReason"] == "stop", "{mode}: {outcome}");
        assert!(!tokens.contains(&16), "{mode}: a mask token in the answer");
    }
}
