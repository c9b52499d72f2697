//! `webtern bench`: timings, printed.

use crate::args::BenchArgs;
use crate::load;
use crate::output::line;
use webtern::parallel::pool;
use webtern::{Result, bench};

pub(crate) fn run(args: &BenchArgs, json: bool) -> Result<()> {
    let mut engine = load::engine(&args.model.model, &args.model.options(None))?;
    let runs = args.runs as usize;
    let (kernel, threads) = (engine.info().kernel, pool().threads());
    let passes = bench::passes(engine.transformer(), runs)?;
    let kernels = bench::kernels(runs)?;
    if json {
        return line(serde_json::json!({
            "kernel": kernel, "threads": threads, "runs": runs, "passes": passes, "kernels": kernels
        }));
    }
    line(format_args!("kernel {kernel}, {threads} threads, median of {runs} runs"))?;
    for pass in passes {
        let (name, rows, ms, rate) = (pass.name, pass.rows, pass.ms, pass.rows_per_second);
        line(format_args!("{name:<10} {rows:>4} rows  {ms:>9.2} ms  {rate:>8.1} rows/s"))?;
    }
    for timing in kernels {
        line(format_args!("{:<24} {:>4} rows  {:>8.2} GMAC/s", timing.name, timing.rows, timing.gmacs))?;
    }
    Ok(())
}
