//! How the model decodes by diffusion: from the caller, the checkpoint's files, and its family.

#![forbid(unsafe_code)]

use super::config::{Class, Config};
use super::family::Family;
use super::json::Json;
use super::options::ConvertOptions;
use crate::decode::{AttentionKind, Diffusion, DiffusionSettings};
use crate::error::Result;
use crate::files::{Files, text};
use crate::findings::{self, Finding, add};
use crate::gguf::Metadata;
use crate::tokenizer::Tokenizer;

const MASK_TOKEN: &str = "tokenizer.ggml.mask_token_id";
const CHAT_TEMPLATE: &str = "tokenizer.chat_template";

/// Tiny-A2D's tokenizers pass `enable_thinking=false` to the Qwen templates unless told otherwise;
/// a file has only the template to say so.
const NO_THINKING: &str = "{%- if enable_thinking is not defined %}{%- set enable_thinking = false %}{%- endif %}";

/// Adds how the model decodes by diffusion to `metadata`, which has the tokenizer's part already.
/// `None` for a model that does not.
pub(super) fn diffusion(
    files: &mut dyn Files,
    config: &Config,
    options: &ConvertOptions,
    metadata: &mut Metadata,
    findings: &mut Vec<Finding>,
) -> Result<Option<DiffusionSettings>> {
    refuse_full_attention(config, options)?;
    let dlm = match text(files, "dlm_config.json")? {
        Some(text) => Json::parse("dlm_config.json", &text)?,
        None => Json::default(),
    };
    mask_token(config, &dlm, metadata)?;
    let tokenizer = Tokenizer::from_metadata(metadata)?;
    let stated = stated(config, &dlm, options, findings)?;
    match Diffusion::read(&stated, &tokenizer, options.diffusion)? {
        Diffusion::Supported(settings, assumed) => {
            for finding in findings::model::diffusion(&settings, assumed) {
                add(findings, finding);
            }
            if config.family == Some(Family::TinyA2d) {
                add(findings, block_diffusion_assumed(&config.class_name));
                default_to_no_thinking(config, metadata)?;
            }
            settings.write(metadata);
            return Ok(Some(settings));
        }
        Diffusion::NoMaskToken => add(findings, findings::model::no_mask_token(&tokenizer)),
        Diffusion::MaskTokenStops(error) => add(findings, findings::model::mask_token_stops(&error)),
    }
    if options.block_size.is_some() || options.diffusion.attention.is_some() || options.diffusion.shift_logits.is_some()
    {
        bail!(
            NoMaskToken,
            "block size, attention and shift are for diffusion models, and no mask token is known; give --mask-token-id"
        );
    }
    Ok(None)
}

/// Notes the mask token that the checkpoint names: by id where there is one, because SDAR's files
/// spell it differently.
fn mask_token(config: &Config, dlm: &Json, metadata: &mut Metadata) -> Result<()> {
    let mut id = dlm.integer("mask_token_id")?.or(config.mask_token);
    if let (None, None, Some(name)) = (id, metadata.get(MASK_TOKEN), config.family.and_then(Family::mask_token)) {
        let tokens = metadata.strings("tokenizer.ggml.tokens")?.unwrap_or_default();
        id = tokens.iter().position(|token| token == name).map(|id| id as u32);
    }
    if let Some(id) = id {
        if id >= config.vocab {
            bail!(
                Malformed,
                "the mask token {id} in config.json or dlm_config.json is outside the vocabulary of {}",
                config.vocab
            );
        }
        metadata.insert(MASK_TOKEN, id);
    }
    Ok(())
}

/// The `diffusion.*` keys that files and family amount to.
fn stated(config: &Config, dlm: &Json, options: &ConvertOptions, findings: &mut Vec<Finding>) -> Result<Metadata> {
    let mut stated = Metadata::default();
    let trained = dlm.size("bd_size")?.or(dlm.size("block_size")?).or(config.block_size);
    let trained = trained.or(config.family.and_then(Family::block_size));
    if let (Some(asked), Some(trained)) = (options.block_size, trained.filter(|size| Some(*size) != options.block_size))
    {
        let message = format!("the checkpoint was trained with blocks of {trained}; the file says {asked}, as asked");
        add(findings, Finding::warning("block-size-changed", message).remedy("compare the answers of both"));
    }
    if let Some(size) = options.block_size.or(trained) {
        stated.insert("diffusion.block_size", size);
    }
    // WrinkleFree's later objective masks at random, without blocks, and trains under the causal
    // mask.
    let causal =
        dlm.get("mask_prob").is_some() || (dlm.get("training_method").is_some() && dlm.get("bd_size").is_none());
    let attention = match config.family {
        Some(_) => Some(AttentionKind::Block),
        None => causal.then_some(AttentionKind::Causal),
    };
    if let Some(attention) = attention {
        stated.insert("diffusion.attention", attention.as_str());
    }
    if let Some(family) = config.family {
        stated.insert("diffusion.shift_logits", family.shift_logits());
        if let Some((acceptance, threshold)) = family.acceptance() {
            stated.insert("diffusion.acceptance", acceptance.as_str());
            stated.insert("diffusion.threshold", threshold);
        }
    }
    if let Some(autoregressive) = dlm.bool("autoregressive")? {
        stated.insert("diffusion.autoregressive", autoregressive);
    }
    if let Some(tokens) = dlm.number("tokens_per_pass")? {
        stated.insert("diffusion.tokens_per_pass", tokens);
    }
    Ok(stated)
}

/// Tiny-A2D's full-attention checkpoints (mdlm) have the class and configuration of its
/// block-diffusion ones (bd3lm).
fn refuse_full_attention(config: &Config, options: &ConvertOptions) -> Result<()> {
    let name = options.name.as_deref().unwrap_or_default();
    if config.family == Some(Family::TinyA2d) && name.to_lowercase().contains("mdlm") {
        bail!(
            UnsupportedArchitecture,
            "{name} is a full-attention diffusion model (mdlm) by its name; webtern runs block diffusion: convert the bd3lm \
             checkpoint of the same model, or rename the folder if it is one"
        );
    }
    Ok(())
}

fn block_diffusion_assumed(class: &str) -> Finding {
    let message = format!(
        "class {class} is that of block-diffusion (bd3lm) and of full-attention (mdlm) checkpoints, and nothing tells them \
         apart: bd3lm with blocks is assumed"
    );
    Finding::warning("block-diffusion-assumed", message).remedy(
        "an mdlm checkpoint answers badly this way: convert the bd3lm checkpoint of the same model; for one with other blocks \
         than 32, give --block-size",
    )
}

fn default_to_no_thinking(config: &Config, metadata: &mut Metadata) -> Result<()> {
    let qwen = matches!(config.class, Class::Qwen2 | Class::Qwen3);
    if let Some(template) = metadata.string(CHAT_TEMPLATE)?.filter(|_| qwen).map(|text| format!("{NO_THINKING}{text}"))
    {
        metadata.insert(CHAT_TEMPLATE, template);
    }
    Ok(())
}
