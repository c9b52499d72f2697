//! The weights of a checkpoint with SubLN, random, as safetensors: a length, a JSON header, data.
//!
//! Names and types are those of WrinkleFree's BitNet checkpoints: bfloat16, and the projections
//! that have a norm before them, `o_proj` and `down_proj`, as a `Sequential` of norm (`.0`) and
//! linear layer (`.1`).

#![forbid(unsafe_code)]

use half::bf16;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};
use serde_json::{Map, Value, json};
use std::io::{Error, Result, Write};

/// Weights that are drawn; after the last one they begin anew. Odd, so that no two rows are equal.
const DRAWN: usize = (1 << 20) + 7;

/// A tensor's name and shape, the slowest dimension first.
type Tensor = (String, Vec<u64>);

/// Writes `model.safetensors` for the sizes in a `config.json`.
pub(crate) fn write(config: &Value, mut out: impl Write) -> Result<()> {
    let tensors = tensors(config).ok_or_else(|| Error::other("config.json lacks a size"))?;
    let (mut header, mut end) = (Map::new(), 0);
    for (name, shape) in &tensors {
        let start = end;
        end += 2 * shape.iter().product::<u64>();
        header.insert(name.clone(), json!({ "dtype": "BF16", "shape": shape, "data_offsets": [start, end] }));
    }
    let header = Value::Object(header).to_string();
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;

    let weights = weights();
    let mut at = 0;
    for (_, shape) in &tensors {
        let mut left = 2 * shape.iter().product::<u64>() as usize;
        // The gains of norms are one.
        if shape.len() == 1 {
            out.write_all(&bf16::ONE.to_le_bytes().repeat(left / 2))?;
            continue;
        }
        while left > 0 {
            let some = left.min(weights.len() - at);
            out.write_all(&weights[at..at + some])?;
            left -= some;
            at = (at + some) % weights.len();
        }
    }
    out.flush()
}

/// The tensors of the model; nothing when a size is missing.
fn tensors(config: &Value) -> Option<Vec<Tensor>> {
    let size = |key: &str| config[key].as_u64();
    let (hidden, ffn, vocab) = (size("hidden_size")?, size("intermediate_size")?, size("vocab_size")?);
    let head_dim = size("head_dim")?;
    let (q, kv) = (size("num_attention_heads")? * head_dim, size("num_key_value_heads")? * head_dim);
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![vocab, hidden]),
        ("model.norm.weight".to_owned(), vec![hidden]),
    ];
    for layer in 0..size("num_hidden_layers")? {
        for (part, shape) in [
            ("input_layernorm", vec![hidden]),
            ("post_attention_layernorm", vec![hidden]),
            ("self_attn.q_proj", vec![q, hidden]),
            ("self_attn.k_proj", vec![kv, hidden]),
            ("self_attn.v_proj", vec![kv, hidden]),
            ("self_attn.o_proj.0", vec![q]),
            ("self_attn.o_proj.1", vec![hidden, q]),
            ("mlp.gate_proj", vec![ffn, hidden]),
            ("mlp.up_proj", vec![ffn, hidden]),
            ("mlp.down_proj.0", vec![ffn]),
            ("mlp.down_proj.1", vec![hidden, ffn]),
        ] {
            tensors.push((format!("model.layers.{layer}.{part}.weight"), shape));
        }
    }
    Some(tensors)
}

/// The bytes of random weights: sums of eight uniform numbers, which are near enough to a normal
/// distribution, of a deviation of 0.02, SmolLM2's `initializer_range`.
fn weights() -> Vec<u8> {
    let mut rng = Pcg64::seed_from_u64(0);
    let mut draw = || {
        let sum: f32 = rng.next_u64().to_le_bytes().into_iter().map(|byte| f32::from(byte) - 127.5).sum();
        bf16::from_f32(0.02 * sum / (8.0f32 * 256.0 * 256.0 / 12.0).sqrt())
    };
    (0..DRAWN).flat_map(|_| draw().to_le_bytes()).collect()
}
