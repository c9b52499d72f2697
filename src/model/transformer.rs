//! The forward pass.
//!
//! ```text
//! x = embedding[token]
//! for each layer:
//!     h = norm(x);  q, k, v = h Wq, h Wk, h Wv;  [norm each head of q, k];  rotate q, k
//!     x += attend(q, cache + k, cache + v) Wo
//!     h = norm(x);  x += (f(h Wgate) * (h Wup)) Wdown
//! logits = norm(x) Whead
//! ```
//!
//! Logits are computed only for the rows that somebody asked for, and so is all of the last layer but its keys and values.
//!
//! Each `W` may have a bias, a scale, and (SubLN) a norm of its own input; see [`Projection`].

#![forbid(unsafe_code)]

use super::cache::KvCache;
use super::config::Config;
use super::pass::{Attention, LanguageModel, Pass, not_finite};
use super::weights::{Layer, Projection, Weights};
use crate::error::Result;
use crate::kernels::{KernelSelection, Kernels};
use crate::ops::{
    Activations, Argmax, AttentionInput, Linear, Norm, Product, Store, argmax, attention, multiply, multiply_gated,
};
use crate::parallel::{Scope, pool};
use crate::tensor::try_zeroed;
use std::ops::Range;

/// A model with its weights and the cache of one sequence.
pub struct Transformer {
    network: Network,
    selection: KernelSelection,
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
    /// The rows that `x`, `q`, `attention` and `gated` have.
    rows: Vec<usize>,
    /// The residual stream.
    x: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    attention: Vec<f32>,
    gated: Vec<f32>,
    /// Cosines and sines of each row.
    rope: Vec<f32>,
    /// The positions that each row sees.
    visible: Vec<Range<usize>>,
}

impl Scratch {
    fn new(config: &Config, rows: usize) -> Result<Self> {
        Ok(Self {
            rows: (0..rows).collect(),
            x: try_zeroed(rows * config.hidden)?,
            q: try_zeroed(rows * config.q_width())?,
            k: try_zeroed(rows * config.kv_width())?,
            v: try_zeroed(rows * config.kv_width())?,
            attention: try_zeroed(rows * config.q_width())?,
            gated: try_zeroed(rows * config.feed_forward)?,
            rope: try_zeroed(rows * config.rope.dims())?,
            visible: Vec::new(),
        })
    }

    /// Keeps some of the rows, all but their keys and values.
    fn narrow(&mut self, config: &Config, rows: &[usize]) {
        let gather = |row: &usize| &self.x[row * config.hidden..][..config.hidden];
        self.x = rows.iter().flat_map(gather).copied().collect();
        self.rows = rows.to_vec();
        self.q.truncate(rows.len() * config.q_width());
        self.attention.truncate(rows.len() * config.q_width());
        self.gated.truncate(rows.len() * config.feed_forward);
    }
}

impl Transformer {
    pub(super) fn new(config: Config, weights: Weights, selection: KernelSelection, context_length: usize) -> Self {
        let cache = KvCache::new(config.layers, config.kv_heads, config.head_dim);
        let network = Network { config, weights, kernels: selection.kernels() };
        Self { network, selection, cache, context_length, logits: Vec::new() }
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.network.config
    }

    /// The name of the kernels it runs on.
    pub fn kernel(&self) -> &'static str {
        self.network.kernels.name()
    }

    /// Lets the kernels race again if it is time, see [`Choice::renew`]. Results do not depend on it.
    pub fn retune_kernels(&mut self) {
        self.selection.retune();
        self.network.kernels = self.selection.kernels();
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

    /// The input of `projections`: one for all, unless (SubLN) each normalizes its own.
    fn inputs<const N: usize>(
        &self,
        scope: &Scope<'_>,
        x: &[f32],
        norm: Option<Norm<'_>>,
        projections: [&Projection; N],
    ) -> Inputs<N> {
        let cols = projections[0].matrix.cols();
        let input = |x: &[f32], norm, readers: &[&Projection]| {
            let readers = readers.iter().map(|reader| &reader.matrix);
            Activations::new(scope, self.kernels, (x, cols), norm, readers)
        };
        if projections.iter().all(|projection| projection.input_norm.is_none()) {
            return Inputs::Shared(input(x, norm, &projections));
        }
        let shared = norm.map(|norm| input(x, Some(norm), &[]));
        let x = shared.as_ref().map_or(x, Activations::values);
        Inputs::Own(projections.map(|projection| {
            let weight = projection.input_norm.as_deref();
            input(x, weight.map(|weight| Norm { weight, epsilon: self.config.sub_epsilon }), &[projection])
        }))
    }

    /// Runs a layer; the last one, of whose rows only some are `asked` for, for these alone.
    fn layer(
        &self,
        scope: &Scope<'_>,
        (index, position): (usize, usize),
        cache: &mut KvCache,
        s: &mut Scratch,
        asked: Option<&[usize]>,
    ) {
        let Layer { q, k, v, output, gate, up, down, .. } = &self.weights.layers[index];
        let layer: &Layer = &self.weights.layers[index];
        let norm = |weight| Some(Norm { weight, epsilon: self.config.epsilon });

        if asked.is_some() {
            let inputs = self.inputs(scope, &s.x, norm(&layer.attn_norm), [k, v]);
            multiply(scope, self.kernels, [set(k, inputs.of(0), &mut s.k), set(v, inputs.of(1), &mut s.v)]);
        } else {
            let inputs = self.inputs(scope, &s.x, norm(&layer.attn_norm), [q, k, v]);
            let products =
                [set(q, inputs.of(0), &mut s.q), set(k, inputs.of(1), &mut s.k), set(v, inputs.of(2), &mut s.v)];
            multiply(scope, self.kernels, products);
        }
        if let Some(rows) = asked {
            s.narrow(&self.config, rows);
            let inputs = self.inputs(scope, &s.x, norm(&layer.attn_norm), [q]);
            multiply(scope, self.kernels, [set(q, inputs.of(0), &mut s.q)]);
        }
        let qkv = AttentionInput {
            queries: &s.q,
            query_width: self.config.q_width(),
            rows: &s.rows,
            keys: &s.k,
            values: &s.v,
            key_width: self.config.kv_width(),
            query_norm: layer.q_norm.as_deref().and_then(norm),
            key_norm: layer.k_norm.as_deref().and_then(norm),
            rope: &self.config.rope,
            tables: &s.rope,
            position,
            visible: &s.visible,
        };
        attention(scope, self.kernels, &qkv, cache.layer(index), &mut s.attention);
        let inputs = self.inputs(scope, &s.attention, None, [output]);
        let product = Product { linear: output.linear(), input: inputs.of(0), out: &mut s.x, store: Store::Add };
        multiply(scope, self.kernels, [product]);

        let inputs = self.inputs(scope, &s.x, norm(&layer.ffn_norm), [gate, up]);
        let layers = [(gate.linear(), inputs.of(0)), (up.linear(), inputs.of(1))];
        multiply_gated(scope, self.kernels, layers, self.config.activation, &mut s.gated);
        let inputs = self.inputs(scope, &s.gated, None, [down]);
        let product = Product { linear: down.linear(), input: inputs.of(0), out: &mut s.x, store: Store::Add };
        multiply(scope, self.kernels, [product]);
    }

    /// The output head and its input.
    fn head(&self, scope: &Scope<'_>, x: &[f32]) -> (Linear<'_>, Activations) {
        let Config { hidden, epsilon, .. } = self.config;
        let weights = self.weights.head.as_ref().unwrap_or(&self.weights.embedding);
        let norm = Norm { weight: &self.weights.norm, epsilon };
        let input = Activations::new(scope, self.kernels, (x, hidden), Some(norm), [weights]);
        let scale = (self.config.logit_scale != 1.0).then(|| 1.0 / self.config.logit_scale);
        (Linear { weights, scale, bias: None }, input)
    }
}

/// The product whose result is `out`.
fn set<'a>(projection: &'a Projection, input: &'a Activations, out: &'a mut [f32]) -> Product<'a> {
    Product { linear: projection.linear(), input, out, store: Store::Set }
}

/// Inputs of projections that stand beside each other.
enum Inputs<const N: usize> {
    Shared(Activations),
    Own([Activations; N]),
}

impl<const N: usize> Inputs<N> {
    fn of(&self, index: usize) -> &Activations {
        match self {
            Self::Shared(input) => input,
            Self::Own(inputs) => &inputs[index],
        }
    }
}

impl Transformer {
    /// Runs all layers; the residual stream of the rows that are asked for.
    fn run(&mut self, scope: &Scope<'_>, pass: &Pass<'_>) -> Result<Vec<f32>> {
        self.check(pass)?;
        self.cache.begin(pass.position, pass.tokens.len())?;
        let Network { config, weights, .. } = &self.network;
        let mut s = Scratch::new(config, pass.tokens.len())?;
        let rows = s.x.chunks_exact_mut(config.hidden).zip(s.rope.chunks_exact_mut(config.rope.dims()));
        scope.for_each(rows.zip(pass.tokens).zip(pass.position..), |(((x, table), &token), position)| {
            weights.embedding.decode_row(token as usize, x);
            if config.embedding_scale != 1.0 {
                x.iter_mut().for_each(|x| *x *= config.embedding_scale);
            }
            config.rope.fill(position, table);
        });
        let positions = pass.position..pass.position + pass.tokens.len();
        let visible = |position| self.network.visible(position, pass.attention, self.cache.written());
        s.visible = positions.map(visible).collect();
        let some = (pass.logits.len() < pass.tokens.len()).then_some(pass.logits);
        for layer in 0..config.layers {
            let asked = some.filter(|_| layer + 1 == config.layers);
            self.network.layer(scope, (layer, pass.position), &mut self.cache, &mut s, asked);
        }
        if pass.commit {
            self.cache.commit();
        }
        Ok(s.x)
    }
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
        let scope = pool().scope(pass.tokens.len());
        let x = self.run(&scope, pass)?;
        let wanted = pass.logits.len() * self.config().vocab;
        if self.logits.len() < wanted {
            self.logits = try_zeroed(wanted)?;
        }
        if wanted > 0 {
            let (linear, input) = self.network.head(&scope, &x);
            let product = Product { linear, input: &input, out: &mut self.logits[..wanted], store: Store::Set };
            multiply(&scope, self.network.kernels, [product]);
        }
        Ok(&self.logits[..wanted])
    }

    fn argmax(&mut self, pass: &Pass<'_>, excluded: Option<u32>) -> Result<Vec<Argmax>> {
        let scope = pool().scope(pass.tokens.len());
        let x = self.run(&scope, pass)?;
        if pass.logits.is_empty() {
            return Ok(Vec::new());
        }
        let (linear, input) = self.network.head(&scope, &x);
        argmax(&scope, self.network.kernels, linear, &input, excluded).map_err(|bad| not_finite(pass, bad))
    }
}
