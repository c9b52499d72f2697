//! What a model is, whether and how it runs, and what is wrong with it.
//!
//! [`model`] answers for GGUF files, [`checkpoint`] for a checkpoint before it is converted. Both
//! say whether it is a diffusion model, with which mask token and block size, and which decode
//! modes make sense; both list [`Finding`](crate::findings::Finding)s. Most can be told from
//! headers (`header`); whether ternary layers are what training made of them only from their bytes
//! (`weights`). Nothing here touches a disk: bytes come through [`Files`].

#![forbid(unsafe_code)]

mod header;
mod report;
mod weights;

pub use report::{Report, Tensor, TypeSummary};

use crate::convert::{self, ConvertOptions, Plan};
use crate::error::Result;
use crate::files::{Files, ModelFiles};

/// Inspects the GGUF file `name`, or the split model that it is a file of: headers, and the bytes
/// of ternary tensors, one at a time. Before and after each of these `progress` is told how many
/// bytes of how many have been read; what it returns as an error ends the inspection.
///
/// # Errors
///
/// What is wrong with a file so that nothing can be said about it; everything else is in the
/// report.
pub fn model(files: &mut dyn Files, name: &str, progress: &mut dyn FnMut(u64, u64) -> Result<()>) -> Result<Report> {
    let mut files = ModelFiles::open(files, name)?;
    let mut report = Report::new(files.headers())?;
    weights::look(&mut files, &mut report, progress)?;
    Ok(report)
}

/// Inspects a checkpoint: what [`crate::convert`] would make of it with these options. Weights are
/// read of the first layer only.
///
/// # Errors
///
/// Why it cannot be converted.
pub fn checkpoint(files: &mut dyn Files, options: &ConvertOptions) -> Result<convert::Report> {
    let mut plan = Plan::new(files, options)?;
    plan.sample(files)?;
    Ok(plan.report().clone())
}
