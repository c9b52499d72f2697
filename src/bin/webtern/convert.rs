//! `webtern convert`: a checkpoint becomes a GGUF file.

use crate::args::ConvertArgs;
use crate::generate::interrupted;
use crate::load;
use crate::output::{diffusion, field, findings, line, percent, shape, table};
use indicatif::{HumanBytes, ProgressBar};
use std::sync::atomic::Ordering;
use webtern::convert::{Dropped, Origin, Plan, Report, TensorReport};
use webtern::files::{Folder, write_whole};
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
    field("written", args.output.display())
}

pub(crate) fn print(report: &Report) -> Result<()> {
    table(report.tensors.iter().map(|tensor| describe(tensor).to_vec()))?;
    line("")?;
    field("architecture", format_args!("{} to {}", report.class, report.architecture))?;
    field("ternary", report.ternary_because.map_or("no".into(), |because| format!("yes: {because}")))?;
    for (place, origin) in origins(report).into_iter().enumerate() {
        field(if place == 0 { "weights" } else { "" }, origin)?;
    }
    if let Some(rule) = report.weight_scale {
        field(
            "weight_scale",
            if rule == "multiply" { "codes are multiplied with it" } else { "codes are divided by it" },
        )?;
    }
    field("sub-norms", report.sub_norms)?;
    field("tokenizer", &report.tokenizer)?;
    field("chat template", if report.chat_template { "in the checkpoint" } else { "none: the usual one is used" })?;
    diffusion(report.diffusion.as_ref(), report.mask_token_text.as_deref(), report.modes)?;
    for Dropped { name, reason } in &report.dropped {
        field("dropped", format_args!("{name} ({reason})"))?;
    }
    field("size", format_args!("{} tensors, {}", report.tensors.len(), HumanBytes(report.bytes)))?;
    findings(&report.findings)
}

fn describe(tensor: &TensorReport) -> [String; 6] {
    let from = tensor.source_type.as_deref().unwrap_or("computed");
    let origin = tensor.origin.filter(|_| tensor.zeros.is_some()).map(|origin| format!("{origin:?}").to_lowercase());
    [
        tensor.name.clone(),
        shape(&tensor.dims),
        from.to_owned(),
        format!("to {}", tensor.ty),
        origin.unwrap_or_default(),
        percent(tensor.zeros),
    ]
}

/// The forms in which the checkpoint holds its layers, those that were read.
fn origins(report: &Report) -> Vec<&'static str> {
    let has = |origin: Origin| {
        report.tensors.iter().any(|tensor| tensor.origin == Some(origin) && tensor.name.starts_with("blk."))
    };
    let forms = [
        (Origin::Master, "full-precision masters, ternarized with one scale a tensor"),
        (Origin::Ternary, "ternary floats, taken as they are"),
        (Origin::Packed, "two-bit codes, unpacked"),
        (Origin::Groups, "ternary floats with a scale for each group of columns, taken as they are"),
        (Origin::Float, "floats, not ternarized"),
    ];
    forms.into_iter().filter(|(origin, _)| has(*origin)).map(|(_, words)| words).collect()
}
