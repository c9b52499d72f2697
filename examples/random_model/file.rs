//! A llama of random weights as a GGUF file: metadata, tensors, bytes.
//!
//! Weights are drawn with the deviation that training starts from, so that pre-norm layers keep
//! activations and logits near 1 at any depth. Ternary types get those weights ternarized, one
//! scale for the tensor.
//!
//! An unending model never takes a token that ends a text, or that is part of a character, as the
//! likeliest: their rows of the embedding, which is also the head, are zero. So their logits are 0,
//! and of thousands of random ones the largest is above that.

#![forbid(unsafe_code)]

use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};
use std::f64::consts::TAU;
use std::io::Write;
use webtern::Result;
use webtern::gguf::{GgmlType, Metadata, TensorSpec, Writer};
use webtern::quant;
use webtern::tokenizer::{TokenText, TokenType, Tokenizer};

/// Standard deviation of every weight that is not a norm's gain; `initializer_range` of SmolLM2.
const DEVIATION: f64 = 0.02;

const EMBEDDING: &str = "token_embd.weight";

/// Sizes of a llama.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) layers: usize,
    pub(crate) hidden: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) feed_forward: usize,
    pub(crate) context_length: u32,
}

/// <https://huggingface.co/HuggingFaceTB/SmolLM2-135M>
pub(crate) const SMOLLM2_135M: Shape =
    Shape { layers: 30, hidden: 576, heads: 9, kv_heads: 3, head_dim: 64, feed_forward: 1536, context_length: 8192 };

/// What to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RandomModel {
    pub(crate) shape: Shape,
    /// The type of the linear layers. The embedding, which is also the head, is Q8_0; the norms are
    /// F32.
    pub(crate) linear: GgmlType,
    /// Gives every block of a ternary type its own scale, instead of one to the matrix.
    pub(crate) grouped: bool,
    /// Makes it a block-diffusion model.
    pub(crate) mask_token: Option<u32>,
    /// Makes it write text without end and in whole characters.
    pub(crate) unending: bool,
    pub(crate) seed: u64,
}

impl RandomModel {
    /// The metadata, those of the tokenizer included.
    pub(crate) fn metadata(&self, tokenizer: &Metadata) -> Metadata {
        let Shape { layers, hidden, heads, kv_heads, head_dim, feed_forward, context_length } = self.shape;
        let mut metadata = Metadata::default();
        metadata.insert("general.architecture", "llama");
        metadata.insert("general.name", format!("random weights, {}", self.linear).as_str());
        for (key, size) in [
            ("block_count", layers),
            ("embedding_length", hidden),
            ("feed_forward_length", feed_forward),
            ("attention.head_count", heads),
            ("attention.head_count_kv", kv_heads),
            ("rope.dimension_count", head_dim),
            ("attention.key_length", head_dim),
            ("attention.value_length", head_dim),
        ] {
            metadata.insert(format!("llama.{key}"), size as u32);
        }
        metadata.insert("llama.context_length", context_length);
        metadata.insert("llama.rope.freq_base", 100_000f32);
        metadata.insert("llama.attention.layer_norm_rms_epsilon", 1e-5f32);
        for (key, value) in tokenizer.iter() {
            metadata.insert(key, value.clone());
        }
        if let Some(mask_token) = self.mask_token {
            metadata.insert("tokenizer.ggml.mask_token_id", mask_token);
            metadata.insert("diffusion.block_size", 32u32);
            metadata.insert("diffusion.attention", "block");
            metadata.insert("diffusion.shift_logits", true);
        }
        metadata
    }

    /// The tensors in file order, for a vocabulary of `vocab` tokens.
    pub(crate) fn tensors(&self, vocab: usize) -> Vec<TensorSpec> {
        let Shape { layers, hidden, heads, kv_heads, head_dim, feed_forward, .. } = self.shape;
        let (q, kv) = (heads * head_dim, kv_heads * head_dim);
        let matrix =
            |name: String, cols: usize, rows: usize, ty| TensorSpec { name, dims: vec![cols as u64, rows as u64], ty };
        let norm = |name: String| TensorSpec { name, dims: vec![hidden as u64], ty: GgmlType::F32 };
        let mut tensors = vec![matrix(EMBEDDING.into(), hidden, vocab, GgmlType::Q8_0)];
        for layer in 0..layers {
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            tensors.extend(["attn_norm", "ffn_norm"].map(|part| norm(name(part))));
            let linear = |(part, cols, rows)| matrix(name(part), cols, rows, self.linear);
            tensors.extend(
                [
                    ("attn_q", hidden, q),
                    ("attn_k", hidden, kv),
                    ("attn_v", hidden, kv),
                    ("attn_output", q, hidden),
                    ("ffn_gate", hidden, feed_forward),
                    ("ffn_up", hidden, feed_forward),
                    ("ffn_down", feed_forward, hidden),
                ]
                .map(linear),
            );
        }
        tensors.push(norm("output_norm.weight".into()));
        tensors
    }

    /// Writes the file, one tensor in memory at a time.
    pub(crate) fn write<W: Write>(&self, out: W, tokenizer: &Metadata) -> Result<W> {
        let vocab = tokenizer.require_strings("tokenizer.ggml.tokens")?.len();
        let tensors = self.tensors(vocab);
        let mut writer = Writer::new(out, &self.metadata(tokenizer), &tensors)?;
        let mut normal = Normal::new(self.seed);
        let unwritten = if self.unending { unwritten(&Tokenizer::from_metadata(tokenizer)?) } else { Vec::new() };
        for spec in &tensors {
            let mut bytes =
                if self.grouped { grouped_weights(spec, &mut normal)? } else { weights(spec, &mut normal)? };
            if spec.name == EMBEDDING {
                let row = bytes.len() / vocab;
                for &id in &unwritten {
                    bytes[id * row..][..row].fill(0);
                }
            }
            writer.write_tensor(&spec.name, &bytes)?;
        }
        writer.finish()
    }
}

/// Tokens that an unending model does not write: those that are no text, and those that are not
/// whole characters.
fn unwritten(tokenizer: &Tokenizer) -> Vec<usize> {
    let text = |id| {
        let normal = tokenizer.token_type(id) == Some(TokenType::Normal);
        normal && str::from_utf8(tokenizer.token_bytes(id)).is_ok_and(|text| !text.is_empty())
    };
    (0..tokenizer.len()).filter(|&id| !text(id as u32)).collect()
}

/// The bytes of a tensor: gains of one for a norm, else random weights.
pub(crate) fn weights(spec: &TensorSpec, normal: &mut Normal) -> Result<Vec<u8>> {
    let cols = spec.dims[0] as usize;
    let rows = spec.dims[1..].iter().product::<u64>() as usize;
    let mut bytes = Vec::new();
    if spec.dims.len() == 1 {
        quant::quantize(spec.ty, &vec![1.0; cols], &mut bytes)?;
    } else if spec.ty.is_ternary() {
        let weights: Vec<f32> = (0..rows * cols).map(|_| normal.draw()).collect();
        quant::encode_ternary(spec.ty, &quant::ternarize(&weights), cols, &mut bytes)?;
    } else {
        let mut row = vec![0.0; cols];
        for _ in 0..rows {
            row.fill_with(|| normal.draw());
            quant::quantize(spec.ty, &row, &mut bytes)?;
        }
    }
    Ok(bytes)
}

/// As [`weights`], with each block of a ternary type ternarized by itself.
fn grouped_weights(spec: &TensorSpec, normal: &mut Normal) -> Result<Vec<u8>> {
    if !spec.ty.is_ternary() {
        return weights(spec, normal);
    }
    let blocks = spec.dims.iter().product::<u64>() as usize / spec.ty.block_len();
    let mut bytes = Vec::new();
    let mut block = vec![0.0; spec.ty.block_len()];
    for _ in 0..blocks {
        block.fill_with(|| normal.draw());
        let quant::Ternary { codes, scale } = quant::ternarize(&block);
        block.iter_mut().zip(codes).for_each(|(weight, code)| *weight = scale * (f32::from(code) - 1.0));
        quant::quantize(spec.ty, &block, &mut bytes)?;
    }
    Ok(bytes)
}

/// Random weights: a normal distribution around 0, by the method of Box and Muller.
pub(crate) struct Normal {
    rng: Pcg64,
    spare: Option<f32>,
}

impl Normal {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Pcg64::seed_from_u64(seed), spare: None }
    }

    fn draw(&mut self) -> f32 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // In (0, 1]: the logarithm of 0 is not finite.
        let mut uniform = || ((self.rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        let radius = DEVIATION * (-2.0 * uniform().ln()).sqrt();
        let (sin, cos) = (TAU * uniform()).sin_cos();
        self.spare = Some((radius * sin) as f32);
        (radius * cos) as f32
    }
}
