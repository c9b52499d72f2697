//! `webtern inspect`: what a file holds, or what a checkpoint would become, printed.

use crate::args::{InspectArgs, folder_name};
use crate::model::Model;
use crate::output::{count, diffusion, field, findings, line, percent, shape, table};
use crate::{convert, load};
use indicatif::{HumanBytes, HumanCount, ProgressBar};
use webtern::Result;
use webtern::convert::ConvertOptions;
use webtern::files::Folder;
use webtern::inspect::{Report, TypeSummary, checkpoint, model};

pub(crate) fn run(args: &InspectArgs, json: bool) -> Result<()> {
    if let Model::File(path) = &args.model
        && path.is_dir()
    {
        let options = ConvertOptions { name: folder_name(path), ..ConvertOptions::default() };
        let report = checkpoint(&mut Folder::open(path)?, &options)?;
        return if json { line(serde_json::json!(report)) } else { convert::print(&report) };
    }
    let (mut files, name) = args.model.files()?;
    let bar = if json { ProgressBar::hidden() } else { load::bar("inspecting", 0) };
    let report = model(&mut *files, &name, &mut |read, total| {
        bar.set_length(total);
        bar.set_position(read);
        Ok(())
    });
    bar.finish_and_clear();
    let report = report?;
    if json { line(serde_json::json!(report)) } else { print(&report) }
}

fn print(report: &Report) -> Result<()> {
    let rows = report.tensors.iter().map(|tensor| {
        let scale = tensor.scale.map_or_else(String::new, |scale| format!("scale {scale}"));
        vec![tensor.name.clone(), shape(&tensor.dims), tensor.ty.into(), scale, percent(tensor.zeros)]
    });
    table(rows)?;
    line("")?;
    field("name", &report.name)?;
    field("architecture", &report.architecture)?;
    let (bytes, files, weights) =
        (HumanBytes(report.bytes), count(report.files, "file"), HumanCount(report.parameters));
    field("size", format_args!("{bytes} in {files}, {weights} weights"))?;
    for (place, TypeSummary { ty, tensors, weights, bytes }) in report.types.iter().enumerate() {
        let (tensors, weights, bytes) = (count(*tensors, "tensor"), HumanCount(*weights), HumanBytes(*bytes));
        let text = format!("{ty:<6} {tensors}, {weights} weights, {bytes}");
        field(if place == 0 { "types" } else { "" }, text)?;
    }
    field("sub-norms", report.sub_norms)?;
    field("tokenizer", &report.tokenizer)?;
    field("chat template", if report.chat_template { "in the file" } else { "none: the usual one is used" })?;
    diffusion(report.diffusion.as_ref(), report.mask_token_text.as_deref(), report.modes)?;
    findings(&report.findings)?;
    line(if report.runs { "runs: yes" } else { "runs: no" })
}
