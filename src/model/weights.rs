//! The tensors of a model: what each must look like, and where it goes.
//!
//! [`expected_tensor`] knows every tensor name webtern gives a meaning to, so that a file can be
//! checked when its header has arrived and each tensor can be brought into its final form as its
//! bytes do. [`Weights::assemble`] then builds the layers.

#![forbid(unsafe_code)]

use super::config::Config;
use crate::error::Result;
use crate::gguf::{Header, TensorInfo};
use crate::ops::Linear;
use crate::tensor::Matrix;
use std::collections::HashMap;

/// The form a tensor is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Looked up row by row, and multiplied as the output head: never run as BitLinear.
    Embedding,
    /// A linear layer.
    Linear,
    /// Gains, biases, factors: decoded to f32.
    Vector,
}

/// What a tensor must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) role: Role,
    pub(super) rows: usize,
    pub(super) cols: usize,
}

/// The projections of a layer: name, output and input features, and the names its input norm can
/// have.
fn projections(config: &Config) -> [(&'static str, usize, usize, &'static [&'static str]); 7] {
    let (hidden, ffn) = (config.hidden, config.feed_forward);
    let (q, kv) = (config.q_width(), config.kv_width());
    [
        ("attn_q", q, hidden, &["attn_q_norm_in"]),
        ("attn_k", kv, hidden, &["attn_k_norm_in"]),
        ("attn_v", kv, hidden, &["attn_v_norm_in"]),
        ("attn_output", hidden, q, &["attn_sub_norm", "attn_output_norm_in"]),
        ("ffn_gate", ffn, hidden, &["ffn_gate_norm_in"]),
        ("ffn_up", ffn, hidden, &["ffn_up_norm_in"]),
        ("ffn_down", hidden, ffn, &["ffn_sub_norm", "ffn_down_norm_in"]),
    ]
}

/// LongRoPE's divisors of the frequencies, in contexts up to the original length and in longer
/// ones.
pub(super) const SHORT_FACTORS: &str = "rope_factors_short.weight";
pub(super) const LONG_FACTORS: &str = "rope_factors_long.weight";

/// What the tensor `name` must be in this model; `None` when it has no meaning to it.
pub(super) fn expected_tensor(config: &Config, name: &str) -> Option<Expected> {
    let vector = |len| Some(Expected { role: Role::Vector, rows: 1, cols: len });
    match name {
        "token_embd.weight" => {
            return Some(Expected { role: Role::Embedding, rows: config.vocab, cols: config.hidden });
        }
        "output.weight" if config.architecture.tied => return None,
        "output.weight" => return Some(Expected { role: Role::Embedding, rows: config.vocab, cols: config.hidden }),
        "output_norm.weight" => return vector(config.hidden),
        "rope_freqs.weight" | SHORT_FACTORS | LONG_FACTORS => return vector(config.rope.dims() / 2),
        _ => {}
    }
    let (layer, part) = name.strip_prefix("blk.")?.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    if layer >= config.layers {
        return None;
    }
    let (part, kind) = part.rsplit_once('.')?;
    if matches!((part, kind), ("attn_norm" | "ffn_norm", "weight")) {
        return vector(config.hidden);
    }
    if matches!((part, kind), ("attn_q_norm" | "attn_k_norm", "weight")) && config.architecture.head_norms {
        return vector(config.head_dim);
    }
    for (projection, rows, cols, norms) in projections(config) {
        if part == projection {
            return match kind {
                "weight" => Some(Expected { role: Role::Linear, rows, cols }),
                "bias" => vector(rows),
                "scale" => vector(1),
                _ => None,
            };
        }
        if norms.contains(&part) && kind == "weight" {
            return vector(cols);
        }
    }
    None
}

/// What a tensor of a file is to the model; `None` when it can be left out.
///
/// # Errors
///
/// `malformed` for a wrong shape, `unsupported-architecture` for a tensor that would change the
/// model and that webtern gives no meaning to.
pub(super) fn check_tensor(config: &Config, info: &TensorInfo) -> Result<Option<Expected>> {
    let name = &info.name;
    let Some(expected) = expected_tensor(config, name) else {
        let matters = ["blk.", "token_", "position_", "rope_", "output"].iter().any(|prefix| name.starts_with(prefix));
        if matters && name != "output.weight" {
            let architecture = config.architecture.name;
            bail!(
                UnsupportedArchitecture,
                "tensor {name} has no meaning in architecture {architecture} as webtern runs it, and leaving it out would change the model"
            );
        }
        return Ok(None);
    };
    if (info.cols(), info.rows()) != (expected.cols as u64, expected.rows as u64) {
        let Expected { rows, cols, .. } = expected;
        bail!(
            Malformed,
            "tensor {name} has shape {:?}, but the metadata asks for {cols} x {rows}; convert the checkpoint again",
            info.dims
        );
    }
    Ok(Some(expected))
}

/// Checks what the headers of all files of a model can tell: architecture, names, shapes and
/// completeness.
///
/// # Errors
///
/// The first thing that keeps the model from running.
pub fn check_headers(headers: &[&Header]) -> Result<()> {
    let Some(first) = headers.first() else { bail!(BadOption, "a model has at least one file") };
    let config = Config::from_metadata(&first.metadata)?;
    for info in headers.iter().flat_map(|header| &header.tensors) {
        check_tensor(&config, info)?;
    }
    check_complete(&config, |name| headers.iter().any(|header| header.tensor(name).is_some()))
}

/// Checks that every tensor the model cannot do without is there.
///
/// # Errors
///
/// `malformed` naming the first that is missing.
pub(super) fn check_complete(config: &Config, has: impl Fn(&str) -> bool) -> Result<()> {
    let require = |name: String| if has(&name) { Ok(()) } else { Err(missing(config, &name)) };
    require("token_embd.weight".into())?;
    require("output_norm.weight".into())?;
    if config.long_rope {
        require(SHORT_FACTORS.into())?;
        require(LONG_FACTORS.into())?;
    }
    for layer in 0..config.layers {
        require(format!("blk.{layer}.attn_norm.weight"))?;
        require(format!("blk.{layer}.ffn_norm.weight"))?;
        for (projection, _, _, norms) in projections(config) {
            require(format!("blk.{layer}.{projection}.weight"))?;
            let named = |norm: &&str| format!("blk.{layer}.{norm}.weight");
            if norms.len() > 1 && config.architecture.sub_norms && !norms.iter().any(|norm| has(&named(norm))) {
                return Err(missing(config, &named(&norms[0])));
            }
        }
        if config.architecture.head_norms {
            require(format!("blk.{layer}.attn_q_norm.weight"))?;
            require(format!("blk.{layer}.attn_k_norm.weight"))?;
        }
    }
    Ok(())
}

fn missing(config: &Config, name: &str) -> crate::Error {
    let architecture = config.architecture.name;
    err!(
        Malformed,
        "tensor {name} is missing: an architecture {architecture} model cannot run without it; convert the checkpoint again"
    )
}

/// A tensor in its final form.
pub(super) enum Loaded {
    Matrix(Matrix),
    Vector(Vec<f32>),
}

/// A linear layer with what may surround it: `scale * (matrix * norm(x)) + bias`.
pub(super) struct Projection {
    pub(super) matrix: Matrix,
    pub(super) bias: Option<Vec<f32>>,
    pub(super) scale: Option<f32>,
    /// SubLN: the gain of an RMS norm of this layer's own input.
    pub(super) input_norm: Option<Vec<f32>>,
}

impl Projection {
    /// With an output that is `factor` times as large.
    fn scaled(mut self, factor: f32) -> Self {
        if factor != 1.0 {
            self.scale = Some(self.scale.unwrap_or(1.0) * factor);
            self.bias.iter_mut().flatten().for_each(|bias| *bias *= factor);
        }
        self
    }

    /// All of it but the norm.
    pub(super) fn linear(&self) -> Linear<'_> {
        Linear { weights: &self.matrix, scale: self.scale, bias: self.bias.as_deref() }
    }
}

/// One transformer layer.
pub(super) struct Layer {
    pub(super) attn_norm: Vec<f32>,
    pub(super) q: Projection,
    pub(super) k: Projection,
    pub(super) v: Projection,
    pub(super) q_norm: Option<Vec<f32>>,
    pub(super) k_norm: Option<Vec<f32>>,
    pub(super) output: Projection,
    pub(super) ffn_norm: Vec<f32>,
    pub(super) gate: Projection,
    pub(super) up: Projection,
    pub(super) down: Projection,
}

/// All weights of a model.
pub(super) struct Weights {
    pub(super) embedding: Matrix,
    /// The output head, when it is not the embedding.
    pub(super) head: Option<Matrix>,
    pub(super) norm: Vec<f32>,
    pub(super) layers: Vec<Layer>,
}

impl Weights {
    /// Takes the tensors, each under its name and in the form [`expected_tensor`] asks for.
    ///
    /// # Errors
    ///
    /// `malformed` naming a tensor that is missing.
    pub(super) fn assemble(config: &Config, tensors: HashMap<String, Loaded>) -> Result<Self> {
        let mut parts = Parts { config, tensors };
        let layers = (0..config.layers).map(|layer| parts.layer(layer)).collect::<Result<_>>()?;
        Ok(Self {
            embedding: parts.require_matrix("token_embd.weight")?,
            head: parts.matrix("output.weight"),
            norm: parts.require_vector("output_norm.weight")?,
            layers,
        })
    }
}

struct Parts<'a> {
    config: &'a Config,
    tensors: HashMap<String, Loaded>,
}

impl Parts<'_> {
    fn matrix(&mut self, name: &str) -> Option<Matrix> {
        match self.tensors.remove(name)? {
            Loaded::Matrix(matrix) => Some(matrix),
            Loaded::Vector(_) => None,
        }
    }

    fn vector(&mut self, name: &str) -> Option<Vec<f32>> {
        match self.tensors.remove(name)? {
            Loaded::Vector(values) => Some(values),
            Loaded::Matrix(_) => None,
        }
    }

    fn require_matrix(&mut self, name: &str) -> Result<Matrix> {
        self.matrix(name).ok_or_else(|| missing(self.config, name))
    }

    fn require_vector(&mut self, name: &str) -> Result<Vec<f32>> {
        self.vector(name).ok_or_else(|| missing(self.config, name))
    }

    fn layer(&mut self, layer: usize) -> Result<Layer> {
        let [q, k, v, output, gate, up, down] =
            projections(self.config).map(|(name, _, _, norms)| self.projection(layer, name, norms));
        let residual = |projection: Result<Projection>| projection.map(|p| p.scaled(self.config.residual_scale));
        let (output, down) = (residual(output), residual(down));
        Ok(Layer {
            attn_norm: self.require_vector(&format!("blk.{layer}.attn_norm.weight"))?,
            q: q?,
            k: k?,
            v: v?,
            q_norm: self.vector(&format!("blk.{layer}.attn_q_norm.weight")),
            k_norm: self.vector(&format!("blk.{layer}.attn_k_norm.weight")),
            output: output?,
            ffn_norm: self.require_vector(&format!("blk.{layer}.ffn_norm.weight"))?,
            gate: gate?,
            up: up?,
            down: down?,
        })
    }

    fn projection(&mut self, layer: usize, name: &str, norms: &[&str]) -> Result<Projection> {
        let prefix = format!("blk.{layer}.{name}");
        Ok(Projection {
            matrix: self.require_matrix(&format!("{prefix}.weight"))?,
            bias: self.vector(&format!("{prefix}.bias")),
            scale: self.vector(&format!("{prefix}.scale")).map(|scale| scale[0]),
            input_norm: norms.iter().find_map(|norm| self.vector(&format!("blk.{layer}.{norm}.weight"))),
        })
    }
}
