//! The shape of a model, from GGUF metadata.

#![forbid(unsafe_code)]

use super::architecture::Architecture;
use crate::error::Result;
use crate::gguf::Metadata;
use crate::ops::{Activation, Rope, Yarn};

/// Everything about a model that is not a tensor. Sizes are in elements.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the file says it is.
    pub architecture: &'static Architecture,
    /// Transformer layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the feed-forward network.
    pub feed_forward: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Positions the model was made for.
    pub context_length: usize,
    /// Tokens.
    pub vocab: usize,
    /// Epsilon of the norms.
    pub epsilon: f32,
    /// Epsilon of the norms inside a sub-layer (SubLN).
    pub sub_epsilon: f32,
    /// How many positions back a query sees, itself included; `None` for all.
    pub window: Option<usize>,
    /// The gate's function.
    pub activation: Activation,
    /// The rotation, before the factors of a `rope_freqs`, `rope_factors_short` or
    /// `rope_factors_long` tensor.
    pub rope: Rope,
    /// Whether frequencies are divided by the factors of LongRoPE (arXiv:2402.13753), which are
    /// tensors.
    pub long_rope: bool,
    /// Positions up to which these are the short factors, and beyond which the long ones.
    pub original_context_length: usize,
    /// What the embedding of a token is multiplied with.
    pub embedding_scale: f32,
    /// What the output of the attention and of the feed-forward network is multiplied with before
    /// it is added.
    pub residual_scale: f32,
    /// What the logits are divided by.
    pub logit_scale: f32,
}

/// The largest layer count, width or head count that is believed: far above any model that fits a
/// page.
const MAX_SIZE: u32 = 1 << 20;

impl Config {
    /// Reads `{architecture}.block_count` and the other keys of the GGUF specification.
    ///
    /// # Errors
    ///
    /// `unsupported-architecture` for an unknown architecture or a feature webtern does not run,
    /// `malformed` for keys that are missing or contradict one another, `limits` for absurd sizes.
    pub fn from_metadata(metadata: &Metadata) -> Result<Self> {
        let architecture = Architecture::find(metadata.require_string("general.architecture")?)?;
        let keys = Keys { metadata, prefix: architecture.name };
        for key in ["expert_count", "attention.q_lora_rank", "ssm.state_size"] {
            if keys.u32(key)?.is_some_and(|value| value > 0) {
                bail!(UnsupportedArchitecture, "{} is set: webtern runs dense transformers only", keys.name(key));
            }
        }
        let hidden = keys.size("embedding_length")?;
        let heads = keys.size("attention.head_count")?;
        let kv_heads = keys.optional_size("attention.head_count_kv")?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            let key = keys.name("attention.head_count_kv");
            bail!(Malformed, "{heads} heads cannot share {kv_heads} key/value heads ({key})");
        }
        let head_dim = match keys.optional_size("attention.key_length")? {
            Some(length) => length,
            None if hidden.is_multiple_of(heads) => hidden / heads,
            None => {
                let key = keys.name("attention.key_length");
                bail!(Malformed, "a width of {hidden} does not divide into {heads} heads, and {key} is missing")
            }
        };
        if heads.saturating_mul(head_dim) > MAX_SIZE as usize {
            bail!(Limits, "{heads} heads of {head_dim} are more than the limit of {MAX_SIZE} wide");
        }
        if keys.optional_size("attention.value_length")?.is_some_and(|value| value != head_dim) {
            bail!(
                UnsupportedArchitecture,
                "{} differs from the key length {head_dim}",
                keys.name("attention.value_length")
            );
        }
        let context_length = keys.size("context_length")?;
        let epsilon = keys.require_f32("attention.layer_norm_rms_epsilon")?;
        let activation = match keys.metadata.string(&keys.name("hidden_activation"))? {
            None => architecture.activation,
            Some("silu") => Activation::Silu,
            Some("relu2") => Activation::Relu2,
            Some(other) => {
                bail!(UnsupportedArchitecture, "activation \"{other}\" is not supported; webtern runs silu, relu2")
            }
        };
        let window = keys.u32("attention.sliding_window")?.filter(|&window| architecture.window && window > 0);
        let dims = keys.optional_size("rope.dimension_count")?.unwrap_or(head_dim);
        if dims > head_dim || !dims.is_multiple_of(2) {
            bail!(Malformed, "{} is {dims}, not an even number up to {head_dim}", keys.name("rope.dimension_count"));
        }
        Ok(Self {
            architecture,
            layers: keys.size("block_count")?,
            hidden,
            feed_forward: keys.size("feed_forward_length")?,
            heads,
            kv_heads,
            head_dim,
            context_length,
            vocab: metadata.require_strings("tokenizer.ggml.tokens")?.len(),
            epsilon,
            sub_epsilon: keys.f32("attention.sub_norm_epsilon")?.unwrap_or(epsilon),
            window: window.map(|window| window as usize),
            activation,
            rope: rope(&keys, dims, context_length)?,
            long_rope: metadata.string(&keys.name("rope.scaling.type"))? == Some("longrope"),
            original_context_length: keys
                .optional_size("rope.scaling.original_context_length")?
                .unwrap_or(context_length),
            embedding_scale: keys.scale("embedding_scale", architecture)?,
            residual_scale: keys.scale("residual_scale", architecture)?,
            logit_scale: keys.scale("logit_scale", architecture)?,
        })
    }

    /// Width of all query heads.
    pub fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of all key (or value) heads.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

fn rope(keys: &Keys<'_>, dims: usize, context_length: usize) -> Result<Rope> {
    let base = keys.f32("rope.freq_base")?.unwrap_or(10_000.0);
    let architecture = Architecture::find(keys.prefix)?;
    let rope = Rope::new(architecture.rope, dims, base);
    let old_factor = keys.f32("rope.scale_linear")?;
    let factor = keys.f32("rope.scaling.factor")?.or(old_factor).unwrap_or(1.0);
    let default_kind = if old_factor.is_some() { "linear" } else { "none" };
    match keys.metadata.string(&keys.name("rope.scaling.type"))?.unwrap_or(default_kind) {
        "none" => Ok(rope),
        "longrope" => {
            if let Some(factor) = keys.f32("rope.scaling.attn_factor")?.filter(|&factor| factor != 1.0) {
                let key = keys.name("rope.scaling.attn_factor");
                bail!(UnsupportedArchitecture, "{key} is {factor}: webtern runs LongRoPE without it");
            }
            Ok(rope)
        }
        "linear" => Ok(rope.linear(factor)),
        "yarn" => {
            let not_one = keys.f32("rope.scaling.yarn_ext_factor")?.filter(|&factor| factor != 1.0);
            let set =
                [("yarn_ext_factor", not_one), ("yarn_log_multiplier", keys.f32("rope.scaling.yarn_log_multiplier")?)];
            if let Some((key, _)) = set.iter().find(|(_, value)| value.is_some()) {
                let key = keys.name(&format!("rope.scaling.{key}"));
                bail!(UnsupportedArchitecture, "{key} is set: webtern runs YaRN without it");
            }
            let original = keys.optional_size("rope.scaling.original_context_length")?.unwrap_or(context_length);
            let usual = Yarn::default();
            let yarn = Yarn {
                beta_fast: keys.f32("rope.scaling.yarn_beta_fast")?.unwrap_or(usual.beta_fast),
                beta_slow: keys.f32("rope.scaling.yarn_beta_slow")?.unwrap_or(usual.beta_slow),
                magnitude: keys.f32("rope.scaling.yarn_attn_factor")?,
                attention_factor: keys.f32("rope.scaling.attn_factor")?.unwrap_or(usual.attention_factor),
            };
            Ok(rope.yarn(base, factor, original, yarn))
        }
        other => bail!(
            UnsupportedArchitecture,
            "{} is \"{other}\"; webtern runs none, linear, yarn, longrope and Llama 3's rope_freqs tensor",
            keys.name("rope.scaling.type")
        ),
    }
}

/// The keys under one architecture's prefix.
struct Keys<'a> {
    metadata: &'a Metadata,
    prefix: &'static str,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    fn u32(&self, key: &str) -> Result<Option<u32>> {
        self.metadata.u32(&self.name(key))
    }

    /// A positive, finite number.
    fn f32(&self, key: &str) -> Result<Option<f32>> {
        let name = self.name(key);
        match self.metadata.f32(&name)? {
            Some(value) if !(value.is_finite() && value > 0.0) => {
                bail!(Malformed, "{name} is {value}, not a positive number")
            }
            value => Ok(value),
        }
    }

    /// A factor that the architecture needs; 1 in those that have none.
    fn scale(&self, key: &str, architecture: &Architecture) -> Result<f32> {
        if architecture.scaled { self.require_f32(key) } else { Ok(1.0) }
    }

    fn require_f32(&self, key: &str) -> Result<f32> {
        self.f32(key)?.ok_or_else(|| err!(Malformed, "metadata key {} is missing", self.name(key)))
    }

    fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        let name = self.name(key);
        match self.metadata.u32(&name)? {
            Some(0) => bail!(Malformed, "{name} is 0"),
            Some(value) if value > MAX_SIZE => bail!(Limits, "{name} is {value}, more than the limit of {MAX_SIZE}"),
            value => Ok(value.map(|value| value as usize)),
        }
    }

    fn size(&self, key: &str) -> Result<usize> {
        self.optional_size(key)?.ok_or_else(|| err!(Malformed, "metadata key {} is missing", self.name(key)))
    }
}
