//! The forward pass.
//!
//! ```text
//! x = embedding[token]
//! for each layer:
//!     h = norm(x);  q, k, v = h Wq, h Wk, h Wv;  [norm each head of q, k];  rotate q, k
//!     x += attention(q, cache + k, cache + v) Wo
//!     h = norm(x);  x += (f(h Wgate) * (h Wup)) Wdown
//! logits = norm(x) Whead
//! ```
//!
//! Logits are computed only for the rows of [`Pass::logits`], and so is the last layer except for
//! its keys and values.
//!
//! Each `W` may have a bias, a scale, and (SubLN) its own norm of the input; see [`Projection`].

#![forbid(unsafe_code)]

use super::cache::KvCache;
use super::config::Config;
use super::pass::{Attention, LanguageModel, Pass, not_finite};
use super::weights::{Layer, Projection, Weights};
use super::worker_tuner::WorkerTuner;
use crate::error::Result;
use crate::kernels::{KernelSelection, Kernels, Rows};
use crate::ops::{
    Activations, Argmax, AttentionInput, GatedProduct, Linear, Norm, Product, Store, argmax, attention, multiply,
    multiply_gated,
};
use crate::parallel::{Scope, pool};
use crate::platform::now_ms;
use crate::tensor::try_resize;
use std::ops::Range;

/// A model with its weights and the cache of one sequence.
pub struct Transformer {
    network: Network,
    selection: KernelSelection,
    tuner: WorkerTuner,
    cache: KvCache,
    context_length: usize,
    scratch: Scratch,
    logits: Vec<f32>,
}

/// What does not change from pass to pass.
struct Network {
    config: Config,
    weights: Weights,
    kernels: &'static dyn Kernels,
}

/// The activations of a pass, row after row. Kept from pass to pass, to avoid allocations.
#[derive(Default)]
struct Scratch {
    /// The rows of the pass that are in `x`, `q`, `attention` and `gated`.
    rows: Vec<usize>,
    /// The residual stream.
    x: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    attention: Vec<f32>,
    gated: Vec<f32>,
    /// The cosines and sines of each row.
    rope: Vec<f32>,
    /// The positions that each row attends to.
    visible: Vec<Range<usize>>,
}

impl Scratch {
    /// Makes space for `rows` rows, whose values are unspecified.
    fn resize(&mut self, config: &Config, rows: usize) -> Result<()> {
        self.rows.clear();
        self.rows.extend(0..rows);
        try_resize(&mut self.x, rows * config.hidden)?;
        try_resize(&mut self.q, rows * config.q_width())?;
        try_resize(&mut self.k, rows * config.kv_width())?;
        try_resize(&mut self.v, rows * config.kv_width())?;
        try_resize(&mut self.attention, rows * config.q_width())?;
        try_resize(&mut self.gated, rows * config.feed_forward)?;
        try_resize(&mut self.rope, rows * config.rope.dims())
    }

    /// Drops all but some rows, which are in ascending order; keeps all keys and values.
    fn narrow(&mut self, config: &Config, rows: &[usize]) {
        for (to, from) in rows.iter().enumerate() {
            self.x.copy_within(from * config.hidden..(from + 1) * config.hidden, to * config.hidden);
        }
        self.x.truncate(rows.len() * config.hidden);
        self.rows.clear();
        self.rows.extend_from_slice(rows);
        self.q.truncate(rows.len() * config.q_width());
        self.attention.truncate(rows.len() * config.q_width());
        self.gated.truncate(rows.len() * config.feed_forward);
    }
}

impl Transformer {
    pub(super) fn new(config: Config, weights: Weights, selection: KernelSelection, context_length: usize) -> Self {
        let cache = KvCache::new(config.layers, config.kv_heads, config.head_dim);
        let network = Network { config, weights, kernels: selection.kernels() };
        Self {
            network,
            selection,
            tuner: WorkerTuner::new(),
            cache,
            context_length,
            scratch: Scratch::default(),
            logits: Vec::new(),
        }
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.network.config
    }

    /// A cache for another sequence, without positions.
    pub fn new_cache(&self) -> KvCache {
        let config = self.config();
        KvCache::new(config.layers, config.kv_heads, config.head_dim)
    }

    /// Changes to another sequence: the model's cache and `cache`, which must come from this model,
    /// change places.
    pub fn swap_cache(&mut self, cache: &mut KvCache) {
        std::mem::swap(&mut self.cache, cache);
    }

    /// The name of the kernels it runs on.
    pub fn kernel(&self) -> &'static str {
        self.network.kernels.name()
    }

    /// Selects the kernels again if it is time. Results do not depend on it.
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
    /// The positions that the query at `position` attends to.
    fn visible(&self, position: usize, attention: Attention, written: usize) -> Range<usize> {
        let end = match attention {
            Attention::Causal => position + 1,
            Attention::Block { size } => ((position / size + 1) * size).min(written),
            Attention::Full => written,
        };
        let start = self.config.window.map_or(0, |window| (position + 1).saturating_sub(window));
        start..end
    }

    /// The input of `projections`: one for all, unless (SubLN) each of them normalizes its own.
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
            Activations::new(scope, self.kernels, Rows { values: x, stride: cols }, norm, readers)
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

    /// Runs a layer. The last one computes only `output_rows`, if not all rows have an output.
    fn layer(
        &self,
        scope: &Scope<'_>,
        index: usize,
        position: usize,
        cache: &mut KvCache,
        s: &mut Scratch,
        output_rows: Option<&[usize]>,
    ) {
        let Layer { q, k, v, output, gate, up, down, .. } = &self.weights.layers[index];
        let layer: &Layer = &self.weights.layers[index];
        let norm = |weight| Some(Norm { weight, epsilon: self.config.epsilon });

        if output_rows.is_some() {
            let inputs = self.inputs(scope, &s.x, norm(&layer.attn_norm), [k, v]);
            multiply(scope, self.kernels, [set(k, inputs.of(0), &mut s.k), set(v, inputs.of(1), &mut s.v)]);
        } else {
            let inputs = self.inputs(scope, &s.x, norm(&layer.attn_norm), [q, k, v]);
            let products =
                [set(q, inputs.of(0), &mut s.q), set(k, inputs.of(1), &mut s.k), set(v, inputs.of(2), &mut s.v)];
            multiply(scope, self.kernels, products);
        }
        if let Some(rows) = output_rows {
            s.narrow(&self.config, rows);
            let inputs = self.inputs(scope, &s.x, norm(&layer.attn_norm), [q]);
            multiply(scope, self.kernels, [set(q, inputs.of(0), &mut s.q)]);
        }
        let input = AttentionInput {
            queries: Rows { values: &s.q, stride: self.config.q_width() },
            query_rows: &s.rows,
            keys: Rows { values: &s.k, stride: self.config.kv_width() },
            values: Rows { values: &s.v, stride: self.config.kv_width() },
            query_norm: layer.q_norm.as_deref().and_then(norm),
            key_norm: layer.k_norm.as_deref().and_then(norm),
            rope: &self.config.rope,
            rope_tables: &s.rope,
            position,
            visible: &s.visible,
        };
        attention(scope, self.kernels, &input, cache.layer(index), &mut s.attention);
        let inputs = self.inputs(scope, &s.attention, None, [output]);
        let product = Product { linear: output.linear(), input: inputs.of(0), out: &mut s.x, store: Store::Add };
        multiply(scope, self.kernels, [product]);

        let inputs = self.inputs(scope, &s.x, norm(&layer.ffn_norm), [gate, up]);
        let product = GatedProduct {
            gate: gate.linear(),
            gate_input: inputs.of(0),
            up: up.linear(),
            up_input: inputs.of(1),
            activation: self.config.activation,
            out: &mut s.gated,
        };
        multiply_gated(scope, self.kernels, product);
        let inputs = self.inputs(scope, &s.gated, None, [down]);
        let product = Product { linear: down.linear(), input: inputs.of(0), out: &mut s.x, store: Store::Add };
        multiply(scope, self.kernels, [product]);
    }

    /// The output head and its input.
    fn head(&self, scope: &Scope<'_>, x: &[f32]) -> (Linear<'_>, Activations) {
        let Config { hidden, epsilon, .. } = self.config;
        let weights = self.weights.head.as_ref().unwrap_or(&self.weights.embedding);
        let norm = Norm { weight: &self.weights.norm, epsilon };
        let input = Activations::new(scope, self.kernels, Rows { values: x, stride: hidden }, Some(norm), [weights]);
        let scale = (self.config.logit_scale != 1.0).then(|| 1.0 / self.config.logit_scale);
        (Linear { weights, scale, bias: None }, input)
    }
}

/// The product of a projection and `input`, written to `out`.
fn set<'a>(projection: &'a Projection, input: &'a Activations, out: &'a mut [f32]) -> Product<'a> {
    Product { linear: projection.linear(), input, out, store: Store::Set }
}

/// The inputs of projections that read the same activations.
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
    /// Calls `pass`, over `rows` rows, with as many workers as make it fastest.
    fn with_workers<R>(&mut self, rows: usize, pass: impl FnOnce(&mut Self, &Scope<'_>) -> Result<R>) -> Result<R> {
        let available = pool().workers();
        if available == 0 {
            return pass(self, &pool().scope(0));
        }
        let scope = pool().scope(self.tuner.workers(available, rows));
        let start = now_ms();
        let result = pass(self, &scope)?;
        self.tuner.record(rows, scope.workers(), now_ms() - start);
        Ok(result)
    }

    /// Runs all layers. Leaves the residual stream of the rows in `pass.logits` in the scratch.
    fn run(&mut self, scope: &Scope<'_>, pass: &Pass<'_>) -> Result<()> {
        self.check(pass)?;
        self.cache.begin(pass.position, pass.tokens.len())?;
        let Network { config, weights, .. } = &self.network;
        let s = &mut self.scratch;
        s.resize(config, pass.tokens.len())?;
        let rows = s.x.chunks_exact_mut(config.hidden).zip(s.rope.chunks_exact_mut(config.rope.dims()));
        scope.for_each(rows.zip(pass.tokens).zip(pass.position..), |(((x, table), &token), position)| {
            weights.embedding.decode_row(token as usize, x);
            if config.embedding_scale != 1.0 {
                x.iter_mut().for_each(|x| *x *= config.embedding_scale);
            }
            config.rope.fill_table(position, table);
        });
        let positions = pass.position..pass.position + pass.tokens.len();
        s.visible.clear();
        let written = self.cache.written();
        s.visible.extend(positions.map(|position| self.network.visible(position, pass.attention, written)));
        let some = (pass.logits.len() < pass.tokens.len()).then_some(pass.logits);
        for layer in 0..config.layers {
            let output_rows = some.filter(|_| layer + 1 == config.layers);
            self.network.layer(scope, layer, pass.position, &mut self.cache, s, output_rows);
        }
        if pass.commit {
            self.cache.commit();
        }
        Ok(())
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
        let wanted = pass.logits.len() * self.config().vocab;
        self.with_workers(pass.tokens.len(), |model, scope| {
            model.run(scope, pass)?;
            if model.logits.len() < wanted {
                try_resize(&mut model.logits, wanted)?;
            }
            if wanted > 0 {
                let (linear, input) = model.network.head(scope, &model.scratch.x);
                let product = Product { linear, input: &input, out: &mut model.logits[..wanted], store: Store::Set };
                multiply(scope, model.network.kernels, [product]);
            }
            Ok(())
        })?;
        Ok(&self.logits[..wanted])
    }

    fn argmax(&mut self, pass: &Pass<'_>, excluded: Option<u32>) -> Result<Vec<Argmax>> {
        self.with_workers(pass.tokens.len(), |model, scope| {
            model.run(scope, pass)?;
            if pass.logits.is_empty() {
                return Ok(Vec::new());
            }
            let (linear, input) = model.network.head(scope, &model.scratch.x);
            argmax(scope, model.network.kernels, linear, &input, excluded).map_err(|bad| not_finite(pass, bad))
        })
    }
}
