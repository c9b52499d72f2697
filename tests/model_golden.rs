//! The forward pass against `transformers`: see `tests/reference/model_golden.py`, which wrote the models and their logits.

#![forbid(unsafe_code)]

use webtern::Result;
use webtern::engine::{AttentionKind, Engine, EngineOptions};
use webtern::gguf::Metadata;
use webtern::model::{Attention, LanguageModel, LoadOptions, LoadedModel, Loader, Pass};

macro_rules! models {
    ($($name:literal)+) => {
        [$(($name, include_bytes!(concat!("golden/model/", $name, ".gguf")).as_slice())),+]
    };
}

const MODELS: [(&str, &[u8]); 18] = models![
    "llama-untied" "llama-biases" "llama-linear" "llama-llama3" "llama-yarn" "llama-partial-rope" "llama-window"
    "mistral-window" "qwen2" "qwen2-yarn" "qwen2-block" "qwen3" "bitnet-float" "bitnet-silu" "bitnet-relu2"
    "bitnet-seven-norms" "bitnet-25" "bitnet-b1.58"
];

/// Largest error of a logit, in standard deviations of all logits.
const TOLERANCE: f32 = 1e-4;

fn load(bytes: &[u8]) -> Result<LoadedModel> {
    let mut loader = Loader::new(LoadOptions::default());
    loader.begin_file("golden.gguf", Some(bytes.len() as u64))?;
    loader.push(bytes)?;
    loader.finish()
}

/// What a golden file expects of its own model.
struct Golden {
    tokens: Vec<u32>,
    logits: Vec<f32>,
    attention: Attention,
    tolerance: f32,
}

impl Golden {
    fn new(metadata: &Metadata) -> Result<Self> {
        let logits = metadata.require_f32s("golden.logits")?;
        let mean = logits.iter().sum::<f32>() / logits.len() as f32;
        let variance = logits.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / logits.len() as f32;
        Ok(Self {
            tokens: metadata.require_u32s("golden.tokens")?,
            attention: match metadata.u32("golden.block")? {
                Some(size) => Attention::Block { size: size as usize },
                None => Attention::Causal,
            },
            tolerance: variance.sqrt() * TOLERANCE,
            logits,
        })
    }

    /// Compares rows of logits from `position` on.
    fn check(&self, what: &str, position: usize, got: &[f32]) {
        let vocab = self.logits.len() / self.tokens.len();
        let expected = &self.logits[position * vocab..][..got.len()];
        for (row, (got, expected)) in got.chunks_exact(vocab).zip(expected.chunks_exact(vocab)).enumerate() {
            let position = position + row;
            for (id, (got, expected)) in got.iter().zip(expected).enumerate() {
                let close = (got - expected).abs() <= self.tolerance;
                assert!(
                    close,
                    "{what}: logit {id} at position {position} is {got}, not {expected} +- {}",
                    self.tolerance
                );
            }
            let (best, gap) = best(expected);
            assert!(
                gap <= 2.0 * self.tolerance || best == self::best(got).0,
                "{what}: best token at position {position}"
            );
        }
    }
}

/// The index of the largest value, and by how much.
fn best(row: &[f32]) -> (usize, f32) {
    let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("a row of logits is not empty");
    let others = row.iter().enumerate().filter(|&(id, _)| id != best).map(|(_, &x)| x);
    (best, row[best] - others.fold(f32::NEG_INFINITY, f32::max))
}

fn each_model(mut check: impl FnMut(&str, LoadedModel, &Golden)) {
    for (name, bytes) in MODELS {
        let model = load(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let golden = Golden::new(&model.metadata).unwrap();
        check(name, model, &golden);
    }
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn logits_match_transformers() {
    each_model(|name, model, golden| {
        let attention = match golden.attention {
            Attention::Causal => AttentionKind::Causal,
            Attention::Block { .. } => AttentionKind::Block,
        };
        let mut engine = Engine::new(model, &EngineOptions::default()).unwrap();
        let mut logits = Vec::new();
        engine.logits(&golden.tokens, attention, |row| logits.extend_from_slice(row)).unwrap();
        assert_eq!(logits.len(), golden.logits.len(), "{name}");
        golden.check(name, 0, &logits);
    });
}

/// Runs `tokens[start..end]` and checks all its logits.
fn pass(model: &mut impl LanguageModel, golden: &Golden, what: &str, (start, end): (usize, usize), commit: bool) {
    let rows: Vec<usize> = (0..end - start).collect();
    let tokens = &golden.tokens[start..end];
    let pass = Pass { tokens, position: start, attention: golden.attention, commit, logits: &rows };
    golden.check(what, start, model.forward(&pass).unwrap());
}

/// Committing passes over all tokens from the committed ones on, `chunk` at a time.
fn feed(model: &mut impl LanguageModel, golden: &Golden, what: &str, chunk: usize) {
    for start in (model.committed()..golden.tokens.len()).step_by(chunk) {
        pass(model, golden, what, (start, (start + chunk).min(golden.tokens.len())), true);
    }
    assert_eq!(model.committed(), golden.tokens.len());
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn cached_passes_match_transformers() {
    each_model(|name, model, golden| {
        let mut model = model.transformer;
        let count = golden.tokens.len();
        let unit = match golden.attention {
            Attention::Causal => 1,
            Attention::Block { size } => size,
        };
        for chunks in [1, 2, 5] {
            feed(&mut model, golden, &format!("{name} in chunks of {}", chunks * unit), chunks * unit);
            model.truncate(0);
        }
        feed(&mut model, golden, &format!("{name} whole"), count);
        model.truncate(2 * unit);
        assert_eq!(model.committed(), 2 * unit);
        feed(&mut model, golden, &format!("{name} after truncation"), 3 * unit);
    });
}

#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn uncommitted_passes_leave_no_trace() {
    each_model(|name, model, golden| {
        let mut model = model.transformer;
        let (start, end) = (8, 24);
        pass(&mut model, golden, name, (0, start), true);
        let other: Vec<u32> = golden.tokens[start..].iter().map(|token| (token + 7) % 64).collect();
        let noise = Pass { tokens: &other, position: start, attention: golden.attention, commit: false, logits: &[0] };
        let first = model.forward(&noise).unwrap().to_vec();
        assert_eq!(model.committed(), start, "{name}");
        model.truncate(start);
        pass(&mut model, golden, &format!("{name} uncommitted"), (start, end), false);
        assert_eq!(model.forward(&noise).unwrap(), first, "{name}: the same pass again");
        model.truncate(start);
        feed(&mut model, golden, &format!("{name} after uncommitted passes"), 8);
    });
}

/// Fast-dLLM's dual cache: with nothing changed, recomputing part of an uncommitted block gives what the whole block gave.
#[test]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
fn part_of_an_uncommitted_block_sees_the_rest_of_it() {
    each_model(|name, model, golden| {
        let mut model = model.transformer;
        pass(&mut model, golden, name, (0, 8), true);
        pass(&mut model, golden, name, (8, 16), false);
        pass(&mut model, golden, &format!("{name} again in part"), (12, 14), false);
        pass(&mut model, golden, name, (8, 16), true);
    });
}
