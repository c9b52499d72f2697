//! What `config.json` says about a model.

#![forbid(unsafe_code)]

use super::family::Family;
use super::json::{Json, MAX_SIZE};
use super::rope::RopeScaling;
use crate::error::Result;

/// The classes that are converted: the model they are to compute, and the block-diffusion family
/// that trained it.
const CLASSES: [(&str, Class, Option<Family>); 13] = [
    ("LlamaForCausalLM", Class::Llama, None),
    ("MistralForCausalLM", Class::Mistral, None),
    ("BitNetForCausalLM", Class::BitNet, None),
    ("BitnetForCausalLM", Class::BitNet, None),
    ("Qwen2ForCausalLM", Class::Qwen2, None),
    ("Qwen3ForCausalLM", Class::Qwen3, None),
    ("Fast_dLLM_QwenForCausalLM", Class::Qwen2, Some(Family::FastDllm)),
    ("Fast_dLLM_Qwen2ForCausalLM", Class::Qwen2, Some(Family::FastDllm)),
    ("SDARForCausalLM", Class::Qwen3, Some(Family::Sdar)),
    ("A2DQwen2LMHeadModel", Class::Qwen2, Some(Family::TinyA2d)),
    ("A2DQwen3LMHeadModel", Class::Qwen3, Some(Family::TinyA2d)),
    ("A2DLlamaLMHeadModel", Class::Llama, Some(Family::TinyA2d)),
    ("MiniCPMForCausalLM", Class::MiniCpm, None),
];

/// A kind of model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Llama,
    Mistral,
    BitNet,
    Qwen2,
    Qwen3,
    /// Llama with factors on embedding, residual branches and logits.
    MiniCpm,
}

/// The factors of MiniCPM (arXiv:2404.06395).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Factors {
    /// What embeddings are multiplied with.
    pub(super) embedding: f32,
    /// What the output of a residual branch is multiplied with.
    pub(super) residual: f32,
    /// What logits are divided by.
    pub(super) logits: f32,
}

/// Which way round `weight_scale` is stored beside packed weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WeightScale {
    /// `autobitlinear`: the weight is code times scale.
    Multiply,
    /// `bitlinear`, and files that do not say: the weight is code divided by scale.
    Divide,
}

/// `quantization_config` of a BitNet checkpoint.
#[derive(Clone, Debug)]
pub(super) struct BitNetConfig {
    pub(super) weight_scale: WeightScale,
    /// Modules that are not BitLinear.
    pub(super) dense_modules: Vec<String>,
    /// Epsilon of the norms inside linear layers.
    pub(super) norm_epsilon: f32,
}

/// Everything `config.json` says that the converter uses.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// The name of the class as written.
    pub(super) class_name: String,
    pub(super) class: Class,
    pub(super) family: Option<Family>,
    pub(super) hidden: u32,
    pub(super) feed_forward: u32,
    pub(super) layers: u32,
    pub(super) heads: u32,
    pub(super) kv_heads: u32,
    pub(super) head_dim: u32,
    pub(super) context_length: u32,
    pub(super) vocab: u32,
    pub(super) epsilon: f32,
    /// `silu` or `relu2`.
    pub(super) activation: &'static str,
    pub(super) tied: Option<bool>,
    pub(super) window: Option<u32>,
    pub(super) rope_base: f32,
    pub(super) rope_scaling: RopeScaling,
    pub(super) factors: Option<Factors>,
    pub(super) bitnet: Option<BitNetConfig>,
    pub(super) eos: Vec<u32>,
    /// Positions in a block: `bd_size` (Fast-dLLM v2) or `block_size` (SDAR).
    pub(super) block_size: Option<u32>,
    /// SDAR names the mask token here.
    pub(super) mask_token: Option<u32>,
}

impl Config {
    /// Reads the text of `config.json`.
    ///
    /// # Errors
    ///
    /// `unsupported-architecture`, with the list of what is supported, for other classes and for
    /// features that are not run; `malformed` for missing or contradictory values.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let json = Json::parse("config.json", text)?;
        let (class_name, class, family) = class(&json)?;
        let hidden = json.require_size("hidden_size")?;
        let heads = json.require_size("num_attention_heads")?;
        let kv_heads = json.size("num_key_value_heads")?.unwrap_or(heads);
        if !heads.is_multiple_of(kv_heads) {
            bail!(Malformed, "config.json: {heads} attention heads cannot share {kv_heads} key/value heads");
        }
        let head_dim = match json.size("head_dim")? {
            Some(head_dim) => head_dim,
            None if hidden.is_multiple_of(heads) => hidden / heads,
            None => bail!(
                Malformed,
                "config.json: hidden_size {hidden} is no multiple of {heads} heads, and there is no head_dim"
            ),
        };
        if !head_dim.is_multiple_of(2) {
            bail!(Malformed, "config.json: head_dim is {head_dim}; rotary positions need an even one");
        }
        if u64::from(heads) * u64::from(head_dim) > MAX_SIZE {
            bail!(Limits, "config.json: {heads} heads of {head_dim} are wider than the limit of {MAX_SIZE}");
        }
        let context_length = json.require_size("max_position_embeddings")?;
        if json.number("partial_rotary_factor")?.is_some_and(|factor| factor != 1.0) {
            bail!(UnsupportedArchitecture, "config.json: partial_rotary_factor is not 1: webtern rotates whole heads");
        }
        let activation = match json.string("hidden_act")?.unwrap_or("silu") {
            "silu" | "swish" => "silu",
            "relu2" => "relu2",
            other => bail!(
                UnsupportedArchitecture,
                "config.json: hidden_act \"{other}\" is not supported; webtern runs silu and relu2"
            ),
        };
        let (rope_base, rope_scaling) = RopeScaling::read(&json, context_length)?;
        Ok(Self {
            hidden,
            feed_forward: json.require_size("intermediate_size")?,
            layers: json.require_size("num_hidden_layers")?,
            heads,
            kv_heads,
            head_dim,
            context_length,
            vocab: json.require_size("vocab_size")?,
            epsilon: json.require_number("rms_norm_eps")?,
            activation,
            tied: json.bool("tie_word_embeddings")?,
            window: window(&json, class, context_length)?,
            rope_base,
            rope_scaling,
            factors: if class == Class::MiniCpm { Some(factors(&json, hidden)?) } else { None },
            bitnet: bitnet(&json)?,
            eos: json.ids("eos_token_id")?,
            block_size: json.size("bd_size")?.or(json.size("block_size")?),
            mask_token: json.integer("mask_token_id")?,
            class_name,
            class,
            family,
        })
    }

    /// Output and input features of the projection at `place` in [`super::names::PROJECTIONS`].
    pub(super) fn shape(&self, place: usize) -> (usize, usize) {
        let [hidden, ffn] = [self.hidden, self.feed_forward].map(|size| size as usize);
        let [q, kv] = [self.heads, self.kv_heads].map(|heads| heads as usize * self.head_dim as usize);
        [(q, hidden), (kv, hidden), (kv, hidden), (hidden, q), (ffn, hidden), (ffn, hidden), (hidden, ffn)][place]
    }
}

fn class(json: &Json) -> Result<(String, Class, Option<Family>)> {
    let named = json.strings("architectures")?;
    let known = |name: &String| CLASSES.iter().find(|(known, ..)| known == name);
    if let Some((name, class, family)) = named.iter().find_map(known) {
        return Ok(((*name).to_owned(), *class, *family));
    }
    let name = named.first().map_or("none", String::as_str);
    let known = CLASSES.map(|(name, ..)| name).join(", ");
    bail!(UnsupportedArchitecture, "config.json: architecture {name} is not supported; webtern converts {known}")
}

fn factors(json: &Json, hidden: u32) -> Result<Factors> {
    if json.integer("num_experts")?.is_some_and(|experts| experts > 0) {
        bail!(UnsupportedArchitecture, "config.json: num_experts is set: webtern runs dense transformers only");
    }
    Ok(Factors {
        embedding: json.require_number("scale_emb")?,
        residual: json.require_number("scale_depth")? / (json.require_size("num_hidden_layers")? as f32).sqrt(),
        logits: hidden as f32 / json.require_number("dim_model_base")?,
    })
}

/// Positions a query sees, where that is fewer than all.
fn window(json: &Json, class: Class, context_length: u32) -> Result<Option<u32>> {
    let window = json.size("sliding_window")?.filter(|&window| window < context_length);
    match class {
        Class::Mistral => Ok(window),
        Class::Qwen2 | Class::Qwen3 if json.bool("use_sliding_window")? == Some(true) && window.is_some() => {
            bail!(
                UnsupportedArchitecture,
                "config.json: use_sliding_window gives some layers a shorter attention, which webtern does not run for this architecture"
            )
        }
        _ => Ok(None),
    }
}

fn bitnet(json: &Json) -> Result<Option<BitNetConfig>> {
    let Some(json) = json.object("quantization_config")? else { return Ok(None) };
    match json.string("quant_method")? {
        Some("bitnet") => {}
        other => bail!(
            UnsupportedArchitecture,
            "config.json: quantization_config: quant_method {} is not supported, only bitnet is; convert the unquantized checkpoint",
            other.unwrap_or("(none)")
        ),
    }
    let weight_scale = match json.string("linear_class")? {
        Some("autobitlinear") => WeightScale::Multiply,
        Some("bitlinear") | None => WeightScale::Divide,
        Some(other) => bail!(
            UnsupportedArchitecture,
            "config.json: quantization_config: linear_class \"{other}\" is not supported; webtern converts autobitlinear and bitlinear"
        ),
    };
    match json.string("quantization_mode")? {
        None | Some("online" | "offline") => {}
        Some(other) => bail!(
            UnsupportedArchitecture,
            "config.json: quantization_config: quantization_mode \"{other}\" is not supported; webtern converts online and offline"
        ),
    }
    Ok(Some(BitNetConfig {
        weight_scale,
        dense_modules: json.strings("modules_to_not_convert")?,
        norm_epsilon: json.number("rms_norm_eps")?.unwrap_or(1e-6),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use crate::testing::test;
    use serde_json::{Value, json};

    fn minimal() -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128,
            "num_hidden_layers": 2, "max_position_embeddings": 512, "vocab_size": 100, "rms_norm_eps": 1e-5,
        })
    }

    fn with(changes: Value) -> Result<Config> {
        let mut config = minimal();
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
        Config::parse(&config.to_string())
    }

    #[test]
    fn defaults_are_those_of_transformers() {
        let config = with(json!({ "sliding_window": 16, "head_dim": null })).unwrap();
        assert_eq!((config.kv_heads, config.head_dim, config.activation, config.window), (4, 16, "silu", None));
        assert_eq!(config.rope_base, 10_000.0);
        assert!(config.bitnet.is_none() && config.tied.is_none() && config.eos.is_empty());
        let mistral = with(json!({ "architectures": ["MistralForCausalLM"], "sliding_window": 16 })).unwrap();
        assert_eq!(mistral.window, Some(16));
        let eos = with(json!({ "eos_token_id": [3, 4], "head_dim": 32, "hidden_act": "relu2" })).unwrap();
        assert_eq!((eos.eos.as_slice(), eos.head_dim, eos.activation), ([3, 4].as_slice(), 32, "relu2"));
    }

    #[test]
    fn either_spelling_of_bitnet_and_both_linear_classes() {
        for (class, linear, expected) in [
            ("BitNetForCausalLM", json!("autobitlinear"), WeightScale::Multiply),
            ("BitnetForCausalLM", json!("bitlinear"), WeightScale::Divide),
            ("BitnetForCausalLM", json!(null), WeightScale::Divide),
        ] {
            let quantization =
                json!({ "quant_method": "bitnet", "linear_class": linear, "quantization_mode": "offline" });
            let config = with(json!({ "architectures": [class], "quantization_config": quantization })).unwrap();
            assert_eq!((config.class, config.bitnet.unwrap().weight_scale), (Class::BitNet, expected));
        }
    }

    #[test]
    fn factors_of_minicpm_are_those_of_its_model_code() {
        let minicpm = json!({
            "architectures": ["MiniCPMForCausalLM"], "scale_emb": 12, "scale_depth": 1.4, "dim_model_base": 16,
        });
        let factors = with(minicpm.clone()).unwrap().factors.unwrap();
        assert_eq!(factors, Factors { embedding: 12.0, residual: 1.4 / 2f32.sqrt(), logits: 4.0 });
        let mut incomplete = minicpm;
        incomplete["scale_depth"] = json!(null);
        assert!(with(incomplete).unwrap_err().message().contains("scale_depth is missing"));
        assert_eq!(with(json!({ "scale_emb": 12 })).unwrap().factors, None);
    }

    #[test]
    fn rejects_what_would_run_wrongly() {
        for (changes, code, words) in [
            (
                json!({ "architectures": ["GPT2LMHeadModel"] }),
                ErrorCode::UnsupportedArchitecture,
                "Fast_dLLM_QwenForCausalLM",
            ),
            (json!({ "architectures": null }), ErrorCode::UnsupportedArchitecture, "architecture none"),
            (json!({ "hidden_act": "gelu" }), ErrorCode::UnsupportedArchitecture, "\"gelu\""),
            (json!({ "partial_rotary_factor": 0.5 }), ErrorCode::UnsupportedArchitecture, "partial_rotary_factor"),
            (json!({ "quantization_config": { "quant_method": "gptq" } }), ErrorCode::UnsupportedArchitecture, "gptq"),
            (
                json!({ "quantization_config": { "quant_method": "bitnet", "linear_class": "hbitlinear" } }),
                ErrorCode::UnsupportedArchitecture,
                "hbitlinear",
            ),
            (
                json!({ "architectures": ["Qwen2ForCausalLM"], "use_sliding_window": true, "sliding_window": 16 }),
                ErrorCode::UnsupportedArchitecture,
                "use_sliding_window",
            ),
            (json!({ "hidden_size": 0 }), ErrorCode::Malformed, "hidden_size is 0"),
            (json!({ "hidden_size": "64" }), ErrorCode::Malformed, "hidden_size is \"64\""),
            (json!({ "num_key_value_heads": 3 }), ErrorCode::Malformed, "3 key/value heads"),
            (json!({ "num_attention_heads": 3 }), ErrorCode::Malformed, "no head_dim"),
            (json!({ "head_dim": 15 }), ErrorCode::Malformed, "head_dim is 15"),
            (json!({ "num_attention_heads": 1 << 19, "head_dim": 4 }), ErrorCode::Limits, "wider than the limit"),
            (json!({ "vocab_size": null }), ErrorCode::Malformed, "vocab_size is missing"),
            (json!({ "num_hidden_layers": 1u64 << 40 }), ErrorCode::Malformed, "num_hidden_layers"),
            (json!({ "eos_token_id": ["x"] }), ErrorCode::Malformed, "eos_token_id"),
            (json!({ "rms_norm_eps": -1.0 }), ErrorCode::Malformed, "rms_norm_eps"),
        ] {
            let error = with(changes).unwrap_err();
            assert_eq!(error.code(), code, "{error}");
            assert!(error.message().contains(words), "{error}");
        }
    }
}
