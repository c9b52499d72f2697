//! Checkpoints made on the spot.

use super::*;
use crate::common::{tokenizer_json, torch_file};
use half::bf16;
use safetensors::tensor::{TensorView, serialize};

/// Type, shape and bytes.
type Tensor = (Dtype, Vec<usize>, Vec<u8>);

/// What weights are stored as.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    Safetensors,
    Torch,
}

impl Format {
    fn save(self, views: &[(&str, TensorView)]) -> Vec<u8> {
        let mut file = Vec::new();
        match self {
            Self::Safetensors => return serialize(views.iter().cloned(), None).unwrap(),
            Self::Torch => torch_file::write(&mut file, views).unwrap(),
        }
        file
    }
}

/// A checkpoint under construction: configuration, and tensors by name.
pub(crate) struct Checkpoint {
    pub(crate) config: Value,
    pub(crate) tensors: BTreeMap<String, Tensor>,
    pub(crate) others: Memory,
    state: u64,
}

impl Checkpoint {
    /// A model of class `class` with `layers` layers of random bf16 weights; two query heads a key
    /// head.
    pub(crate) fn new(class: &str, hidden: usize, feed_forward: usize, heads: usize, layers: usize) -> Self {
        let head_dim = hidden / heads;
        let mut checkpoint = Self {
            config: json!({
                "architectures": [class], "vocab_size": 288, "hidden_size": hidden, "intermediate_size": feed_forward,
                "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": heads / 2,
                "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "eos_token_id": 1, "tie_word_embeddings": true,
            }),
            tensors: BTreeMap::new(),
            others: [("tokenizer.json".to_owned(), tokenizer_json().into_bytes())].into(),
            state: 1,
        };
        checkpoint.add("model.embed_tokens.weight", &[288, hidden]);
        checkpoint.add("model.norm.weight", &[hidden]);
        let (q, kv) = (heads * head_dim, heads / 2 * head_dim);
        for layer in 0..layers {
            for (name, shape) in [
                ("input_layernorm", &[hidden][..]),
                ("post_attention_layernorm", &[hidden]),
                ("self_attn.q_proj", &[q, hidden]),
                ("self_attn.k_proj", &[kv, hidden]),
                ("self_attn.v_proj", &[kv, hidden]),
                ("self_attn.o_proj", &[hidden, q]),
                ("mlp.gate_proj", &[feed_forward, hidden]),
                ("mlp.up_proj", &[feed_forward, hidden]),
                ("mlp.down_proj", &[hidden, feed_forward]),
            ] {
                checkpoint.add(&format!("model.layers.{layer}.{name}.weight"), shape);
            }
        }
        checkpoint
    }

    /// A number between -1 and 1.
    fn random(&mut self) -> f32 {
        self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// Adds a random bf16 tensor; vectors are near 1.
    pub(crate) fn add(&mut self, name: &str, shape: &[usize]) {
        let offset = if shape.len() == 1 { 1.0 } else { 0.0 };
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| offset + 0.1 * self.random()).collect();
        let bytes = values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect();
        self.tensors.insert(name.to_owned(), (Dtype::BF16, shape.to_vec(), bytes));
    }

    pub(crate) fn add_f32(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensors.insert(name.to_owned(), (Dtype::F32, shape.to_vec(), bytes));
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        let tensor = self.tensors.remove(from).unwrap_or_else(|| panic!("no tensor {from}"));
        self.tensors.insert(to.to_owned(), tensor);
    }

    /// Puts a SubLN norm before a projection, as a `Sequential`.
    pub(crate) fn sub_norm(&mut self, layer: usize, module: &str) {
        let name = format!("model.layers.{layer}.{module}");
        self.rename(&format!("{name}.weight"), &format!("{name}.1.weight"));
        let width = self.tensors[&format!("{name}.1.weight")].1[1];
        self.add(&format!("{name}.0.weight"), &[width]);
    }

    pub(crate) fn values(&self, name: &str) -> Vec<f32> {
        let (dtype, _, bytes) = &self.tensors[name];
        match *dtype {
            Dtype::BF16 => bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
            Dtype::F32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            other => panic!("{name} is {other:?}"),
        }
    }

    fn views(&self) -> Vec<(&str, TensorView<'_>)> {
        let tensors = self.tensors.iter();
        tensors
            .map(|(name, (ty, shape, bytes))| (name.as_str(), TensorView::new(*ty, shape.clone(), bytes).unwrap()))
            .collect()
    }

    /// Everything but the weights.
    pub(crate) fn without_weights(&self) -> Memory {
        let mut files = self.others.clone();
        files.insert("config.json".into(), self.config.to_string().into_bytes());
        files
    }

    /// The weights in `shards` files of a format, with an index if there are several.
    pub(crate) fn files_in(&self, format: Format, shards: usize) -> Memory {
        let mut files = self.without_weights();
        let (start, end) = match format {
            Format::Safetensors => ("model", "safetensors"),
            Format::Torch => ("pytorch_model", "bin"),
        };
        let views = self.views();
        let mut map = BTreeMap::new();
        for (number, views) in views.chunks(views.len().div_ceil(shards)).enumerate() {
            let name = match shards {
                1 => format!("{start}.{end}"),
                _ => format!("{start}-{:05}-of-{shards:05}.{end}", number + 1),
            };
            map.extend(views.iter().map(|(tensor, _)| (*tensor, name.clone())));
            files.insert(name, format.save(views));
        }
        if shards > 1 {
            let index = json!({ "metadata": {}, "weight_map": map });
            files.insert(format!("{start}.{end}.index.json"), index.to_string().into_bytes());
        }
        files
    }

    pub(crate) fn files(&self) -> Memory {
        self.files_in(Format::Safetensors, 1)
    }

    pub(crate) fn convert(&self, options: &ConvertOptions) -> Result<(Vec<u8>, Report)> {
        convert(&mut self.files(), options)
    }
}
