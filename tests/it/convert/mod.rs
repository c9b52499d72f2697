//! The converter against files it did not make: a trained checkpoint with its reference file and
//! outputs, and checkpoints built with the `safetensors` crate whose conversion is computed here by
//! another way.

#![forbid(unsafe_code)]

mod architecture;
mod checkpoint;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod command;
mod diffusion;
mod files;
mod groups;
mod inspection;
mod models;
mod norms;
#[cfg(feature = "cli")]
mod printed;
mod refusals;
mod ternary;
mod verification;

use crate::common;
use crate::common::header;
use checkpoint::{Checkpoint, Format};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use webtern::chat::Message;
use webtern::convert::{
    ConvertOptions, Origin, Plan, Product, Report, Scales, SubLn, TensorReport, TokenizerCheck, Verification, verify,
};
use webtern::decode::{Acceptance, AttentionKind, DiffusionOverrides, Event, Options as DecodeOptions};
use webtern::engine::{Engine, EngineOptions, Prompt, Request};
use webtern::files::{Files, Folder, write_whole};
use webtern::findings::{Finding, Severity};
use webtern::gguf::{GgmlType, Header};
use webtern::{Error, ErrorCode, Result};

/// What loading a model without a chat template notes.
const NO_TEMPLATE: &str = "the model has no chat template: ChatML is assumed for conversations";

type Memory = BTreeMap<String, Vec<u8>>;

fn convert(files: &mut dyn Files, options: &ConvertOptions) -> Result<(Vec<u8>, Report)> {
    let mut file = Vec::new();
    let report = Plan::new(files, options)?.write(files, &mut file, &mut |_| Ok(()))?;
    Ok((file, report))
}

/// The bytes of a tensor.
fn data<'a>(file: &'a [u8], header: &Header, name: &str) -> &'a [u8] {
    let (_, info) = header.tensor(name).unwrap_or_else(|| panic!("no tensor {name}"));
    &file[(header.data_offset + info.offset) as usize..][..info.bytes as usize]
}

/// The weights of a tensor, times the scale beside it.
fn weights(file: &[u8], name: &str) -> Vec<f32> {
    let header = header(file);
    let (_, info) = header.tensor(name).unwrap();
    let mut out = vec![0.0; (info.rows() * info.cols()) as usize];
    webtern::quant::dequantize(info.ty, data(file, &header, name), &mut out).unwrap();
    let scale = name.strip_suffix("weight").map(|layer| format!("{layer}scale"));
    if let Some(scale) = scale.filter(|scale| header.tensor(scale).is_some()) {
        let scale = f32::from_le_bytes(data(file, &header, &scale).try_into().unwrap());
        out.iter_mut().for_each(|weight| *weight *= scale);
    }
    out
}

fn engine(file: &[u8], options: &EngineOptions) -> Engine {
    common::load(&[file], options).unwrap()
}

fn generate(engine: &mut Engine, tokens: &[u32], options: Value) -> Vec<u32> {
    let options: DecodeOptions = serde_json::from_value(options).unwrap();
    engine.start(&Request::new(Prompt::Tokens(tokens.to_vec()), options)).unwrap();
    let mut events = Vec::new();
    while engine.step(&mut events).unwrap() {}
    match events.pop() {
        Some(Event::Done { result }) => result.tokens,
        other => panic!("the last event is {other:?}"),
    }
}

fn tensor<'a>(report: &'a Report, name: &str) -> &'a TensorReport {
    report.tensors.iter().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("no tensor {name}"))
}

/// The finding called `code`.
#[track_caller]
fn find<'a>(findings: &'a [Finding], code: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.code == code).unwrap_or_else(|| panic!("no {code} in {findings:#?}"))
}

/// Row `j half + i` of each head moved to `2 i + j`, spelt as reshape and transpose.
fn permuted(values: &[f32], cols: usize, head_dim: usize) -> Vec<f32> {
    let head = |head: &[f32]| -> Vec<f32> {
        let (first, second) = head.split_at(head.len() / 2);
        first.chunks(cols).zip(second.chunks(cols)).flat_map(|(a, b)| [a, b].concat()).collect()
    };
    values.chunks(head_dim * cols).flat_map(head).collect()
}

/// BitNet's ternarization in f64: codes -1, 0, 1 and the scale.
fn absmean(values: &[f32]) -> (Vec<i8>, f64) {
    let scale = values.iter().map(|value| f64::from(value.abs())).sum::<f64>() / values.len() as f64;
    let code = |value: &f32| (f64::from(*value) / scale).round().clamp(-1.0, 1.0) as i8;
    (values.iter().map(code).collect(), scale)
}

fn assert_ternary(weights: &[f32], codes: &[i8], scale: f64) {
    let expected: Vec<f64> = codes.iter().map(|code| f64::from(*code) * scale).collect();
    assert_eq!(weights.len(), expected.len());
    // Half a step of f16, in which blocks hold a scale.
    let same = |(weight, expected): (&f32, &f64)| (f64::from(*weight) - expected).abs() <= scale / 2048.0;
    assert!(weights.iter().zip(&expected).all(same));
}
