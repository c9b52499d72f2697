//! The model in `models/tiny`: that it answers, and that every type which holds ternary weights is
//! the same model.

use crate::common::{answer, engine, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use webtern::gguf::{GgmlType, TensorSpec, Writer};
use webtern::quant::{dequantize, quantize};

const TINY: &[u8] = include_bytes!("../../models/tiny/tiny.gguf");

/// A line of `eval.jsonl`.
#[derive(Deserialize)]
struct Case {
    task: String,
    messages: Value,
    answer: String,
}

/// Every `step`th held-out case.
fn cases(step: usize) -> Vec<Case> {
    let all = include_str!("../../models/tiny/eval.jsonl").lines();
    all.step_by(step).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn request(case: &Case, mode: &str) -> Value {
    json!({ "messages": case.messages, "mode": mode, "threshold": 0.9, "maxTokens": 128 })
}

/// `make eval` asks all 1284: these are one in five.
#[test]
fn it_answers_what_it_was_never_asked() {
    let cases = cases(5);
    for mode in ["ar", "adaptive"] {
        let mut engine = engine(TINY);
        let (mut right, mut tasks) = (0, BTreeMap::<&str, (usize, usize)>::new());
        let (mut tokens, mut passes) = (0, 0);
        for case in &cases {
            let outcome = answer(&mut engine, request(case, mode));
            let correct = outcome.text.trim() == case.answer;
            let task = tasks.entry(&case.task).or_default();
            *task = (task.0 + usize::from(correct), task.1 + 1);
            right += usize::from(correct);
            tokens += outcome.tokens.len();
            passes += outcome.stats.passes;
        }
        println!("{mode}: {right} of {}, {tokens} tokens in {passes} passes, {tasks:?}", cases.len());
        assert!(right * 100 >= cases.len() * 95, "{mode}: {tasks:?}");
        assert!(tasks.values().all(|(right, all)| right * 100 >= all * 80), "{mode}: {tasks:?}");
        assert!(mode == "ar" || tokens >= passes * 3, "{tokens} tokens in {passes} passes");
    }
}

#[test]
fn any_ternary_type_gives_the_same_tokens() {
    let cases = cases(40);
    let answers = |file: &[u8]| {
        let mut engine = engine(file);
        let mut tokens = Vec::new();
        for (case, mode) in cases.iter().flat_map(|case| [(case, "ar"), (case, "adaptive")]) {
            tokens.push(answer(&mut engine, request(case, mode)).tokens);
        }
        tokens
    };
    let expected = answers(TINY);
    for ty in [GgmlType::Tq1_0, GgmlType::Tq2_0, GgmlType::I2S, GgmlType::F16] {
        assert_eq!(answers(&with_linear(ty)), expected, "{ty}");
    }
}

/// The file with its ternary weights in another type.
fn with_linear(ty: GgmlType) -> Vec<u8> {
    let header = header(TINY);
    let specs: Vec<TensorSpec> = header
        .tensors
        .iter()
        .map(|tensor| TensorSpec {
            name: tensor.name.clone(),
            dims: tensor.dims.to_vec(),
            ty: if tensor.ty == GgmlType::Q2_0 { ty } else { tensor.ty },
        })
        .collect();
    assert!(specs.iter().any(|spec| spec.ty == ty));
    let mut writer = Writer::new(Vec::new(), &header.metadata, &specs).unwrap();
    for (tensor, spec) in header.tensors.iter().zip(&specs) {
        let start = (header.data_offset + tensor.offset) as usize;
        let bytes = &TINY[start..start + tensor.bytes as usize];
        if spec.ty == tensor.ty {
            writer.write_tensor(&spec.name, bytes).unwrap();
            continue;
        }
        let mut values = vec![0.0; (tensor.rows() * tensor.cols()) as usize];
        dequantize(tensor.ty, bytes, &mut values).unwrap();
        let mut retyped = Vec::new();
        quantize(ty, &values, &mut retyped).unwrap();
        writer.write_tensor(&spec.name, &retyped).unwrap();
    }
    writer.finish().unwrap()
}
