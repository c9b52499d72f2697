//! How much memory `webtern convert` takes: some of the largest tensor, none of the rest.
//!
//! The checkpoint has `WEBTERN_CHECKPOINT_MB` megabytes, 256 without it; `make convert-memory`
//! makes one of 2 GB.

use crate::common::{tokenizer_json, torch_file, webtern};
use half::bf16;
use nix::sys::resource::{UsageWho, getrusage};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

const MB: usize = 1 << 20;

const HIDDEN: usize = 1024;
/// A matrix of the feed-forward part is the largest tensor: 40 MB.
const FEED_FORWARD: usize = 20 * HIDDEN;
const LARGEST: usize = 2 * HIDDEN * FEED_FORWARD;

/// What a conversion may take beside three times the largest tensor. 200 MB are promised; this is
/// what shows in a small checkpoint that no other tensors are held.
const BESIDE: usize = 24 * MB;

/// The tensors of a checkpoint of `layers` layers, each of the first so many `weights`.
fn tensors(layers: usize, weights: &[u8]) -> Vec<(String, TensorView<'_>)> {
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize]| {
        let bytes = 2 * shape.iter().product::<usize>();
        tensors.push((name, TensorView::new(Dtype::BF16, shape.to_vec(), &weights[..bytes]).unwrap()));
    };
    add("model.embed_tokens.weight".to_owned(), &[320, HIDDEN]);
    add("model.norm.weight".to_owned(), &[HIDDEN]);
    for layer in 0..layers {
        let mut add = |name: &str, shape: &[usize]| add(format!("model.layers.{layer}.{name}.weight"), shape);
        add("input_layernorm", &[HIDDEN]);
        add("post_attention_layernorm", &[HIDDEN]);
        for projection in ["q", "k", "v", "o"] {
            add(&format!("self_attn.{projection}_proj"), &[HIDDEN, HIDDEN]);
        }
        add("mlp.gate_proj", &[FEED_FORWARD, HIDDEN]);
        add("mlp.up_proj", &[FEED_FORWARD, HIDDEN]);
        add("mlp.down_proj", &[HIDDEN, FEED_FORWARD]);
    }
    tensors
}

/// Writes the tensors as safetensors and as `torch.save` does, into two folders.
fn write_weights(layers: usize, safetensors: &Path, torch: &Path) {
    // The low bits of a product with an odd number repeat late; as a bf16, 0x3D?? is around 0.05.
    let weight = |at: u32| (at.wrapping_mul(0x9E37_79B1) >> 16) as u16 & 0x80FF | 0x3D00;
    let weights: Vec<u8> = (0..LARGEST as u32 / 2).flat_map(|at| bf16::from_bits(weight(at)).to_le_bytes()).collect();
    let tensors = tensors(layers, &weights);
    let mut file = File::create(safetensors.join("model.safetensors")).unwrap();
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, tensor) in &tensors {
        let start = end;
        end += tensor.data().len();
        let entry = json!({ "dtype": "BF16", "shape": tensor.shape(), "data_offsets": [start, end] });
        header.insert(name.clone(), entry);
    }
    let header = json!(header).to_string();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    tensors.iter().for_each(|(_, tensor)| file.write_all(tensor.data()).unwrap());

    let borrowed: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
    let file = File::create(torch.join("pytorch_model.bin")).unwrap();
    torch_file::write(BufWriter::with_capacity(MB, file), &borrowed).unwrap();
}

/// Set in the process that measures.
const MEASURING: &str = "WEBTERN_MEASURING";

#[test]
fn a_conversion_holds_one_tensor_at_a_time() {
    // The system counts the largest child of a process, and other tests have children too: so this
    // test runs in a process of its own.
    if std::env::var_os(MEASURING).is_none() {
        let name = "convert_memory::a_conversion_holds_one_tensor_at_a_time";
        let arguments = ["--exact", name, "--nocapture"];
        let alone = Command::new(std::env::current_exe().unwrap()).args(arguments).env(MEASURING, "1").status();
        assert!(alone.unwrap().success());
        return;
    }
    let size = std::env::var("WEBTERN_CHECKPOINT_MB").map_or(256, |size| size.parse::<usize>().unwrap()) * MB;
    let layers = size.div_ceil(3 * LARGEST + 8 * HIDDEN * HIDDEN);
    let bound = 3 * LARGEST + BESIDE;
    assert!(bound < size, "a checkpoint of {size} bytes fits the bound of {bound} as a whole");
    // Not in the temporary directory, which may be in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let [safetensors, torch] = ["safetensors", "torch"].map(|name| folder.path().join(name));
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "vocab_size": 320, "hidden_size": HIDDEN, "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": layers, "num_attention_heads": 16, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": true,
    });
    for folder in [&safetensors, &torch] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("config.json"), config.to_string()).unwrap();
        fs::write(folder.join("tokenizer.json"), tokenizer_json()).unwrap();
    }
    write_weights(layers, &safetensors, &torch);
    let out = folder.path().join("model.gguf");
    for checkpoint in [&safetensors, &torch] {
        for options in [&["--type", "q8_0"][..], &["--type", "f16"], &["--type", "q2_0", "--ternarize"]] {
            let output = webtern().arg("convert").arg(checkpoint).arg("-o").arg(&out).args(options).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            // The largest so far, in kilobytes.
            let peak = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss() as usize * 1024;
            let what = format!("{} to {}", checkpoint.file_name().unwrap().display(), options[1]);
            eprintln!("{what}: at most {} MB, largest tensor {} MB", peak / MB, LARGEST / MB);
            assert!(peak <= bound, "{what}: {peak} bytes, not up to {bound}");
        }
        fs::remove_dir_all(checkpoint).unwrap();
    }
}
