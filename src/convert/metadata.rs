//! The metadata of the file: shape, tokenizer, and how the model decodes by diffusion.

#![forbid(unsafe_code)]

use super::config::{Config, Factors};
use super::json::Json;
use super::tokenizer::{TokenizerFiles, tokenizer_metadata};
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
    let parts = TokenizerFiles {
        tokenizer: tokenizer.as_deref(),
        model: model.as_deref(),
        added_tokens: added_tokens.as_deref(),
        tokenizer_config: tokenizer_config.as_deref(),
        config: Some(config_text),
        chat_template: chat_template.as_deref(),
    };
    let mut metadata = tokenizer_metadata(&parts, findings)?;
    add_end_tokens(files, config, &mut metadata, findings)?;
    Ok(metadata)
}

/// A list of tokens that end answers, which ollama made up.
const MORE_END_TOKENS: &str = "tokenizer.ggml.eos_token_ids";

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
        let free = |key: &&str| metadata.get(key).is_none();
        let keys = ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];
        if let Some(key) = keys.into_iter().find(free) {
            metadata.insert(key, id);
            continue;
        }
        let mut more = metadata.u32s(MORE_END_TOKENS)?.unwrap_or_default();
        more.push(id);
        metadata.insert(MORE_END_TOKENS, more);
        let message = format!(
            "token {id} ends texts too, but GGUF has no room for a fourth such token: it is listed in {MORE_END_TOKENS}, which webtern and \
             ollama read; with other runtimes it will not stop the output"
        );
        findings::add(findings, Finding::warning("stop-token-lost", message));
    }
    Ok(())
}
