//! Whole models from file to text, through the library and through the command line.

use crate::common;
use crate::common::random_model::{RandomModel, SMOLLM2_135M, Shape};
use crate::common::{TOY, answer, byte_tokenizer, engine, fixture, fixture_bytes, header, load, toy};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use webtern::convert::{TokenizerFiles, tokenizer_metadata};
use webtern::decode::{AttentionKind, Event, FinishReason};
use webtern::engine::{Engine, EngineOptions, Request};
use webtern::gguf::{GgmlType, TensorSpec, Writer};

const STORIES: &str = "stories260K.gguf";
const TINY_DLM: &str = "tiny-dlm/tiny-dlm-q2_0.gguf";

/// wllama 3.8.1's continuation of "Once upon a time".
const STORY: &str = ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. \
    She wanted to play with it, but it was too high.\nLily's mom said";

#[test]
fn a_story_matches_wllama() {
    let Some(file) = fixture_bytes(STORIES) else { return };
    let outcome = answer(
        &mut engine(&file),
        json!({ "prompt": "Once upon a time", "mode": "ar", "maxTokens": 64, "temperature": 0 }),
    );
    assert_eq!(outcome.text, STORY);
    assert_eq!((outcome.tokens.len(), outcome.finish_reason), (64, FinishReason::Length));
}

#[cfg(feature = "cli")]
#[test]
fn the_command_line_prints_the_story() {
    let Some(path) = fixture(STORIES) else { return };
    let output = common::webtern()
        .args(["generate", path.to_str().unwrap(), "-p", "Once upon a time"])
        .args(["-n", "64", "--mode", "ar", "--temperature", "0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{STORY}\n"));
}

/// A line of `cases.jsonl`.
#[derive(Deserialize)]
struct Case {
    prompt: String,
    tokens: Vec<u32>,
    /// The ids of a float32 decoder without a cache, by mode.
    out: BTreeMap<String, Vec<u32>>,
}

fn options_of(mode: &str) -> Value {
    match mode {
        "greedy" => json!({ "mode": "greedy", "maxTokens": 96 }),
        "iterative-0.9" => json!({ "mode": "iterative", "threshold": 0.9, "maxTokens": 96 }),
        "adaptive-0.9" => json!({ "mode": "adaptive", "threshold": 0.9, "maxTokens": 96 }),
        "iterative-0.7-sub32" => json!({ "mode": "iterative", "threshold": 0.7, "subBlockSize": 32, "maxTokens": 96 }),
        "ar" => json!({ "mode": "ar", "maxTokens": 48 }),
        other => panic!("cases.jsonl has a mode {other}"),
    }
}

/// A rounding difference can tip the choice between two tokens that are nearly as likely, so one
/// run in 40 may differ.
#[test]
fn diffusion_matches_the_reference_decoder() {
    let (Some(file), Some(cases)) = (fixture_bytes(TINY_DLM), fixture_bytes("tiny-dlm/cases.jsonl")) else { return };
    let cases = String::from_utf8(cases).unwrap();
    let cases: Vec<Case> = cases.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let differences_in = |mode: &str| {
        let mut engine = engine(&file);
        let mut differences = Vec::new();
        for Case { prompt, tokens, out } in &cases {
            let mut request = options_of(mode);
            request["tokens"] = json!(tokens);
            let (expected, got) = (&out[mode], answer(&mut engine, request).tokens);
            if got != *expected {
                differences.push(format!("{prompt:?}, {mode}:\n  expected {expected:?}\n  got      {got:?}\n"));
            }
        }
        differences
    };
    let differences: Vec<String> = std::thread::scope(|scope| {
        let modes: Vec<_> = cases[0].out.keys().map(|mode| scope.spawn(|| differences_in(mode))).collect();
        modes.into_iter().flat_map(|mode| mode.join().unwrap()).collect()
    });
    let runs: usize = cases.iter().map(|case| case.out.len()).sum();
    let summary = format!("{} of {runs} runs differ from the reference\n{}", differences.len(), differences.concat());
    println!("{summary}");
    assert_eq!(runs, 250);
    assert!(differences.len() * 40 <= runs, "{summary}");
}

#[test]
fn chat_turns_that_reuse_the_cache_match_fresh_models() {
    let Some(file) = fixture_bytes(TINY_DLM) else { return };
    for mode in ["ar", "adaptive"] {
        let mut kept = engine(&file);
        let mut messages = Vec::new();
        for question in ["What is 28 - 13?", "Count from 53 to 57.", "What is 12 + 30?", "Count from 1 to 5."] {
            messages.push(json!({ "role": "user", "content": question }));
            let request = json!({ "messages": messages, "mode": mode, "maxTokens": 32 });
            let reused = answer(&mut kept, request.clone());
            let fresh = answer(&mut engine(&file), request);
            assert_eq!(reused.tokens, fresh.tokens, "{mode}: {question}");
            assert_eq!(fresh.stats.reused_tokens, 0);
            let turns = messages.len() / 2;
            assert!(reused.stats.reused_tokens >= turns * 16, "{mode}: {:?} after {turns} turns", reused.stats);
            messages.push(json!({ "role": "assistant", "content": reused.text }));
        }
        // An earlier conversation that shares the beginning only, then one in another mode.
        messages.truncate(2);
        messages.push(json!({ "role": "user", "content": "What is 3 + 4?" }));
        for mode in [mode, "greedy", "ar"] {
            let request = json!({ "messages": messages, "mode": mode, "maxTokens": 32 });
            assert_eq!(answer(&mut kept, request.clone()).tokens, answer(&mut engine(&file), request).tokens, "{mode}");
        }
    }
}

#[test]
fn a_cancelled_run_keeps_its_prefix_and_leaves_no_trace() {
    let file = toy();
    for mode in ["ar", "greedy", "iterative", "adaptive"] {
        let request = json!({ "prompt": "abc", "mode": mode, "maxTokens": 40, "threshold": 1.0 });
        let whole = answer(&mut engine(&file), request.clone());
        let mut engine = engine(&file);
        let parsed = Request::from_json(&request.to_string()).unwrap();
        for passes in 0..6 {
            let mut events = Vec::new();
            engine.start(&parsed).unwrap();
            let more = (0..passes).all(|_| engine.step(&mut events).unwrap());
            if !more {
                break;
            }
            engine.cancel(&mut events);
            let Some(Event::Done { result }) = events.last() else { panic!("{mode}: no end in {events:?}") };
            assert_eq!(result.finish_reason, FinishReason::Abort, "{mode}");
            assert!(whole.tokens.starts_with(&result.tokens) && whole.tokens.len() > result.tokens.len(), "{mode}");
            let told: String = events
                .iter()
                .filter_map(|event| if let Event::Text { text, .. } = event { Some(text.as_str()) } else { None })
                .collect();
            assert_eq!(told, result.text, "{mode}: the events tell the whole text");
            // Nothing is under way now.
            let count = events.len();
            engine.cancel(&mut events);
            assert_eq!(events.len(), count);
            assert!(engine.step(&mut events).is_err());
            assert_eq!(answer(&mut engine, request.clone()).tokens, whole.tokens, "{mode} after {passes} passes");
        }
    }
}

/// Greedy decoding by whole passes over everything so far, without a cache.
fn without_cache(engine: &mut Engine, prompt: &[u32], new: usize) -> Vec<u32> {
    let mut tokens = prompt.to_vec();
    for _ in 0..new {
        let mut last = Vec::new();
        engine.logits(&tokens, AttentionKind::Causal, |row| last = row.to_vec()).unwrap();
        assert!(last.iter().all(|logit| logit.is_finite()));
        let best = (0..last.len()).rev().max_by(|&a, &b| last[a].total_cmp(&last[b])).unwrap();
        tokens.push(best as u32);
    }
    tokens.split_off(prompt.len())
}

/// The smallest and the largest kinds of file that `examples/random_model` writes, with fewer
/// layers.
#[test]
fn models_in_the_shape_of_smollm2_load_and_decode() {
    let Some(folder) = fixture("smollm2-135m-dlm-subln") else { return };
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let (json, tokenizer_config, config) = (read("tokenizer.json"), read("tokenizer_config.json"), read("config.json"));
    let files = TokenizerFiles {
        tokenizer: Some(&json),
        tokenizer_config: Some(&tokenizer_config),
        config: Some(&config),
        ..TokenizerFiles::default()
    };
    let tokenizer = tokenizer_metadata(&files, &mut Vec::new()).unwrap();
    for linear in [GgmlType::Q2_0, GgmlType::Q8_0] {
        let mask_token = Some(16);
        let model = RandomModel {
            shape: Shape { layers: 2, ..SMOLLM2_135M },
            linear,
            grouped: false,
            mask_token,
            unending: true,
            seed: 7,
        };
        let file = model.write(Vec::new(), &tokenizer).unwrap();
        let mut engine = engine(&file);
        let info = engine.info();
        // Embedding, and two layers of attention, feed-forward and norms, and the last norm.
        assert_eq!(
            info.parameters,
            49_152 * 576 + 2 * (2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536 + 2 * 576) + 576
        );
        assert_eq!((info.vocab_size, info.context_length, info.quantization), (49_152, 8192, linear.name()));

        let prompt = engine.tokenizer().encode("Once upon a time", Default::default()).unwrap();
        let expected = without_cache(&mut engine, &prompt, 4);
        let outcome = answer(&mut engine, json!({ "prompt": "Once upon a time", "mode": "ar", "maxTokens": 4 }));
        assert_eq!(outcome.tokens, expected, "{linear}");
        // The model is unending.
        let whole = outcome.finish_reason == FinishReason::Length && !outcome.text.contains('\u{fffd}');
        assert!(whole, "{linear}: {outcome:?}");
        for mode in ["greedy", "iterative", "adaptive"] {
            let request = json!({ "prompt": "Once upon a time", "mode": mode, "maxTokens": 6 });
            let outcome = answer(&mut engine, request);
            assert!(!outcome.tokens.contains(&16), "{linear}, {mode}: a mask token in the answer");
            assert!(
                outcome.tokens.len() == 6 || outcome.finish_reason == FinishReason::Stop,
                "{linear}, {mode}: {outcome:?}"
            );
        }
    }
}

/// `file` cut into `count` files, as `gguf-split` does: the metadata in the first, tensors in
/// order.
fn split(file: &[u8], count: usize) -> Vec<Vec<u8>> {
    let header = header(file);
    let per_file = header.tensors.len().div_ceil(count);
    let parts = header.tensors.chunks(per_file).enumerate().map(|(number, tensors)| {
        let mut metadata = if number == 0 { header.metadata.clone() } else { Default::default() };
        metadata.insert("split.no", number as u16);
        metadata.insert("split.count", count as u16);
        metadata.insert("split.tensors.count", header.tensors.len() as i32);
        let specs: Vec<TensorSpec> = tensors
            .iter()
            .map(|info| TensorSpec { name: info.name.clone(), dims: info.dims.clone(), ty: info.ty })
            .collect();
        let mut writer = Writer::new(Vec::new(), &metadata, &specs).unwrap();
        for info in tensors {
            let start = (header.data_offset + info.offset) as usize;
            writer.write_tensor(&info.name, &file[start..][..info.bytes as usize]).unwrap();
        }
        writer.finish().unwrap()
    });
    parts.collect()
}

#[test]
fn a_split_model_matches_the_whole_one() {
    let file = toy();
    let request = json!({ "prompt": "one two", "maxTokens": 30 });
    let expected = answer(&mut engine(&file), request.clone());
    for count in [2, 3, 5] {
        let parts = split(&file, count);
        assert_eq!(parts.len(), count);
        let mut engine = load(&parts, &EngineOptions::default()).unwrap();
        assert_eq!(engine.info().parameters, common::engine(&file).info().parameters);
        assert_eq!(answer(&mut engine, request.clone()).tokens, expected.tokens, "{count} files");
    }
}

#[cfg(feature = "cli")]
#[test]
fn the_command_line_finds_the_files_of_a_split_model() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("toy.gguf");
    TOY.write(BufWriter::new(File::create(&whole).unwrap()), &byte_tokenizer()).unwrap();
    let file = fs::read(&whole).unwrap();
    let path = |number: usize| folder.path().join(format!("toy-{number:05}-of-00003.gguf"));
    for (number, part) in split(&file, 3).iter().enumerate() {
        fs::write(path(number + 1), part).unwrap();
    }
    let tokens = |path: &std::path::Path| {
        let output =
            common::webtern().arg("generate").arg(path).args(["-p", "one", "-n", "9", "--json"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["tokens"].clone()
    };
    assert_eq!(tokens(&whole), tokens(&path(1)));

    fs::remove_file(path(3)).unwrap();
    let output = common::webtern().arg("generate").arg(path(1)).args(["-p", "one"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("toy-00003-of-00003.gguf"), "{message}");
}
