//! The checkpoints in `tests/golden/checkpoints`, converted: see
//! `tests/reference/checkpoint_golden.py`, which wrote them.

use std::collections::BTreeMap;
use webtern::Result;
use webtern::convert::{ConvertOptions, Plan, Report};
use webtern::gguf::GgmlType;

/// A checkpoint and what it computes.
pub(crate) struct Checkpoint {
    pub(crate) name: &'static str,
    config: &'static [u8],
    weights: &'static [u8],
    /// `tokens` and `logits`, as safetensors.
    pub(crate) golden: &'static [u8],
}

macro_rules! checkpoints {
    ($($name:literal)+) => {
        [$(Checkpoint {
            name: $name,
            config: include_bytes!(concat!("../golden/checkpoints/", $name, "/config.json")),
            weights: include_bytes!(concat!("../golden/checkpoints/", $name, "/model.safetensors")),
            golden: include_bytes!(concat!("../golden/checkpoints/", $name, ".safetensors")),
        }),+]
    };
}

pub(crate) static CHECKPOINTS: [Checkpoint; 20] = checkpoints![
    "llama-tied" "llama-untied" "llama-biases" "llama-linear" "llama-llama3" "llama-yarn" "smollm2" "mistral"
    "qwen2" "qwen2-yarn" "fast-dllm" "qwen3"
    "bitnet-online" "bitnet-autobitlinear" "bitnet-bitlinear" "subln-two" "subln-seven" "subln-scale"
    "rhyme-llama" "rhyme-qwen2"
];

impl Checkpoint {
    pub(crate) fn named(name: &str) -> &'static Self {
        CHECKPOINTS.iter().find(|checkpoint| checkpoint.name == name).expect("the name is in the list")
    }

    /// Its files.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let tokenizer = include_bytes!("../golden/checkpoints/tokenizer/tokenizer.json");
        let tokenizer_config = include_bytes!("../golden/checkpoints/tokenizer/tokenizer_config.json");
        let files = [
            ("config.json", self.config),
            ("model.safetensors", self.weights),
            ("tokenizer.json", tokenizer),
            ("tokenizer_config.json", tokenizer_config),
        ];
        files.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).into()
    }

    /// The file it becomes, with linear layers of type `ty`.
    pub(crate) fn convert(&self, ty: Option<GgmlType>) -> Result<(Vec<u8>, Report)> {
        let (mut files, mut file) = (self.files(), Vec::new());
        let report = Plan::new(&mut files, &ConvertOptions { ty, ..ConvertOptions::default() })?.write(
            &mut files,
            &mut file,
            &mut |_| Ok(()),
        )?;
        Ok((file, report))
    }
}
