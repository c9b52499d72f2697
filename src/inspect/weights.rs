//! Reading the ternary tensors of a file.

#![forbid(unsafe_code)]

use super::report::Report;
use crate::error::Result;
use crate::files::ModelFiles;
use crate::findings::weights::TernaryLayers;
use crate::findings::{Finding, add};
use crate::quant::TernaryStats;

/// Counts what every ternary tensor holds: scales and shares of zeros go into the report, and what
/// is wrong with them.
pub(super) fn look(
    files: &mut ModelFiles<'_>,
    report: &mut Report,
    progress: &mut dyn FnMut(u64, u64) -> Result<()>,
) -> Result<()> {
    let ternary: Vec<_> = files.tensors().cloned().enumerate().filter(|(_, info)| info.ty.is_ternary()).collect();
    let (mut read, total) = (0, ternary.iter().map(|(_, info)| info.bytes).sum());
    let mut layers = TernaryLayers::of(&report.architecture);
    for (place, info) in ternary {
        progress(read, total)?;
        let stats = TernaryStats::new(info.ty, &files.read(&info.name)?)
            .and_then(|stats| Ok(stats.times(files.output_scale(&info.name)?)));
        match stats {
            Ok(census) => {
                let tensor = &mut report.tensors[place];
                (tensor.scale, tensor.zeros) = (census.scale(), Some(census.zero_share()));
                layers.look(&info.name, &census);
            }
            Err(error) => {
                report.runs = false;
                add(&mut report.findings, Finding::from(error).about(&info.name));
            }
        }
        read += info.bytes;
    }
    for finding in layers.finish() {
        add(&mut report.findings, finding);
    }
    progress(read, total)
}
