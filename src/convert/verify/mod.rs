//! Whether a file computes what its checkpoint does.
//!
//! Every matrix is multiplied with a random vector twice ([`product`]): with its weights as the
//! file decodes, and as the checkpoint defines them. Vectors have to be equal. So have names and
//! shapes, with nothing missing and nothing added, the metadata that both sides have, and the token
//! ids of texts of every kind ([`tokenizer`]). Ternary tensors are looked at as in an inspection.

#![forbid(unsafe_code)]

mod product;
mod tokenizer;

pub use product::Product;
pub use tokenizer::TokenizerCheck;

use super::options::{ConvertOptions, Scales, SubLn};
use super::plan::{Output, Plan, Recipe};
use super::weights::{floats, groups, ternary};
use crate::error::Result;
use crate::files::{Files, ModelFiles};
use crate::findings::weights::TernaryLayers;
use crate::findings::{Finding, Severity, add};
use crate::gguf::split::Part;
use crate::gguf::{Header, Metadata, TensorInfo, Value};
use crate::model::check_headers;
use crate::quant::{self, TernaryStats};
use crate::tensor::try_zeroed;
use serde::Serialize;

/// What to do about most of what is found.
const CONVERT_AGAIN: &str = "convert the checkpoint again";

/// What a comparison found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Every matrix of the file.
    pub matrices: Vec<Product>,
    /// Vectors that were compared.
    pub vectors: usize,
    /// How the tokenizers compare.
    pub tokenizer: TokenizerCheck,
    /// What is wrong with the file, and what is odd about it, the worst first.
    pub findings: Vec<Finding>,
}

impl Verification {
    /// Whether nothing is wrong with the file.
    pub fn passed(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Problem)
    }
}

/// Compares the GGUF file `name` of `files`, or the split model that it is a file of, with the
/// checkpoint it was made from. After each tensor `progress` is told how many bytes of how many
/// have been compared; what it returns as an error ends the comparison.
///
/// # Errors
///
/// Those of reading either; what differs is in the result.
pub fn verify(
    files: &mut dyn Files,
    name: &str,
    checkpoint: &mut dyn Files,
    progress: &mut dyn FnMut(u64, u64) -> Result<()>,
) -> Result<Verification> {
    let mut file = ModelFiles::open(files, name)?;
    let headers: Vec<&Header> = file.headers().iter().map(|(header, _)| header).collect();
    for (no, header) in headers.iter().enumerate() {
        Part::of(header)?.expect(no as u32, headers.len() as u32)?;
    }
    check_headers(&headers)?;
    let metadata = headers[0].metadata.clone();
    let tensors: Vec<TensorInfo> = file.tensors().cloned().collect();
    let plan = Plan::new(checkpoint, &options(&mut file, &tensors)?)?;

    // File and checkpoint cannot tell whether somebody asked for it.
    let mut findings: Vec<Finding> =
        plan.report.findings.iter().filter(|finding| finding.code == "sub-norms-dropped").cloned().collect();
    compare_metadata(&metadata, &plan, &mut findings)?;
    for info in &tensors {
        if !plan.outputs.iter().any(|output| output.spec.name == info.name) {
            let message = "the file has a tensor that the checkpoint does not";
            add(&mut findings, Finding::problem("extra-tensor", message).remedy(CONVERT_AGAIN).about(&info.name));
        }
    }
    let (tokenizer, differences) = tokenizer::check(&metadata, &plan.metadata, checkpoint)?;
    differences.into_iter().for_each(|finding| add(&mut findings, finding));

    let mut comparison = Comparison { file, checkpoint, matrices: Vec::new(), vectors: 0, findings };
    let (mut done, total) = (0, tensors.iter().map(|info| info.bytes).sum());
    let grouped = plan.outputs.iter().any(|output| matches!(output.recipe, Recipe::Groups(_)));
    let mut layers = if grouped { TernaryLayers::default() } else { TernaryLayers::with_one_scale() };
    // The scale of a layer is part of the product of its matrix.
    for output in plan.outputs.iter().filter(|output| !matches!(output.recipe, Recipe::Scale)) {
        progress(done, total)?;
        let Some(info) = tensors.iter().find(|info| info.name == output.spec.name) else {
            let message = "the file lacks a tensor of the checkpoint";
            let finding = Finding::problem("missing-tensor", message).remedy(CONVERT_AGAIN);
            add(&mut comparison.findings, finding.about(&output.spec.name));
            continue;
        };
        comparison.tensor(info, output, &mut layers)?;
        done += info.bytes;
    }
    progress(total, total)?;
    let Comparison { matrices, vectors, mut findings, .. } = comparison;
    layers.finish().into_iter().for_each(|finding| add(&mut findings, finding));
    Ok(Verification { matrices, vectors, tokenizer, findings })
}

/// How the file must have been converted.
fn options(file: &mut ModelFiles<'_>, tensors: &[TensorInfo]) -> Result<ConvertOptions> {
    let has = |part: &str| tensors.iter().any(|info| info.name.contains(part));
    let drop_sub_norms = !has("_sub_norm.") && !has("_norm_in.");
    let mut ternarize = tensors.iter().any(|info| info.ty.is_ternary());
    if let Some(info) = tensors.iter().find(|info| info.name == "blk.0.attn_q.weight") {
        let bytes = file.read(&info.name)?;
        if info.ty.is_ternary() {
            // Scales for groups are never made from master weights.
            ternarize = !TernaryStats::new(info.ty, &bytes)?.is_grouped();
        } else if !ternarize {
            let weights = decoded(info, &bytes)?;
            ternarize = quant::detect_ternary(&weights).is_some_and(|ternary| ternary.scale != 0.0);
        }
    }
    let scales = if tensors.iter().any(|info| info.name.ends_with(".scale")) { Scales::F32 } else { Scales::F16 };
    let subln = if drop_sub_norms { SubLn::Drop } else { SubLn::Keep };
    Ok(ConvertOptions { subln, ternarize, scales, ..ConvertOptions::default() })
}

/// The architecture, and what both sides say about the model's shape.
fn compare_metadata(metadata: &Metadata, plan: &Plan, findings: &mut Vec<Finding>) -> Result<()> {
    let (architecture, expected) = (metadata.require_string("general.architecture")?, plan.report.architecture);
    if architecture != expected {
        let message = format!("the architecture is {architecture}, but this checkpoint becomes {expected}");
        add(findings, Finding::problem("architecture", message).remedy(CONVERT_AGAIN));
        return Ok(());
    }
    let own = format!("{architecture}.");
    for (key, expected) in plan.metadata.iter().filter(|(key, _)| key.starts_with(&own)) {
        let same = |value: &&Value| *value == expected || value.float().is_some_and(|x| Some(x) == expected.float());
        if let Some(value) = metadata.get(key).filter(|value| !same(value)) {
            let message =
                format!("the metadata key {key} is {}, but the checkpoint says {}", shown(value), shown(expected));
            add(findings, Finding::problem("metadata", message).remedy(CONVERT_AGAIN));
        }
    }
    Ok(())
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        other => other.found(),
    }
}

struct Comparison<'a> {
    file: ModelFiles<'a>,
    checkpoint: &'a mut dyn Files,
    matrices: Vec<Product>,
    vectors: usize,
    findings: Vec<Finding>,
}

impl Comparison<'_> {
    fn problem(&mut self, code: &'static str, message: String, info: &TensorInfo) {
        add(&mut self.findings, Finding::problem(code, message).remedy(CONVERT_AGAIN).about(&info.name));
    }

    /// Compares one tensor.
    fn tensor(&mut self, info: &TensorInfo, output: &Output, layers: &mut TernaryLayers) -> Result<()> {
        if info.dims != output.spec.dims {
            let message = format!("it has dimensions {:?}, but in the checkpoint {:?}", info.dims, output.spec.dims);
            self.problem("shape", message, info);
            return Ok(());
        }
        let bytes = self.file.read(&info.name)?;
        let expected = expected_weights(self.checkpoint, output)?;
        let scale = self.file.output_scale(&info.name)?;
        let census = if info.ty.is_ternary() { Some(TernaryStats::new(info.ty, &bytes)?.times(scale)) } else { None };
        if let Some(census) = &census {
            let grouped = matches!(output.recipe, Recipe::Groups(_));
            layers.look(&info.name, census);
            if !grouped && (census.scale().is_none() || census.unused > 0) {
                self.problem("not-ternary", format!("it is {}, but not ternary with one scale", info.ty), info);
            }
        }
        let mut weights = decoded(info, &bytes)?;
        weights.iter_mut().for_each(|weight| *weight *= scale);
        if info.dims.len() == 1 {
            self.vectors += 1;
            if weights != expected {
                self.problem("vector", "its values differ from the checkpoint's".into(), info);
            }
            return Ok(());
        }
        let zeros = census.map(|census| census.zero_share());
        let product = Product::new(info, &weights, &expected, zeros);
        if !product.agrees() {
            let message = format!(
                "products with file and checkpoint have the cosine {:.6} and lengths in the ratio {:.4}",
                product.cosine, product.ratio
            );
            self.problem("product", message, info);
        }
        self.matrices.push(product);
        Ok(())
    }
}

/// The weights of a tensor of the file.
fn decoded(info: &TensorInfo, bytes: &[u8]) -> Result<Vec<f32>> {
    let mut weights = try_zeroed((info.rows() * info.cols()) as usize)?;
    quant::check_finite(info.ty, bytes)
        .and_then(|()| quant::dequantize(info.ty, bytes, &mut weights))
        .map_err(|error| error.at(format!("tensor {}", info.name)))?;
    Ok(weights)
}

/// The weights of a tensor as the checkpoint defines them, in the file's order.
fn expected_weights(checkpoint: &mut dyn Files, output: &Output) -> Result<Vec<f32>> {
    match &output.recipe {
        Recipe::Values(values) => Ok(values.clone()),
        Recipe::Float(matrix) => floats(checkpoint, matrix),
        Recipe::BitLinear(matrix, layer) | Recipe::Codes(matrix, layer) => {
            let (weights, _) = ternary(checkpoint, matrix, layer)?;
            Ok(weights.codes.iter().map(|code| weights.scale * (f32::from(*code) - 1.0)).collect())
        }
        Recipe::Groups(matrix) => Ok(groups(checkpoint, matrix)?.weights().collect()),
        Recipe::Scale => Ok(Vec::new()),
    }
}
