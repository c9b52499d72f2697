//! The tensors of a checkpoint by what they are, complete and of the right shapes.

#![forbid(unsafe_code)]

use super::checkpoint::Stored;
use super::config::{Class, Config};
use super::names::{DOWN, LayerPart, NormStyle, OUTPUT, PROJECTIONS, Part, parse};
use crate::error::{Error, Result};
use safetensors::Dtype;
use std::collections::BTreeMap;

/// Which projections have a SubLN norm on their input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubNorms {
    None,
    /// Those of the attention's output and the down projection.
    Two,
    Seven,
}

impl SubNorms {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Two => "two",
            Self::Seven => "seven",
        }
    }

    /// What the norm before the projection at `place` is called in the file; `None` where there is
    /// none.
    pub(super) fn name(self, place: usize) -> Option<&'static str> {
        match (self, place) {
            (Self::Two, OUTPUT) => Some("attn_sub_norm"),
            (Self::Two, DOWN) => Some("ffn_sub_norm"),
            (Self::Seven, place) => Some(PROJECTIONS[place].norm),
            _ => None,
        }
    }
}

/// The tensors of a checkpoint.
pub(super) struct Inventory {
    parts: BTreeMap<Part, Stored>,
    /// Names of tensors that a model can be run without.
    pub(super) ignored: Vec<String>,
    pub(super) sub_norms: SubNorms,
    /// How the norms are spelt, if there are any.
    pub(super) norm_style: Option<NormStyle>,
}

impl Inventory {
    /// Sorts the tensors of a checkpoint and checks them against its configuration.
    ///
    /// # Errors
    ///
    /// `unsupported-architecture` for tensors without a meaning, `malformed` for wrong shapes and
    /// for what is missing or twice there.
    pub(super) fn new(config: &Config, tensors: Vec<Stored>) -> Result<Self> {
        let mut parts: BTreeMap<Part, Stored> = BTreeMap::new();
        let (mut ignored, mut norm_style) = (Vec::new(), None);
        for tensor in tensors {
            let Some((part, style)) = parse(&tensor.name)? else {
                ignored.push(tensor.name);
                continue;
            };
            if let Part::Layer(layer, _) = part
                && layer >= config.layers as usize
            {
                bail!(
                    Malformed,
                    "tensor {} is of layer {layer}, but config.json has {} layers",
                    tensor.name,
                    config.layers
                );
            }
            check_shape(config, part, &tensor)?;
            norm_style = norm_style.or(style);
            let name = tensor.name.clone();
            if let Some(other) = parts.insert(part, tensor) {
                bail!(Malformed, "tensors {} and {name} are the same part of the model", other.name);
            }
        }
        let sub_norms = sub_norms(config, &parts)?;
        let inventory = Self { parts, ignored, sub_norms, norm_style };
        inventory.check_complete(config)?;
        Ok(inventory)
    }

    /// The tensor that is `part`, if there is one.
    pub(super) fn get(&self, part: Part) -> Option<&Stored> {
        self.parts.get(&part)
    }

    /// The tensor that is `part`.
    ///
    /// # Errors
    ///
    /// `malformed` when there is none.
    pub(super) fn require(&self, part: Part) -> Result<&Stored> {
        self.get(part).ok_or_else(|| missing(part))
    }

    /// How many SubLN norms there are.
    pub(super) fn sub_norm_count(&self, config: &Config) -> usize {
        let each = (0..PROJECTIONS.len()).filter(|&place| self.sub_norms.name(place).is_some()).count();
        each * config.layers as usize
    }

    fn check_complete(&self, config: &Config) -> Result<()> {
        self.require(Part::Embedding)?;
        self.require(Part::FinalNorm)?;
        for layer in 0..config.layers as usize {
            self.require(Part::Layer(layer, LayerPart::AttentionNorm))?;
            self.require(Part::Layer(layer, LayerPart::FeedForwardNorm))?;
            if config.class == Class::Qwen3 {
                self.require(Part::Layer(layer, LayerPart::QueryNorm))?;
                self.require(Part::Layer(layer, LayerPart::KeyNorm))?;
            }
            for place in 0..PROJECTIONS.len() {
                self.require(Part::Layer(layer, LayerPart::Weight(place)))?;
            }
        }
        Ok(())
    }
}

fn missing(part: Part) -> Error {
    let name = match part {
        Part::Embedding => "model.embed_tokens.weight".to_owned(),
        Part::FinalNorm => "model.norm.weight".to_owned(),
        Part::Head => "lm_head.weight".to_owned(),
        Part::Layer(layer, part) => {
            let name = match part {
                LayerPart::AttentionNorm => "input_layernorm.weight".to_owned(),
                LayerPart::FeedForwardNorm => "post_attention_layernorm.weight".to_owned(),
                LayerPart::QueryNorm => "self_attn.q_norm.weight".to_owned(),
                LayerPart::KeyNorm => "self_attn.k_norm.weight".to_owned(),
                LayerPart::InputNorm(place) => format!("{}.0.weight", PROJECTIONS[place].module),
                LayerPart::Weight(place) => format!("{}.weight", PROJECTIONS[place].module),
                LayerPart::WeightScale(place) => format!("{}.weight_scale", PROJECTIONS[place].module),
                LayerPart::Bias(place) => format!("{}.bias", PROJECTIONS[place].module),
            };
            format!("model.layers.{layer}.{name}")
        }
    };
    err!(Malformed, "tensor {name} is missing from the checkpoint; fetch it again, or correct the sizes in config.json")
}

fn sub_norms(config: &Config, parts: &BTreeMap<Part, Stored>) -> Result<SubNorms> {
    let has = |layer: usize, place: usize| parts.contains_key(&Part::Layer(layer, LayerPart::InputNorm(place)));
    let normed = |layer: usize| -> Vec<usize> { (0..PROJECTIONS.len()).filter(|&place| has(layer, place)).collect() };
    let first = normed(0);
    if let Some(other) = (1..config.layers as usize).find(|&layer| normed(layer) != first) {
        bail!(Malformed, "layers 0 and {other} have SubLN norms at different places; the checkpoint is incomplete");
    }
    match first.as_slice() {
        [] => Ok(SubNorms::None),
        [OUTPUT, DOWN] => Ok(SubNorms::Two),
        all if all.len() == PROJECTIONS.len() => Ok(SubNorms::Seven),
        some => {
            let modules: Vec<&str> = some.iter().map(|&place| PROJECTIONS[place].module).collect();
            bail!(
                UnsupportedArchitecture,
                "SubLN norms before {}: webtern runs them before self_attn.o_proj and mlp.down_proj, or before all seven projections",
                modules.join(", ")
            )
        }
    }
}

fn check_shape(config: &Config, part: Part, tensor: &Stored) -> Result<()> {
    let [hidden, vocab, head_dim] = [config.hidden, config.vocab, config.head_dim].map(|size| size as usize);
    let expected = match part {
        Part::Embedding | Part::Head => vec![vocab, hidden],
        Part::FinalNorm => vec![hidden],
        Part::Layer(_, part) => match part {
            LayerPart::AttentionNorm | LayerPart::FeedForwardNorm => vec![hidden],
            LayerPart::QueryNorm | LayerPart::KeyNorm => vec![head_dim],
            LayerPart::InputNorm(place) => vec![config.shape(place).1],
            LayerPart::Bias(place) => vec![config.shape(place).0],
            LayerPart::WeightScale(_) if tensor.shape.iter().product::<usize>() == 1 => return Ok(()),
            LayerPart::WeightScale(_) => vec![1],
            LayerPart::Weight(place) => {
                let (rows, cols) = config.shape(place);
                let rotated = cols.next_power_of_two();
                if [OUTPUT, DOWN].contains(&place) && rotated != cols && tensor.shape == [rows, rotated] {
                    bail!(
                        UnsupportedArchitecture,
                        "tensor {} has {rotated} columns for {cols} input features: a Hadamard rotation (HBitLinear), which webtern does not run",
                        tensor.name
                    );
                }
                vec![if tensor.dtype == Dtype::U8 { rows.div_ceil(4) } else { rows }, cols]
            }
        },
    };
    if tensor.shape != expected && matches!(part, Part::Embedding | Part::Head) && tensor.shape.get(1) == Some(&hidden)
    {
        bail!(
            Malformed,
            "tensor {} has {} rows, but vocab_size in config.json is {vocab}: they come from different versions of the checkpoint, often \
             from before and after a mask token was added; put together what belongs together",
            tensor.name,
            tensor.shape[0]
        );
    }
    if tensor.shape != expected {
        bail!(Malformed, "tensor {} has shape {:?}, but config.json asks for {expected:?}", tensor.name, tensor.shape);
    }
    Ok(())
}
