//! The forward pass.
//!
//! ```text
//! x = embedding[token]
//! for each layer:
//!     h = norm(x);  q, k, v = h Wq, h Wk, h Wv;  [norm each head of q, k];  rotate q, k
//!     x += attend(q, cache + k, cache + v) Wo
//!     h = norm(x);  x += (f(h Wgate) * (h Wup)) Wdown
//! logits = norm(x) Whead                                          only for the rows somebody asked for
//! ```
//!
//! Each `W` may have a bias, a scale, and (SubLN) a norm of its own input; see [`Projection`].

#![forbid(unsafe_code)]

use super::cache::KvCache;
use super::config::Config;
use super::pass::{Attention, LanguageModel, Pass};
use super::weights::{Layer, Projection, Weights};
use crate::error::Result;
use crate::kernels::{self, Kernels};
use crate::ops::{Input, attend, block_linear, linear, rms_norm};
use crate::tensor::zeroed_f32;
use std::ops::Range;

/// A model with its weights and the cache of one sequence.
pub struct Transformer {
    network: Network,
    cache: KvCache,
    context_length: usize,
    logits: Vec<f32>,
}

/// What does not change from pass to pass.
struct Network {
    config: Config,
    weights: Weights,
    kernels: &'static dyn Kernels,
}

/// Activations of one pass, row after row.
struct Scratch {
    /// The residual stream.
    x: Vec<f32>,
    /// Normalised input of a sub-layer, then its output.
    h: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    attention: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    /// Cosines and sines of each row.
    rope: Vec<f32>,
    scores: Vec<f32>,
}

impl Scratch {
    fn new(config: &Config, rows: usize) -> Result<Self> {
        Ok(Self {
            x: zeroed_f32(rows * config.hidden)?,
            h: zeroed_f32(rows * config.hidden)?,
            q: zeroed_f32(rows * config.q_width())?,
            k: zeroed_f32(rows * config.kv_width())?,
            v: zeroed_f32(rows * config.kv_width())?,
            attention: zeroed_f32(rows * config.q_width())?,
            gate: zeroed_f32(rows * config.feed_forward)?,
            up: zeroed_f32(rows * config.feed_forward)?,
            rope: zeroed_f32(rows * config.rope.dims())?,
            scores: Vec::new(),
        })
    }
}

impl Transformer {
    pub(super) fn new(config: Config, weights: Weights, context_length: usize) -> Self {
        let cache = KvCache::new(config.layers, config.kv_width());
        let network = Network { config, weights, kernels: kernels::best() };
        Self { network, cache, context_length, logits: Vec::new() }
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.network.config
    }

    /// The name of the kernels it runs on.
    pub fn kernel(&self) -> &'static str {
        self.network.kernels.name()
    }

    fn check(&self, pass: &Pass<'_>) -> Result<()> {
        let (end, vocab) = (pass.position + pass.tokens.len(), self.config().vocab);
        if end > self.context_length {
            bail!(ContextFull, "position {} lies beyond the context of {} positions", end - 1, self.context_length);
        }
        if let Some(token) = pass.tokens.iter().find(|&&token| token as usize >= vocab) {
            bail!(BadOption, "token {token} is not in the vocabulary of {vocab} tokens");
        }
        let committed = self.cache.committed();
        assert!(pass.position >= committed, "a pass starts at or after the {committed} committed positions");
        assert!(!pass.commit || pass.position == committed, "a committing pass leaves no gap");
        Ok(())
    }
}

impl Network {
    /// The positions that the query at `position` sees.
    fn visible(&self, position: usize, attention: Attention, written: usize) -> Range<usize> {
        let end = match attention {
            Attention::Causal => position + 1,
            Attention::Block { size } => ((position / size + 1) * size).min(written),
        };
        let start = self.config.window.map_or(0, |window| (position + 1).saturating_sub(window));
        start..end
    }

    /// `out = projection(input)`, with the projection's own norm, scale and bias where it has them.
    fn project(&self, projection: &Projection, input: &Input<'_>, out: &mut [f32]) -> Result<()> {
        match &projection.input_norm {
            None => linear(self.kernels, &projection.matrix, input, out)?,
            Some(gain) => {
                let mut normed = zeroed_f32(input.values().len())?;
                rms_norm(self.kernels, input.values(), gain, self.config.sub_epsilon, &mut normed);
                linear(self.kernels, &projection.matrix, &Input::new(&normed, gain.len()), out)?;
            }
        }
        if let Some(scale) = projection.scale {
            out.iter_mut().for_each(|x| *x *= scale);
        }
        if let Some(bias) = &projection.bias {
            for row in out.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
            }
        }
        Ok(())
    }

    /// Normalises (where the model does) and rotates every head of every row.
    fn place(&self, rows: &mut [f32], width: usize, norm: Option<&[f32]>, tables: &[f32]) {
        let (head_dim, rope) = (self.config.head_dim, &self.config.rope);
        if let Some(gain) = norm {
            let plain = rows.to_vec();
            rms_norm(self.kernels, &plain, gain, self.config.epsilon, rows);
        }
        for (row, table) in rows.chunks_exact_mut(width).zip(tables.chunks_exact(rope.dims())) {
            row.chunks_exact_mut(head_dim).for_each(|head| rope.rotate(head, table));
        }
    }

    fn layer(&self, index: usize, pass: &Pass<'_>, cache: &mut KvCache, s: &mut Scratch) -> Result<()> {
        let (hidden, q_width, kv_width) = (self.config.hidden, self.config.q_width(), self.config.kv_width());
        let layer: &Layer = &self.weights.layers[index];

        rms_norm(self.kernels, &s.x, &layer.attn_norm, self.config.epsilon, &mut s.h);
        let input = Input::new(&s.h, hidden);
        self.project(&layer.q, &input, &mut s.q)?;
        self.project(&layer.k, &input, &mut s.k)?;
        self.project(&layer.v, &input, &mut s.v)?;
        self.place(&mut s.q, q_width, layer.q_norm.as_deref(), &s.rope);
        self.place(&mut s.k, kv_width, layer.k_norm.as_deref(), &s.rope);
        cache.store(index, pass.position, &s.k, &s.v);

        let rows = s.q.chunks_exact(q_width).zip(s.attention.chunks_exact_mut(q_width));
        for (position, (query, out)) in (pass.position..).zip(rows) {
            let visible = self.visible(position, pass.attention, cache.written());
            attend(self.kernels, query, cache.layer(index), visible, self.config.head_dim, &mut s.scores, out);
        }
        self.project(&layer.output, &Input::new(&s.attention, q_width), &mut s.h)?;
        add(&mut s.x, &s.h);

        rms_norm(self.kernels, &s.x, &layer.ffn_norm, self.config.epsilon, &mut s.h);
        let input = Input::new(&s.h, hidden);
        self.project(&layer.gate, &input, &mut s.gate)?;
        self.project(&layer.up, &input, &mut s.up)?;
        self.config.activation.gate(&mut s.gate, &s.up);
        self.project(&layer.down, &Input::new(&s.gate, self.config.feed_forward), &mut s.h)?;
        add(&mut s.x, &s.h);
        Ok(())
    }

    /// Logits of the asked rows, into `logits`.
    fn head(&self, x: &[f32], rows: &[usize], logits: &mut [f32]) -> Result<()> {
        let Config { hidden, epsilon, .. } = self.config;
        let mut normed = zeroed_f32(rows.len() * hidden)?;
        for (out, &row) in normed.chunks_exact_mut(hidden).zip(rows) {
            rms_norm(self.kernels, &x[row * hidden..][..hidden], &self.weights.norm, epsilon, out);
        }
        let head = self.weights.head.as_ref().unwrap_or(&self.weights.embedding);
        block_linear(self.kernels, head, &Input::new(&normed, hidden), logits)
    }
}

fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

impl LanguageModel for Transformer {
    fn vocab_size(&self) -> usize {
        self.config().vocab
    }

    fn context_length(&self) -> usize {
        self.context_length
    }

    fn committed(&self) -> usize {
        self.cache.committed()
    }

    fn truncate(&mut self, length: usize) {
        self.cache.truncate(length);
    }

    fn forward(&mut self, pass: &Pass<'_>) -> Result<&[f32]> {
        self.check(pass)?;
        self.cache.begin(pass.position, pass.tokens.len())?;
        let Network { config, weights, .. } = &self.network;
        let mut s = Scratch::new(config, pass.tokens.len())?;
        for (row, &token) in s.x.chunks_exact_mut(config.hidden).zip(pass.tokens) {
            weights.embedding.decode_row(token as usize, row);
        }
        for (position, table) in (pass.position..).zip(s.rope.chunks_exact_mut(config.rope.dims())) {
            config.rope.fill(position, table);
        }
        for layer in 0..config.layers {
            self.network.layer(layer, pass, &mut self.cache, &mut s)?;
        }
        let wanted = pass.logits.len() * config.vocab;
        if self.logits.len() < wanted {
            self.logits = zeroed_f32(wanted)?;
        }
        if wanted > 0 {
            self.network.head(&s.x, pass.logits, &mut self.logits[..wanted])?;
        }
        if pass.commit {
            self.cache.commit();
        }
        Ok(&self.logits[..wanted])
    }
}
