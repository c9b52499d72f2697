//! `webtern inspect`: what a file holds, or what a checkpoint would become, printed.

use crate::args::InspectArgs;
use crate::output::line;
use crate::{convert, load};
use webtern::Result;
use webtern::convert::{Folder, Options, Plan};
use webtern::inspect::{Report, TypeSummary};

pub(crate) fn run(args: &InspectArgs, json: bool) -> Result<()> {
    if args.file.is_dir() {
        let plan = Plan::new(&mut Folder::open(&args.file)?, &Options::default())?;
        return if json { line(serde_json::json!(plan.report())) } else { convert::print(plan.report()) };
    }
    let report = Report::new(&load::headers(&args.file)?)?;
    if json {
        return line(serde_json::json!(report));
    }
    let row = |name: &str, value: String| line(format_args!("{name:<15}{value}"));
    row("name", report.name)?;
    row("architecture", report.architecture)?;
    row("size", format!("{} bytes in {} file(s), {} parameters", report.bytes, report.files, report.parameters))?;
    row("sub-norms", report.sub_norms.to_owned())?;
    row("tokenizer", report.tokenizer)?;
    row("chat template", if report.chat_template { "in the file" } else { "none: the usual one is used" }.to_owned())?;
    let none = || "no usable mask token: autoregressive only".to_owned();
    row("diffusion", report.diffusion.as_ref().map_or_else(none, ToString::to_string))?;
    row("modes", report.modes.join(", "))?;
    for TypeSummary { ty, tensors, weights, bytes } in &report.types {
        row("", format!("{ty:<6} {tensors} tensors, {weights} weights, {bytes} bytes"))?;
    }
    for tensor in &report.tensors {
        line(format_args!("  {:<40} {:<6} {:?}", tensor.name, tensor.ty, tensor.dims))?;
    }
    line(if report.problems.is_empty() { "runs: yes" } else { "runs: no" })?;
    report.problems.iter().try_for_each(|problem| line(format_args!("  {problem}")))
}
