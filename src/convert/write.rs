//! Carrying out a [`Plan`], one tensor at a time.

#![forbid(unsafe_code)]

use super::files::Files;
use super::plan::{Output, Plan, Recipe};
use super::report::{Report, TensorReport};
use super::weights::{Matrix, Origin, encode_floats, ternary};
use crate::error::Result;
use crate::gguf::{GgmlType, TensorSpec, Writer};
use crate::quant::{Ternary, encode_ternary, quantize};
use std::io::Write;

/// Scales that trained weights have. One beyond, whose inverse is not, was likely stored the other way round.
const PLAUSIBLE_SCALES: std::ops::RangeInclusive<f32> = 1e-4..=3.0;

impl Plan {
    /// Writes the file to `out`. `files` are those the plan was made from. After each tensor `progress` is told how many
    /// bytes of tensor data have been written; what it returns as an error ends the conversion.
    ///
    /// At most one tensor is in memory: as floats and encoded.
    ///
    /// # Errors
    ///
    /// `malformed` for NaN or infinite weights, impossible codes and scales; `truncated` and `io` when files cannot be read or
    /// `out` not be written.
    pub fn write(
        mut self,
        files: &mut dyn Files,
        out: impl Write,
        progress: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Report> {
        let specs: Vec<TensorSpec> = self.outputs.iter().map(|output| output.spec.clone()).collect();
        let mut writer = Writer::new(out, &self.metadata, &specs)?;
        let mut written = 0;
        for (output, report) in self.outputs.iter().zip(&mut self.report.tensors) {
            let bytes = encode(files, output, report)?;
            writer.write_tensor(&output.spec.name, &bytes)?;
            written += bytes.len() as u64;
            progress(written)?;
        }
        writer.finish()?;
        self.report.notices.extend(doubtful_scales(&self.report.tensors));
        Ok(self.report)
    }
}

fn encode(files: &mut dyn Files, output: &Output, report: &mut TensorReport) -> Result<Vec<u8>> {
    let TensorSpec { name, ty, dims } = &output.spec;
    let mut bytes = Vec::new();
    match &output.recipe {
        Recipe::Values(values) => quantize(*ty, values, &mut bytes)?,
        Recipe::Float(matrix) => {
            report.origin = (dims.len() > 1).then_some(Origin::Float);
            bytes = encode_floats(files, matrix, *ty)?;
        }
        Recipe::BitLinear(matrix, layer) => {
            let (weights, origin) = ternary(files, matrix, layer)?;
            report.origin = Some(origin);
            report.scale = Some(weights.scale);
            let zeros = weights.codes.iter().filter(|code| **code == 1).count();
            report.zeros = Some(zeros as f64 / weights.codes.len() as f64);
            encode_codes(*ty, matrix, &weights, &mut bytes).map_err(|error| error.at(format!("tensor {name}")))?;
        }
    }
    Ok(bytes)
}

fn encode_codes(ty: GgmlType, matrix: &Matrix, weights: &Ternary, bytes: &mut Vec<u8>) -> Result<()> {
    if ty.is_ternary() {
        return encode_ternary(ty, weights, matrix.cols, bytes);
    }
    let mut row = Vec::with_capacity(matrix.cols);
    for codes in weights.codes.chunks_exact(matrix.cols) {
        row.clear();
        row.extend(codes.iter().map(|code| weights.scale * (f32::from(*code) - 1.0)));
        quantize(ty, &row, bytes)?;
    }
    Ok(())
}

fn doubtful_scales(tensors: &[TensorReport]) -> Option<String> {
    let doubtful = |scale: f32| scale != 0.0 && !PLAUSIBLE_SCALES.contains(&scale);
    let of = |tensor: &&TensorReport| tensor.origin == Some(Origin::Packed) && tensor.scale.is_some_and(doubtful);
    let tensor = tensors.iter().find(of)?;
    let scale = tensor.scale?;
    let inverse = if doubtful(1.0 / scale) {
        ""
    } else {
        "; its inverse would not be, so linear_class in config.json may be wrong (autobitlinear multiplies by weight_scale, bitlinear divides)"
    };
    Some(format!("tensor {} has the scale {scale}, which is unusual{inverse}", tensor.name))
}
