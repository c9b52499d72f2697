//! Whether a file computes what its checkpoint does: matrix products from both sides.
//!
//! Every matrix is multiplied with a random vector twice: with its weights as the file decodes, and as the checkpoint defines
//! them. Both results have to point the same way (cosine near 1) and be equally long (ratio near 1). A random vector shows rows out
//! of order, a lost scale or a shifted block whatever the weights are. Vectors have to be equal.

#![forbid(unsafe_code)]

use super::files::Files;
use super::options::Options;
use super::plan::{Output, Plan, Recipe};
use super::weights::{floats, ternary};
use crate::error::Result;
use crate::gguf::{Decoder, GgmlType, Header, Limits};
use crate::model::check_headers;
use crate::quant;
use crate::tensor::zeroed_f32;
use rand_pcg::Pcg32;
use rand_pcg::rand_core::Rng as _;
use serde::Serialize;

/// Bytes of a header read at a time.
const CHUNK: u64 = 1 << 20;

/// What a comparison found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Every matrix of the file.
    pub matrices: Vec<Product>,
    /// Vectors that were compared.
    pub vectors: usize,
    /// What is wrong with the file; empty when nothing is.
    pub faults: Vec<String>,
}

/// The products of one matrix with the same vector.
#[derive(Clone, Debug, Serialize)]
pub struct Product {
    /// The tensor's name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: &'static str,
    /// Cosine of the angle between the product from the file and that from the checkpoint.
    pub cosine: f64,
    /// Length of the former over that of the latter.
    pub ratio: f64,
}

/// Compares the GGUF file `name` of `file` with the checkpoint it was made from.
///
/// # Errors
///
/// Those of reading either; what differs is in the result.
pub fn verify(file: &mut dyn Files, name: &str, checkpoint: &mut dyn Files) -> Result<Verification> {
    let header = header(file, name)?;
    check_headers(&[&header])?;
    let has = |part: &str| header.tensors.iter().any(|info| info.name.contains(part));
    let options = Options {
        drop_sub_norms: !has("_sub_norm.") && !has("_norm_in."),
        ternarize: header.tensors.iter().any(|info| info.ty.is_ternary()),
        ..Options::default()
    };
    let plan = Plan::new(checkpoint, &options)?;
    let mut found = Verification { matrices: Vec::new(), vectors: 0, faults: Vec::new() };
    let (architecture, expected) = (header.metadata.require_string("general.architecture")?, plan.report.architecture);
    if architecture != expected {
        found.faults.push(format!("the architecture is {architecture}, but this checkpoint becomes {expected}"));
    }
    for info in &header.tensors {
        if !plan.outputs.iter().any(|output| output.spec.name == info.name) {
            found.faults.push(format!("tensor {} is not in the checkpoint", info.name));
        }
    }
    for output in &plan.outputs {
        let Some((_, info)) = header.tensor(&output.spec.name) else {
            found.faults.push(format!("tensor {} is missing", output.spec.name));
            continue;
        };
        if info.dims != output.spec.dims {
            found
                .faults
                .push(format!("tensor {} has dimensions {:?}, not {:?}", info.name, info.dims, output.spec.dims));
            continue;
        }
        let mut bytes = vec![0; info.bytes as usize];
        file.read_at(name, header.data_offset + info.offset, &mut bytes)?;
        let expected = expected_weights(checkpoint, output)?;
        let mut weights = zeroed_f32(expected.len())?;
        quant::check_finite(info.ty, &bytes)
            .and_then(|()| quant::dequantize(info.ty, &bytes, &mut weights))
            .map_err(|error| error.at(format!("tensor {}", info.name)))?;
        if info.dims.len() == 1 {
            found.vectors += 1;
            if weights != expected {
                found.faults.push(format!("tensor {} differs from the checkpoint", info.name));
            }
            continue;
        }
        if info.ty.is_ternary() && quant::ternary(info.ty, &bytes, weights.len())?.is_none() {
            found.faults.push(format!("tensor {} is {}, but not ternary with one scale", info.name, info.ty));
        }
        let product = compare(&info.name, info.ty, &weights, &expected, info.dims[0] as usize);
        // Four bits lose something; everything else is held to be the same.
        let (least, spread) = if info.ty == GgmlType::Q4_0 { (0.98, 0.1) } else { (0.9999, 0.01) };
        // Written this way round, NaN is a fault.
        if !(product.cosine > least && (product.ratio - 1.0).abs() < spread) {
            found.faults.push(format!(
                "tensor {}: products with file and checkpoint have the cosine {:.6} and lengths in the ratio {:.4}",
                info.name, product.cosine, product.ratio
            ));
        }
        found.matrices.push(product);
    }
    Ok(found)
}

fn header(file: &mut dyn Files, name: &str) -> Result<Header> {
    let size = file.size(name)?;
    let mut decoder = Decoder::new(Limits::default()).with_total_bytes(Some(size));
    let mut buffer = vec![0; CHUNK as usize];
    for at in (0..size).step_by(CHUNK as usize) {
        let bytes = &mut buffer[..CHUNK.min(size - at) as usize];
        file.read_at(name, at, bytes)?;
        if decoder.decode(&mut &bytes[..])?.is_some() {
            break;
        }
    }
    match decoder.header() {
        Some(header) => Ok(header.clone()),
        None => bail!(Truncated, "{name}: the file ends before its header does"),
    }
}

/// The weights of a tensor as the checkpoint defines them, in the file's order.
fn expected_weights(checkpoint: &mut dyn Files, output: &Output) -> Result<Vec<f32>> {
    match &output.recipe {
        Recipe::Values(values) => Ok(values.clone()),
        Recipe::Float(matrix) => floats(checkpoint, matrix),
        Recipe::BitLinear(matrix, layer) => {
            let (weights, _) = ternary(checkpoint, matrix, layer)?;
            Ok(weights.codes.iter().map(|code| weights.scale * (f32::from(*code) - 1.0)).collect())
        }
    }
}

fn compare(name: &str, ty: GgmlType, file: &[f32], checkpoint: &[f32], cols: usize) -> Product {
    let mut random = Pcg32::new(cols as u64, 0);
    let x: Vec<f64> = (0..cols).map(|_| f64::from(random.next_u32()) / f64::from(u32::MAX) - 0.5).collect();
    let times = |row: &[f32]| -> f64 { row.iter().zip(&x).map(|(weight, x)| f64::from(*weight) * x).sum() };
    let (mut both, mut ours, mut theirs) = (0.0, 0.0, 0.0);
    for (file, checkpoint) in file.chunks_exact(cols).zip(checkpoint.chunks_exact(cols)) {
        let (a, b) = (times(file), times(checkpoint));
        both += a * b;
        ours += a * a;
        theirs += b * b;
    }
    // A matrix of zeros has no direction; it is right when both are.
    let (cosine, ratio) = match (ours, theirs) {
        (0.0, 0.0) => (1.0, 1.0),
        _ => (both / (ours * theirs).sqrt(), (ours / theirs).sqrt()),
    };
    Product { name: name.to_owned(), ty: ty.name(), cosine, ratio }
}
