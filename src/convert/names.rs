//! What the name of a tensor of a checkpoint means.
//!
//! The names are those of `transformers`: `model.layers.3.self_attn.q_proj.weight`. Training
//! frameworks put `module.` (DDP), `model_state_dict.` or `_orig_mod.` (`torch.compile`) before or
//! between their parts. SubLN checkpoints write a projection as a `Sequential` of a norm and a
//! linear layer, `o_proj.0.weight` (the gain, one for each input feature) and `o_proj.1.weight`; or
//! as `o_proj.weight` with the gain in `o_proj_scale.weight`; or, for the usual two norms, under
//! the names of `BitNetForCausalLM`: `attn_sub_norm`, `ffn_sub_norm`.

#![forbid(unsafe_code)]

use crate::error::Result;

/// A projection of a layer, in the spelling of each side.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Projection {
    /// In the checkpoint, under `layers.N.`.
    pub(super) module: &'static str,
    /// In the file, under `blk.N.`.
    pub(super) name: &'static str,
    /// Its input norm in models with seven of them, under `blk.N.`.
    pub(super) norm: &'static str,
}

const fn projection(module: &'static str, name: &'static str, norm: &'static str) -> Projection {
    Projection { module, name, norm }
}

/// The projections of a layer.
pub(super) static PROJECTIONS: [Projection; 7] = [
    projection("self_attn.q_proj", "attn_q", "attn_q_norm_in"),
    projection("self_attn.k_proj", "attn_k", "attn_k_norm_in"),
    projection("self_attn.v_proj", "attn_v", "attn_v_norm_in"),
    projection("self_attn.o_proj", "attn_output", "attn_output_norm_in"),
    projection("mlp.gate_proj", "ffn_gate", "ffn_gate_norm_in"),
    projection("mlp.up_proj", "ffn_up", "ffn_up_norm_in"),
    projection("mlp.down_proj", "ffn_down", "ffn_down_norm_in"),
];

/// Places in [`PROJECTIONS`].
pub(super) const Q: usize = 0;
pub(super) const K: usize = 1;
pub(super) const OUTPUT: usize = 3;
pub(super) const DOWN: usize = 6;

/// What a tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Embedding,
    FinalNorm,
    Head,
    Layer(usize, LayerPart),
}

/// What a tensor of a layer is. Projections by their place in [`PROJECTIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LayerPart {
    AttentionNorm,
    FeedForwardNorm,
    QueryNorm,
    KeyNorm,
    InputNorm(usize),
    Weight(usize),
    WeightScale(usize),
    Bias(usize),
}

/// How a checkpoint spells the norm before a projection, which tells its epsilon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NormStyle {
    /// WrinkleFree: `o_proj.0.weight`, `o_proj_scale.weight`.
    SubLn,
    /// BitNetForCausalLM: `attn_sub_norm.weight`.
    BitNet,
    /// `o_proj.rms_norm.weight`, of a quantized linear layer with `use_rms_norm`.
    InLayer,
}

/// Parts of names that stand for methods webtern does not run, and what they are.
const REFUSED: [(&str, &str); 4] = [
    ("lrc_", "a low-rank correction"),
    ("lora_", "a LoRA adapter (merge it into the weights first)"),
    ("salient", "salient weights kept apart"),
    ("hadamard", "a Hadamard rotation (HBitLinear)"),
];

/// The name without what training frameworks put into it and without `model.`.
fn canonical(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').filter(|part| *part != "_orig_mod").collect();
    let wrappers = ["model_state_dict", "state_dict", "module", "model"];
    let wrapped = parts.iter().take_while(|part| wrappers.contains(part)).count();
    parts[wrapped..].join(".")
}

/// What the tensor `name` of a checkpoint is; `None` for what a model can be run without.
///
/// # Errors
///
/// `unsupported-architecture` for a tensor that webtern gives no meaning to.
pub(super) fn parse(name: &str) -> Result<Option<(Part, Option<NormStyle>)>> {
    let lower = name.to_lowercase();
    if let Some((_, what)) = REFUSED.iter().find(|(part, _)| lower.contains(part)) {
        bail!(UnsupportedArchitecture, "tensor {name} is {what}, which webtern does not run");
    }
    let short = canonical(name);
    let part = match short.as_str() {
        "embed_tokens.weight" => Part::Embedding,
        "norm.weight" => Part::FinalNorm,
        "lm_head.weight" => Part::Head,
        _ if short.ends_with("rotary_emb.inv_freq") => return Ok(None),
        _ => {
            let layer = short.strip_prefix("layers.").and_then(|rest| rest.split_once('.'));
            let found = layer.and_then(|(layer, rest)| Some((layer.parse().ok()?, layer_part(rest)?)));
            let Some((layer, (part, style))) = found else {
                bail!(
                    UnsupportedArchitecture,
                    "tensor {name} has no meaning in the architectures that webtern converts, and leaving it out would change the model"
                );
            };
            return Ok(Some((Part::Layer(layer, part), style)));
        }
    };
    Ok(Some((part, None)))
}

fn layer_part(name: &str) -> Option<(LayerPart, Option<NormStyle>)> {
    let part = match name {
        "input_layernorm.weight" => LayerPart::AttentionNorm,
        "post_attention_layernorm.weight" => LayerPart::FeedForwardNorm,
        "self_attn.q_norm.weight" => LayerPart::QueryNorm,
        "self_attn.k_norm.weight" => LayerPart::KeyNorm,
        "self_attn.attn_sub_norm.weight" => return Some((LayerPart::InputNorm(OUTPUT), Some(NormStyle::BitNet))),
        "mlp.ffn_sub_norm.weight" => return Some((LayerPart::InputNorm(DOWN), Some(NormStyle::BitNet))),
        _ => {
            let of = |projection: &Projection| name.strip_prefix(projection.module);
            let (place, rest) = PROJECTIONS.iter().enumerate().find_map(|(place, p)| Some((place, of(p)?)))?;
            return match rest {
                ".weight" | ".1.weight" => Some((LayerPart::Weight(place), None)),
                ".bias" | ".1.bias" => Some((LayerPart::Bias(place), None)),
                ".weight_scale" | ".1.weight_scale" => Some((LayerPart::WeightScale(place), None)),
                ".0.weight" | "_scale.weight" | "_scale" => Some((LayerPart::InputNorm(place), Some(NormStyle::SubLn))),
                ".rms_norm.weight" => Some((LayerPart::InputNorm(place), Some(NormStyle::InLayer))),
                _ => None,
            };
        }
    };
    Some((part, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use crate::testing::test;

    #[test]
    fn wrappers_and_spellings_lead_to_the_same_part() {
        let weight = Part::Layer(3, LayerPart::Weight(OUTPUT));
        for name in [
            "model.layers.3.self_attn.o_proj.weight",
            "model.layers.3.self_attn.o_proj.1.weight",
            "layers.3.self_attn.o_proj.weight",
            "module.model.layers.3.self_attn.o_proj.1.weight",
            "_orig_mod.model.layers.3.self_attn.o_proj.weight",
            "model_state_dict.module._orig_mod.model.layers.3._orig_mod.self_attn.o_proj.weight",
        ] {
            assert_eq!(parse(name).unwrap(), Some((weight, None)), "{name}");
        }
        let norm = Part::Layer(3, LayerPart::InputNorm(OUTPUT));
        for (name, style) in [
            ("model.layers.3.self_attn.o_proj.0.weight", NormStyle::SubLn),
            ("model.layers.3.self_attn.o_proj_scale.weight", NormStyle::SubLn),
            ("model.layers.3.self_attn.attn_sub_norm.weight", NormStyle::BitNet),
            ("model.layers.3.self_attn.o_proj.rms_norm.weight", NormStyle::InLayer),
        ] {
            assert_eq!(parse(name).unwrap(), Some((norm, Some(style))), "{name}");
        }
        assert_eq!(parse("model.layers.0.self_attn.rotary_emb.inv_freq").unwrap(), None);
        assert_eq!(parse("lm_head.weight").unwrap(), Some((Part::Head, None)));
    }

    #[test]
    fn rejects_what_it_does_not_know_by_name() {
        for (name, words) in [
            ("model.layers.0.self_attn.o_proj.lrc_U", "low-rank correction"),
            ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "LoRA adapter"),
            ("model.layers.0.mlp.down_proj.salient_weight", "salient weights"),
            ("model.layers.0.mlp.down_proj.hadamard_matrix", "HBitLinear"),
            ("model.layers.0.mlp.experts.0.up_proj.weight", "no meaning"),
            ("model.layers.x.mlp.up_proj.weight", "no meaning"),
            ("model.layers.0.self_attn.q_proj.2.weight", "no meaning"),
            ("", "no meaning"),
        ] {
            let error = parse(name).unwrap_err();
            assert_eq!(error.code(), ErrorCode::UnsupportedArchitecture, "{error}");
            assert!(error.message().contains(words) && error.message().contains(name), "{error}");
        }
    }
}
