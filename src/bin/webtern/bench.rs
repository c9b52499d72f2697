//! `webtern bench`: timings, printed.

use crate::args::BenchArgs;
use crate::load;
use crate::output::line;
use serde::Serialize;
use webtern::model::{Attention, LanguageModel, Pass, Transformer};
use webtern::parallel::pool;
use webtern::{Result, bench};

pub(crate) fn run(args: &BenchArgs, json: bool) -> Result<()> {
    let mut engine = load::engine(&args.model.model, &args.model.options()?)?;
    let runs = args.runs as usize;
    let (kernel, threads) = (engine.info().kernel, pool().threads());
    let passes = passes(engine.reset_transformer(), runs)?;
    let kernels = bench::kernels(runs)?;
    if json {
        return line(serde_json::json!({
            "kernel": kernel, "threads": threads, "runs": runs, "passes": passes, "kernels": kernels
        }));
    }
    line(format_args!("kernel {kernel}, {threads} threads, median of {runs} runs"))?;
    if let Some(text) = break_even(&passes) {
        line(text)?;
    }
    for pass in passes {
        let (name, rows, ms, rate) = (pass.name, pass.rows, pass.ms, pass.rows_per_second);
        line(format_args!("{name:<10} {rows:>4} rows  {ms:>9.2} ms  {rate:>8.1} rows/s"))?;
    }
    for timing in kernels {
        line(format_args!("{:<24} {:>4} rows  {:>8.2} GMAC/s", timing.name, timing.rows, timing.gmacs))?;
    }
    Ok(())
}

/// From how many tokens a pass on blocks beat `ar` here: see docs/diffusion.md.
fn break_even(passes: &[PassTiming]) -> Option<String> {
    let find = |name: &str| passes.iter().find(|pass| pass.name == name);
    let (one, block) = (find("ar")?, find("block")?);
    let (cost, rows) = (block.ms / one.ms, block.rows as f64);
    let text = format!("a pass of {} rows costs as much as {cost:.1} of one row: ", block.rows);
    Some(if cost < rows {
        format!("{text}blocks beat ar from {:.1} tokens a pass on", cost / (1.0 - cost / rows))
    } else {
        format!("{text}blocks cannot beat ar")
    })
}

/// A kind of pass and how long it took.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PassTiming {
    /// What the pass stands for.
    name: &'static str,
    rows: usize,
    /// Median milliseconds.
    ms: f64,
    rows_per_second: f64,
}

/// Times a prefill of 128 rows, and passes of 1, 8 and 32 rows behind 128 committed positions
/// (fewer in a short context).
///
/// # Errors
///
/// What a pass may fail with: `context-full` when there are not two positions.
fn passes(model: &mut Transformer, runs: usize) -> Result<Vec<PassTiming>> {
    let prompt = 128.min(model.context_length() / 2).max(1);
    let tokens: Vec<u32> = (0..prompt as u32).map(|i| i * 97 % model.vocab_size() as u32).collect();
    let mut timings = Vec::new();
    for (name, rows) in [("prefill", prompt), ("ar", 1), ("sub-block", 8.min(prompt)), ("block", 32.min(prompt))] {
        let prefill = name == "prefill";
        model.truncate(0);
        if !prefill {
            let pass = Pass { tokens: &tokens, position: 0, attention: Attention::Causal, commit: true, logits: &[] };
            model.forward(&pass)?;
        }
        let wanted: Vec<usize> = if prefill { vec![rows - 1] } else { (0..rows).collect() };
        let position = model.committed();
        let attention = if rows == 1 || prefill { Attention::Causal } else { Attention::Block { size: 32 } };
        let pass = Pass { tokens: &tokens[..rows], position, attention, commit: false, logits: &wanted };
        let ms = bench::time(runs, || model.forward(&pass).map(drop))?;
        timings.push(PassTiming { name, rows, ms, rows_per_second: rows as f64 / ms * 1e3 });
    }
    model.truncate(0);
    Ok(timings)
}
