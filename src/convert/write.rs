//! Carrying out a [`Plan`], one tensor at a time.

#![forbid(unsafe_code)]

use super::plan::{Output, Plan, Recipe};
use super::report::{Report, TensorReport};
use super::weights::{BitLinear, Matrix, Origin, encode_floats, groups, ternary};
use crate::error::Result;
use crate::files::Files;
use crate::findings;
use crate::findings::weights::TernaryLayers;
use crate::gguf::{GgmlType, TensorSpec, Writer};
use crate::quant::{Ternary, TernaryGroups, TernaryStats, encode_ternary, quantize};
use std::io::Write;

impl Plan {
    /// Reads the weights of the first layer, so that the report says what they are and whether
    /// something is wrong with them.
    ///
    /// # Errors
    ///
    /// Those of [`Plan::write`].
    pub fn sample(&mut self, files: &mut dyn Files) -> Result<()> {
        let mut layers = TernaryLayers::default();
        for (output, report) in self.outputs.iter().zip(&mut self.report.tensors) {
            if !report.name.starts_with("blk.0.") {
                continue;
            }
            match &output.recipe {
                Recipe::BitLinear(matrix, layer) | Recipe::Codes(matrix, layer) => {
                    drop(read_ternary(files, matrix, layer, report, &mut layers)?);
                }
                Recipe::Groups(matrix) => drop(read_groups(files, matrix, report, &mut layers)?),
                Recipe::Float(_) => report.origin = (report.dims.len() > 1).then_some(Origin::Float),
                Recipe::Values(_) | Recipe::Scale => {}
            }
        }
        for finding in layers.finish() {
            findings::add(&mut self.report.findings, finding);
        }
        Ok(())
    }

    /// Writes the file to `out`. `files` are those the plan was made from. After each tensor
    /// `progress` is told how many bytes of tensor data have been written; what it returns as an
    /// error ends the conversion.
    ///
    /// At most one tensor is in memory: as floats and encoded.
    ///
    /// # Errors
    ///
    /// `malformed` for NaN or infinite weights, impossible codes and scales; `truncated` and `io`
    /// when files cannot be read or `out` not be written.
    pub fn write(
        mut self,
        files: &mut dyn Files,
        out: impl Write,
        progress: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Report> {
        let specs: Vec<TensorSpec> = self.outputs.iter().map(|output| output.spec.clone()).collect();
        let mut writer = Writer::new(out, &self.metadata, &specs)?;
        let mut written = 0;
        let mut layers = TernaryLayers::default();
        // Of the layer written last.
        let mut scale = 1.0;
        for (output, report) in self.outputs.iter().zip(&mut self.report.tensors) {
            let bytes = encode(files, output, report, &mut layers, &mut scale)?;
            writer.write_tensor(&output.spec.name, &bytes)?;
            written += bytes.len() as u64;
            progress(written)?;
        }
        writer.finish()?;
        for finding in layers.finish() {
            findings::add(&mut self.report.findings, finding);
        }
        Ok(self.report)
    }
}

fn encode(
    files: &mut dyn Files,
    output: &Output,
    report: &mut TensorReport,
    layers: &mut TernaryLayers,
    scale: &mut f32,
) -> Result<Vec<u8>> {
    let TensorSpec { name, ty, dims } = &output.spec;
    let mut bytes = Vec::new();
    match &output.recipe {
        Recipe::Values(values) => quantize(*ty, values, &mut bytes)?,
        Recipe::Float(matrix) => {
            report.origin = (dims.len() > 1).then_some(Origin::Float);
            bytes = encode_floats(files, matrix, *ty)?;
        }
        Recipe::BitLinear(matrix, layer) => {
            let weights = read_ternary(files, matrix, layer, report, layers)?;
            encode_codes(*ty, matrix, &weights, &mut bytes).map_err(|error| error.at(format!("tensor {name}")))?;
        }
        Recipe::Codes(matrix, layer) => {
            let mut weights = read_ternary(files, matrix, layer, report, layers)?;
            *scale = std::mem::replace(&mut weights.scale, 1.0);
            encode_ternary(*ty, &weights, matrix.cols, &mut bytes)
                .map_err(|error| error.at(format!("tensor {name}")))?;
        }
        Recipe::Scale => quantize(*ty, &[*scale], &mut bytes)?,
        Recipe::Groups(matrix) => {
            let weights = read_groups(files, matrix, report, layers)?;
            weights.encode(*ty, &mut bytes).map_err(|error| error.at(format!("tensor {name}")))?;
        }
    }
    Ok(bytes)
}

/// The weights of a layer that is three-valued in groups, which are noted in `report` and `layers`.
fn read_groups(
    files: &mut dyn Files,
    matrix: &Matrix,
    report: &mut TensorReport,
    layers: &mut TernaryLayers,
) -> Result<TernaryGroups> {
    let weights = groups(files, matrix)?;
    let stats = TernaryStats::from(&weights);
    layers.look(&report.name, &stats);
    report.origin = Some(Origin::Groups);
    report.group = Some(weights.group);
    report.zeros = Some(stats.zero_share());
    Ok(weights)
}

/// The weights of a BitLinear layer, which are noted in `report` and `layers`.
fn read_ternary(
    files: &mut dyn Files,
    matrix: &Matrix,
    layer: &BitLinear,
    report: &mut TensorReport,
    layers: &mut TernaryLayers,
) -> Result<Ternary> {
    let (weights, origin) = ternary(files, matrix, layer)?;
    let census = TernaryStats::from(&weights);
    layers.look(&report.name, &census);
    report.origin = Some(origin);
    report.scale = Some(weights.scale);
    report.zeros = Some(census.zero_share());
    Ok(weights)
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
