//! `webtern convert`: a checkpoint becomes a GGUF file.

use crate::args::ConvertArgs;
use crate::generate::interrupted;
use crate::load;
use crate::output::line;
use indicatif::ProgressBar;
use std::sync::atomic::Ordering;
use webtern::convert::{Folder, Plan, Report, TensorReport, write_whole};
use webtern::{Error, ErrorCode, Result};

pub(crate) fn run(args: &ConvertArgs, json: bool) -> Result<()> {
    let mut folder = Folder::open(&args.checkpoint)?;
    let plan = Plan::new(&mut folder, &args.options())?;
    let stop = interrupted()?;
    let bar = if json { ProgressBar::hidden() } else { load::bar("converting", plan.report().bytes) };
    let mut progress = |written| {
        bar.set_position(written);
        if stop.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorCode::Aborted, "interrupted; no file was left behind"));
        }
        Ok(())
    };
    let written = write_whole(&args.output, |out| plan.write(&mut folder, out, &mut progress));
    bar.finish_and_clear();
    let report = written?;
    if json {
        return line(serde_json::json!(report));
    }
    print(&report)?;
    line(format_args!("{:<15}{}", "written", args.output.display()))
}

pub(crate) fn print(report: &Report) -> Result<()> {
    report.tensors.iter().try_for_each(|tensor| line(describe(tensor)))?;
    let row = |name: &str, value: String| line(format_args!("{name:<15}{value}"));
    row("architecture", format!("{} to {}", report.class, report.architecture))?;
    row("ternary", report.ternary_because.map_or("no".into(), |because| format!("yes: {because}")))?;
    row("sub-norms", report.sub_norms.to_owned())?;
    let none = || "no mask token: autoregressive only".to_owned();
    row("diffusion", report.diffusion.as_ref().map_or_else(none, ToString::to_string))?;
    row("size", format!("{} tensors, {} bytes", report.tensors.len(), report.bytes))?;
    for dropped in &report.dropped {
        row("dropped", format!("{} ({})", dropped.name, dropped.reason))?;
    }
    report.notices.iter().try_for_each(|notice| row("note", notice.clone()))
}

fn describe(tensor: &TensorReport) -> String {
    let from = tensor.source_type.as_deref().unwrap_or("computed");
    let dims = format!("{:?}", tensor.dims);
    let mut text = format!("  {:<34} {dims:<16} {from:>8} to {:<6}", tensor.name, tensor.ty);
    if let (Some(origin), Some(zeros)) = (tensor.origin, tensor.zeros) {
        let origin = format!("{origin:?}").to_lowercase();
        text.push_str(&format!("{origin} weights, {:.0}% zeros", 100.0 * zeros));
    }
    if let Some(fallback) = &tensor.fallback {
        text.push_str(&format!("; {fallback}"));
    }
    text
}
