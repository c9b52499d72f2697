//! The forward pass against `transformers`: on files that others make
//! (`tests/reference/model_golden.py`), and on what becomes of checkpoints in every type
//! (`tests/reference/checkpoint_golden.py`).

use crate::checkpoints::{CHECKPOINTS, Checkpoint};
use crate::testing::test;
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use webtern::Result;
use webtern::convert::{Report, verify};
use webtern::decode::AttentionKind;
use webtern::engine::{Engine, EngineOptions};
use webtern::gguf::{GgmlType, Metadata};
use webtern::model::{Attention, LanguageModel, LoadOptions, LoadedModel, Loader, Pass};

macro_rules! models {
    ($($name:literal)+) => {
        [$(($name, include_bytes!(concat!("../golden/model/", $name, ".gguf")).as_slice())),+]
    };
}

const MODELS: [(&str, &[u8]); 5] =
    models!["llama-partial-rope" "mistral-window" "bitnet-float" "bitnet-25" "bitnet-b1.58"];

/// Largest error of a logit, in standard deviations of all logits.
const TOLERANCE: f32 = 1e-4;

fn load(bytes: &[u8]) -> Result<LoadedModel> {
    let mut loader = Loader::new(LoadOptions::default());
    loader.begin_file("golden.gguf", Some(bytes.len() as u64))?;
    loader.push(bytes)?;
    loader.finish()
}

/// What is expected of a model.
struct Golden {
    tokens: Vec<u32>,
    logits: Vec<f32>,
    attention: Attention,
}

impl Golden {
    /// Of a file that carries its own expectation.
    fn of_model(metadata: &Metadata) -> Result<Self> {
        let (tokens, logits) = (metadata.require_u32s("golden.tokens")?, metadata.require_f32s("golden.logits")?);
        Ok(Self { tokens, logits, attention: Attention::Causal })
    }

    fn of_checkpoint(checkpoint: &Checkpoint) -> Self {
        let file = SafeTensors::deserialize(checkpoint.golden).unwrap();
        let words = |name: &str| file.tensor(name).unwrap().data().as_chunks().0.to_vec();
        let tokens = words("tokens").into_iter().map(u32::from_le_bytes).collect();
        let logits = words("logits").into_iter().map(f32::from_le_bytes).collect();
        let (_, header) = SafeTensors::read_metadata(checkpoint.golden).unwrap();
        let block = header.metadata().as_ref().and_then(|metadata| metadata.get("block"));
        let attention = block.map_or(Attention::Causal, |size| Attention::Block { size: size.parse().unwrap() });
        Self { tokens, logits, attention }
    }

    /// Compares rows of logits from `position` on.
    fn check(&self, what: &str, position: usize, got: &[f32]) {
        let vocab = self.logits.len() / self.tokens.len();
        let tolerance = TOLERANCE * deviation(&self.logits);
        let expected = &self.logits[position * vocab..][..got.len()];
        for (row, (got, expected)) in got.chunks_exact(vocab).zip(expected.chunks_exact(vocab)).enumerate() {
            let position = position + row;
            for (id, (got, expected)) in got.iter().zip(expected).enumerate() {
                let close = (got - expected).abs() <= tolerance;
                assert!(close, "{what}: logit {id} at position {position} is {got}, not {expected} +- {tolerance}");
            }
            let (best, gap) = best(expected);
            assert!(gap <= tolerance || best == self::best(got).0, "{what}: best token at position {position}");
        }
    }
}

/// The standard deviation.
fn deviation(values: &[f32]) -> f32 {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / values.len() as f32;
    variance.sqrt()
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
        let golden = Golden::of_model(&model.metadata).unwrap();
        check(name, model, &golden);
    }
    for checkpoint in &CHECKPOINTS {
        let (file, _) = checkpoint.convert(None).unwrap_or_else(|error| panic!("{}: {error}", checkpoint.name));
        check(checkpoint.name, load(&file).unwrap(), &Golden::of_checkpoint(checkpoint));
    }
}

/// All logits by the engine, checked.
fn logits(what: &str, model: LoadedModel, golden: &Golden) -> Vec<f32> {
    let attention = match golden.attention {
        Attention::Block { .. } => AttentionKind::Block,
        Attention::Causal | Attention::Full => AttentionKind::Causal,
    };
    let mut engine = Engine::new(model, &EngineOptions::default()).unwrap();
    let mut logits = Vec::new();
    engine.logits(&golden.tokens, attention, |row| logits.extend_from_slice(row)).unwrap();
    assert_eq!(logits.len(), golden.logits.len(), "{what}");
    golden.check(what, 0, &logits);
    logits
}

#[test]
fn logits_match_transformers() {
    for (name, bytes) in MODELS {
        let model = load(bytes).unwrap();
        let golden = Golden::of_model(&model.metadata).unwrap();
        logits(name, model, &golden);
    }
}

/// Types that hold the weights of the float checkpoints exactly, and those of the ternary ones.
const FLOAT_TYPES: [GgmlType; 3] = [GgmlType::Bf16, GgmlType::F32, GgmlType::F16];
const TERNARY_TYPES: [GgmlType; 6] =
    [GgmlType::Q2_0, GgmlType::Tq1_0, GgmlType::Tq2_0, GgmlType::I2S, GgmlType::F32, GgmlType::F16];

/// Linear layers have the type `ty` where its blocks fit, and something else where not.
fn check_types(what: &str, report: &Report, ty: GgmlType) {
    let linear = |name: &str| name.starts_with("blk.") && !name.contains("norm") && name.ends_with(".weight");
    for tensor in report.tensors.iter().filter(|tensor| linear(&tensor.name)) {
        let fits = tensor.dims[0].is_multiple_of(ty.block_len() as u64);
        assert_eq!(tensor.ty == ty.name(), fits, "{what}: {} is {}", tensor.name, tensor.ty);
    }
}

#[test]
fn converted_checkpoints_match_transformers_in_every_exact_type() {
    let mut runs: Vec<(String, Vec<f32>)> = Vec::new();
    let mut written = BTreeMap::new();
    for checkpoint in &CHECKPOINTS {
        let is_ternary = checkpoint.convert(None).unwrap().1.ternary_because.is_some();
        let types = if is_ternary { TERNARY_TYPES.as_slice() } else { &FLOAT_TYPES };
        let golden = Golden::of_checkpoint(checkpoint);
        for ty in types {
            let what = format!("{} as {ty}", checkpoint.name);
            let (file, report) = checkpoint.convert(Some(*ty)).unwrap_or_else(|error| panic!("{what}: {error}"));
            check_types(&what, &report, *ty);
            *written.entry(ty.name()).or_insert(0) +=
                report.tensors.iter().filter(|tensor| tensor.ty == ty.name()).count();
            let logits = logits(&what, load(&file).unwrap(), &golden);
            let mut folder: BTreeMap<String, Vec<u8>> = [("model.gguf".to_owned(), file)].into();
            let verified = verify(&mut folder, "model.gguf", &mut checkpoint.files(), &mut |_, _| Ok(())).unwrap();
            assert!(verified.passed(), "{what}: {:#?}", verified.findings);
            runs.push((what, logits));
        }
    }
    assert!(written.len() == 7 && written.values().all(|&tensors| tensors > 0), "{written:?}");
    browser_equals_native(&runs);
}

/// Natively: leaves the logits for the browser to find.
#[cfg(not(target_arch = "wasm32"))]
fn browser_equals_native(runs: &[(String, Vec<f32>)]) {
    let json = serde_json::to_vec(runs).unwrap();
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/native-logits.json"), json).unwrap();
}

/// In the browser: compares with what the native run left, which is therefore needed to build this.
#[cfg(target_arch = "wasm32")]
fn browser_equals_native(runs: &[(String, Vec<f32>)]) {
    let json = include_bytes!(concat!(env!("CARGO_TARGET_TMPDIR"), "/../../tmp/native-logits.json"));
    let native_runs: Vec<(String, Vec<f32>)> = serde_json::from_slice(json).unwrap();
    assert_eq!(runs.len(), native_runs.len());
    for ((what, logits), (native_what, native_logits)) in runs.iter().zip(&native_runs) {
        assert_eq!((what, logits.len()), (native_what, native_logits.len()));
        let tolerance = 1e-5 * deviation(native_logits);
        for (at, (logit, native)) in logits.iter().zip(native_logits).enumerate() {
            assert!((logit - native).abs() <= tolerance, "{what}: logit {at} is {logit}, natively {native}");
        }
    }
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
fn cached_passes_match_transformers() {
    each_model(|name, model, golden| {
        let mut model = model.transformer;
        let count = golden.tokens.len();
        let unit = match golden.attention {
            Attention::Block { size } => size,
            Attention::Causal | Attention::Full => 1,
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

/// What mode `speculative` rests on: verifying a window gives the bits of decoding it token by
/// token.
#[test]
fn a_causal_pass_of_many_rows_has_the_bits_of_passes_of_one() {
    each_model(|name, model, golden| {
        let mut model = model.transformer;
        let mut run = |chunk: usize| {
            model.truncate(0);
            let mut logits = Vec::new();
            for tokens in golden.tokens.chunks(chunk) {
                let (position, rows) = (model.committed(), (0..tokens.len()).collect::<Vec<_>>());
                let pass = Pass { tokens, position, attention: Attention::Causal, commit: true, logits: &rows };
                logits.extend(model.forward(&pass).unwrap().iter().map(|logit| logit.to_bits()));
            }
            logits
        };
        let one = run(1);
        for chunk in [2, 3, 5, 8, golden.tokens.len()] {
            assert_eq!(run(chunk), one, "{name} in passes of {chunk}");
        }
    });
}

#[test]
fn rows_that_nobody_asks_for_change_nothing() {
    each_model(|name, model, golden| {
        let mut model = model.transformer;
        let vocab = model.vocab_size();
        let tokens = &golden.tokens[..16];
        let mut run = |logits: &[usize]| {
            model.truncate(0);
            let pass = Pass { tokens, position: 0, attention: golden.attention, commit: true, logits };
            let first = model.forward(&pass).unwrap().to_vec();
            // A pass that sees what the first one stored.
            let next = Pass { tokens: &golden.tokens[16..24], position: 16, logits: &[7], ..pass };
            (first, model.forward(&next).unwrap().to_vec())
        };
        let (all, next) = run(&(0..16).collect::<Vec<_>>());
        for asked in [[].as_slice(), &[15], &[0, 3, 4, 9, 10, 11]] {
            let expected: Vec<f32> = asked.iter().flat_map(|row| &all[row * vocab..][..vocab]).copied().collect();
            assert_eq!(run(asked), (expected, next.clone()), "{name} {asked:?}");
        }
    });
}

/// Fast-dLLM's dual cache: with nothing changed, recomputing part of an uncommitted block gives
/// what the whole block gave.
#[test]
fn part_of_an_uncommitted_block_sees_the_rest_of_it() {
    each_model(|name, model, golden| {
        let mut model = model.transformer;
        pass(&mut model, golden, name, (0, 8), true);
        pass(&mut model, golden, name, (8, 16), false);
        pass(&mut model, golden, &format!("{name} again in part"), (12, 14), false);
        pass(&mut model, golden, name, (8, 16), true);
    });
}
