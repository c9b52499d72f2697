//! `webtern logits`: one row per position.

use crate::args::LogitsArgs;
use crate::load;
use crate::output::line;
use webtern::Result;
use webtern::decode::AttentionKind;

/// Largest logits shown per position without `--json`.
const SHOWN: usize = 5;

pub(crate) fn run(args: &LogitsArgs, json: bool) -> Result<()> {
    let options = args.model.options()?;
    let attention = options.diffusion.attention.unwrap_or(AttentionKind::Causal);
    let mut engine = load::engine(&args.model.model, &options)?;
    let mut rows: Vec<Vec<f32>> = Vec::new();
    engine.logits(&args.tokens, attention, |row| rows.push(row.to_vec()))?;
    if json {
        return line(serde_json::json!({ "logits": rows }));
    }
    for (position, row) in rows.iter().enumerate() {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
        let best: Vec<String> = order.iter().take(SHOWN).map(|&id| format!("{id} {:.4}", row[id])).collect();
        line(format_args!("{position}\t{}", best.join("\t")))?;
    }
    Ok(())
}
