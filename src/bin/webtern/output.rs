//! Standard output, which may be closed at any time, and the forms in which it is written.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write, stdout};
use webtern::decode::DiffusionSettings;
use webtern::findings::Finding;
use webtern::{Error, ErrorCode, Result};

/// Writes `text` at once. When the reader has gone (`webtern ... | head`), the program ends here,
/// quietly and with success.
pub(crate) fn print(text: impl Display) -> Result<()> {
    let mut out = stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.map_err(|error| failure("standard output", &error)),
    }
}

/// What the system says of a file or stream.
pub(crate) fn failure(place: impl Display, error: &io::Error) -> Error {
    Error::new(ErrorCode::Io, format!("{place}: {error}"))
}

/// As [`print()`], and ends the line.
pub(crate) fn line(text: impl Display) -> Result<()> {
    print(format_args!("{text}\n"))
}

/// A name and its value, aligned with others of the kind.
pub(crate) fn field(name: &str, value: impl Display) -> Result<()> {
    line(format_args!("{name:<15}{value}"))
}

/// Rows of cells, aligned.
pub(crate) fn table(rows: impl Iterator<Item = Vec<String>>) -> Result<()> {
    let rows: Vec<Vec<String>> = rows.collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("  {cell:<width$}"));
        line(cells.collect::<String>().trim_end())?;
    }
    Ok(())
}

/// How many of a thing there are.
pub(crate) fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Dimensions, the fastest first.
pub(crate) fn shape(dims: &[u64]) -> String {
    dims.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ")
}

/// A share of zeros, if there is one.
pub(crate) fn percent(zeros: Option<f64>) -> String {
    zeros.map_or_else(String::new, |zeros| format!("{:.1}% zeros", 100.0 * zeros))
}

/// Whether it is a diffusion model, and what that means.
pub(crate) fn diffusion(info: Option<&DiffusionSettings>, mask: Option<&str>, modes: &[&str]) -> Result<()> {
    match info {
        Some(DiffusionSettings { mask_token, block_size, attention, shift_logits, .. }) => {
            let (mask, attention) = (mask.unwrap_or_default(), attention.as_str());
            let target = if *shift_logits { "the next position" } else { "their own" };
            field(
                "diffusion",
                format_args!(
                    "yes: mask token {mask_token} ({mask}), block size {block_size}, {attention} attention, rows predict {target}"
                ),
            )?;
        }
        None => field("diffusion", "no: there is no usable mask token")?,
    }
    field("modes", modes.join(", "))
}

/// What was found, each with what to do about it.
pub(crate) fn findings(findings: &[Finding]) -> Result<()> {
    for Finding { severity, code, message, remedy, tensors } in findings {
        line(format_args!("\n{}: {message} [{code}]", severity.as_str()))?;
        match tensors.as_slice() {
            [] => {}
            [tensor] => line(format_args!("  tensor {tensor}"))?,
            [tensor, others @ ..] => line(format_args!("  tensor {tensor} and {} more", others.len()))?,
        }
        if let Some(remedy) = remedy {
            line(format_args!("  what to do: {remedy}"))?;
        }
    }
    line("")
}
