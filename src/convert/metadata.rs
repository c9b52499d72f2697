//! The metadata of the file: shape, tokenizer, and how the model decodes by diffusion.

#![forbid(unsafe_code)]

use super::config::{Class, Config, Factors};
use super::json::Json;
use super::options::ConvertOptions;
use super::tokenizer::{TokenizerFiles, tokenizer_metadata};
use crate::decode::{AttentionKind, Diffusion, DiffusionSettings};
use crate::error::Result;
use crate::files::{Files, bytes, text};
use crate::findings::{self, Finding};
use crate::gguf::{GgmlType, Metadata};
use crate::tokenizer::Tokenizer;

/// The part that `config.json` decides. `sub_epsilon` is the epsilon of SubLN norms, where there
/// are any.
pub(super) fn shape(config: &Config, architecture: &str, sub_epsilon: Option<f32>) -> Metadata {
    let mut metadata = Metadata::default();
    let key = |name: &str| format!("{architecture}.{name}");
    for (name, value) in [
        ("context_length", config.context_length),
        ("embedding_length", config.hidden),
        ("block_count", config.layers),
        ("feed_forward_length", config.feed_forward),
        ("vocab_size", config.vocab),
        ("attention.head_count", config.heads),
        ("attention.head_count_kv", config.kv_heads),
        ("attention.key_length", config.head_dim),
        ("attention.value_length", config.head_dim),
        ("rope.dimension_count", config.head_dim),
    ] {
        metadata.insert(key(name), value);
    }
    metadata.insert(key("rope.freq_base"), config.rope_base);
    config.rope_scaling.write(architecture, &mut metadata);
    metadata.insert(key("attention.layer_norm_rms_epsilon"), config.epsilon);
    if let Some(epsilon) = sub_epsilon {
        metadata.insert(key("attention.sub_norm_epsilon"), epsilon);
    }
    if let Some(window) = config.window {
        metadata.insert(key("attention.sliding_window"), window);
    }
    if let Some(Factors { embedding, residual, logits }) = config.factors {
        metadata.insert(key("embedding_scale"), embedding);
        metadata.insert(key("residual_scale"), residual);
        metadata.insert(key("logit_scale"), logits);
    }
    metadata.insert(key("hidden_activation"), config.activation);
    metadata
}

/// `general.file_type`, llama.cpp's number for "mostly `ty`"; for `I2_S` that of bitnet.cpp.
pub(super) fn file_type(ty: GgmlType) -> Option<u32> {
    Some(match ty {
        GgmlType::F32 => 0,
        GgmlType::F16 => 1,
        GgmlType::Q4_0 => 2,
        GgmlType::Q8_0 => 7,
        GgmlType::Bf16 => 32,
        GgmlType::Tq1_0 => 36,
        GgmlType::Tq2_0 => 37,
        GgmlType::I2S => 40,
        GgmlType::Q2_0 => 41,
        _ => return None,
    })
}

/// Adds the pairs of `more`.
pub(super) fn extend(metadata: &mut Metadata, more: &Metadata) {
    for (key, value) in more.iter() {
        metadata.insert(key, value.clone());
    }
}

/// The tokenizer's part, and whatever the user should know about it.
pub(super) fn tokenizer(
    files: &mut dyn Files,
    config_text: &str,
    config: &Config,
    findings: &mut Vec<Finding>,
) -> Result<Metadata> {
    let tokenizer = text(files, "tokenizer.json")?;
    let model = if tokenizer.is_none() { bytes(files, "tokenizer.model")? } else { None };
    let added_tokens = text(files, "added_tokens.json")?;
    let tokenizer_config = text(files, "tokenizer_config.json")?;
    let chat_template = text(files, "chat_template.jinja")?;
    let mut metadata = tokenizer_metadata(&TokenizerFiles {
        tokenizer: tokenizer.as_deref(),
        model: model.as_deref(),
        added_tokens: added_tokens.as_deref(),
        tokenizer_config: tokenizer_config.as_deref(),
        config: Some(config_text),
        chat_template: chat_template.as_deref(),
    })?;
    add_end_tokens(files, config, &mut metadata, findings)?;
    Ok(metadata)
}

/// Makes every token that `config.json` or `generation_config.json` ends texts with end answers, as
/// far as GGUF has room.
fn add_end_tokens(
    files: &mut dyn Files,
    config: &Config,
    metadata: &mut Metadata,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let generation = match text(files, "generation_config.json")? {
        Some(text) => Json::parse("generation_config.json", &text)?.ids("eos_token_id")?,
        None => Vec::new(),
    };
    for id in config.eos.iter().copied().chain(generation) {
        if id >= config.vocab {
            bail!(
                Malformed,
                "the end token {id} in config.json or generation_config.json is outside the vocabulary of {}",
                config.vocab
            );
        }
        let ends = Tokenizer::from_metadata(metadata)?.stop_ids().contains(&id);
        if ends {
            continue;
        }
        if metadata.get("tokenizer.ggml.eot_token_id").is_none() {
            metadata.insert("tokenizer.ggml.eot_token_id", id);
        } else {
            let message = format!(
                "token {id} ends texts too, but GGUF has no room for a third such token: it will not stop the output"
            );
            findings::add(findings, Finding::warning("stop-token-lost", message));
        }
    }
    Ok(())
}

/// Adds how the model decodes by diffusion to `metadata`, which has the tokenizer's part already.
/// `None` for a model that does not.
pub(super) fn diffusion(
    files: &mut dyn Files,
    config: &Config,
    options: &ConvertOptions,
    metadata: &mut Metadata,
    findings: &mut Vec<Finding>,
) -> Result<Option<DiffusionSettings>> {
    let dlm = match text(files, "dlm_config.json")? {
        Some(text) => Json::parse("dlm_config.json", &text)?,
        None => Json::default(),
    };
    if let Some(id) = dlm.integer("mask_token_id")? {
        metadata.insert("tokenizer.ggml.mask_token_id", id);
    }
    let tokenizer = Tokenizer::from_metadata(metadata)?;
    let mut stated = Metadata::default();
    let block_size = options.block_size.or(dlm.size("bd_size")?).or(dlm.size("block_size")?).or(config.block_size);
    if let Some(size) = block_size {
        stated.insert("diffusion.block_size", size);
    }
    // WrinkleFree's later objective masks at random, without blocks, and trains under the causal
    // mask.
    let causal =
        dlm.get("mask_prob").is_some() || (dlm.get("training_method").is_some() && dlm.get("bd_size").is_none());
    let attention = match config.class {
        Class::FastDllm => Some(AttentionKind::Block),
        _ => causal.then_some(AttentionKind::Causal),
    };
    if let Some(attention) = attention {
        stated.insert("diffusion.attention", attention.as_str());
    }
    match Diffusion::read(&stated, &tokenizer, options.diffusion)? {
        Diffusion::Supported(settings, assumed) => {
            for finding in findings::model::diffusion(&settings, assumed) {
                findings::add(findings, finding);
            }
            settings.write(metadata);
            return Ok(Some(settings));
        }
        Diffusion::NoMaskToken => findings::add(findings, findings::model::no_mask_token(&tokenizer)),
        Diffusion::MaskTokenStops(error) => findings::add(findings, findings::model::mask_token_stops(&error)),
    }
    if options.block_size.is_some() || options.diffusion.attention.is_some() {
        bail!(
            NoMaskToken,
            "block size and attention are for diffusion models, and no mask token is known; give --mask-token-id"
        );
    }
    Ok(None)
}
