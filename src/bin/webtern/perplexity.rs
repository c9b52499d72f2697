//! `webtern perplexity`: how well a model predicts a text, and how near its predictions are to
//! those of another file of the same model.
//!
//! As in llama.cpp's `llama-perplexity`, the text is cut into windows, each starts with the model's
//! start token, and only the second half of a window is scored, so that every token has context.
//! For a diffusion model, the last block of each window is scored once more with all of it masked.

use crate::args::PerplexityArgs;
use crate::load;
use crate::output::{failure, field, line};
use serde::Serialize;
use webtern::decode::AttentionKind;
use webtern::engine::Engine;
use webtern::tokenizer::EncodeOptions;
use webtern::{Error, ErrorCode, Result};

/// What a text comes to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// Tokens scored.
    tokens: usize,
    /// Positions in a window.
    window: usize,
    /// `exp` of the mean negative log-likelihood of a token, and the standard error of that.
    perplexity: f64,
    perplexity_error: f64,
    /// The same for tokens of a masked block, given what is before it.
    masked_block_perplexity: Option<f64>,
    against: Option<Against>,
}

/// How near another file is. Divergences are of its distributions from those of the first, in nats.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Against {
    perplexity: f64,
    mean_kl: f64,
    kl_p99: f64,
    max_kl: f64,
    /// Share of positions with the same likeliest token.
    same_top: f64,
}

pub(crate) fn run(args: &PerplexityArgs, json: bool) -> Result<()> {
    let text = std::fs::read_to_string(&args.text).map_err(|error| failure(args.text.display(), &error))?;
    let options = args.model.options()?;
    let mut engine = load::engine(&args.model.model, &options)?;
    let mut other = args.against.as_ref().map(|model| load::engine(model, &options)).transpose()?;
    let ids = engine.tokenizer().encode(&text, EncodeOptions { add_special: false, parse_special: false })?;
    if let Some(other) = &other
        && other.info().vocab_size != engine.info().vocab_size
    {
        return Err(Error::new(ErrorCode::BadOption, "the two models have different vocabularies"));
    }
    let window = (args.window as usize).min(engine.info().context_length);
    let windows = Windows::new(&engine, &ids, window)?;
    let bar = load::counter("scoring", windows.chunks.len() as u64);
    let mut scores = Scores::default();
    for tokens in &windows.chunks {
        scores.window(&mut engine, other.as_mut(), tokens)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let report = scores.report(window);
    if json { line(serde_json::json!(report)) } else { print(&report) }
}

/// The windows of a text.
struct Windows {
    chunks: Vec<Vec<u32>>,
}

impl Windows {
    fn new(engine: &Engine, ids: &[u32], window: usize) -> Result<Self> {
        let start = engine.tokenizer().encode("", EncodeOptions { add_special: true, parse_special: false })?;
        let start = start.first().copied();
        let text = window.saturating_sub(usize::from(start.is_some())).max(1);
        let chunks: Vec<Vec<u32>> =
            ids.chunks_exact(text).map(|ids| start.into_iter().chain(ids.iter().copied()).collect()).collect();
        if chunks.is_empty() || window < 4 {
            return Err(Error::new(
                ErrorCode::BadOption,
                format!("the text has {} tokens, less than a window of {window}; see --window", ids.len()),
            ));
        }
        Ok(Self { chunks })
    }
}

#[derive(Default)]
struct Scores {
    /// Negative log-likelihoods.
    nlls: Vec<f64>,
    masked: Vec<f64>,
    other_nlls: Vec<f64>,
    kls: Vec<f64>,
    same_top: usize,
}

impl Scores {
    fn window(&mut self, engine: &mut Engine, other: Option<&mut Engine>, tokens: &[u32]) -> Result<()> {
        let first = tokens.len() / 2;
        // Row i predicts token i + 1.
        let scored = first..tokens.len() - 1;
        let mut rows = Vec::new();
        each_row(engine, tokens, |at, logits| {
            if scored.contains(&at) {
                self.nlls.push(-log_softmax(logits, tokens[at + 1]));
                if other.is_some() {
                    rows.push(logits.to_vec());
                }
            }
        })?;
        if let Some(other) = other {
            each_row(other, tokens, |at, logits| {
                if scored.contains(&at) {
                    let reference = &rows[at - first];
                    self.other_nlls.push(-log_softmax(logits, tokens[at + 1]));
                    self.kls.push(divergence(reference, logits));
                    self.same_top += usize::from(top(reference) == top(logits));
                }
            })?;
        }
        self.masked_block(engine, tokens)
    }

    /// Scores the last whole block of `tokens` with all of it masked.
    fn masked_block(&mut self, engine: &mut Engine, tokens: &[u32]) -> Result<()> {
        let Some(diffusion) = engine.info().diffusion else { return Ok(()) };
        let size = diffusion.block_size;
        let end = tokens.len() / size * size;
        let Some(start) = end.checked_sub(size).filter(|&start| start > 0) else { return Ok(()) };
        let mut masked = tokens[..start].to_vec();
        masked.resize(end, diffusion.mask_token);
        let mut at = 0;
        engine.logits(&masked, diffusion.attention, |logits| {
            if (start - 1..end - 1).contains(&at) {
                self.masked.push(-log_softmax(logits, tokens[at + 1]));
            }
            at += 1;
        })
    }

    fn report(mut self, window: usize) -> Report {
        let (mean, error) = mean(&self.nlls);
        let against = (!self.kls.is_empty()).then(|| {
            self.kls.sort_by(f64::total_cmp);
            let count = self.kls.len();
            Against {
                perplexity: self::mean(&self.other_nlls).0.exp(),
                mean_kl: self::mean(&self.kls).0,
                kl_p99: self.kls[(count * 99 / 100).min(count - 1)],
                max_kl: self.kls[count - 1],
                same_top: self.same_top as f64 / count as f64,
            }
        });
        Report {
            tokens: self.nlls.len(),
            window,
            perplexity: mean.exp(),
            perplexity_error: mean.exp() * error,
            masked_block_perplexity: (!self.masked.is_empty()).then(|| self::mean(&self.masked).0.exp()),
            against,
        }
    }
}

fn each_row(engine: &mut Engine, tokens: &[u32], mut each: impl FnMut(usize, &[f32])) -> Result<()> {
    let mut at = 0;
    engine.logits(tokens, AttentionKind::Causal, |logits| {
        each(at, logits);
        at += 1;
    })
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f64::from(max) + logits.iter().map(|&logit| f64::from(logit - max).exp()).sum::<f64>().ln()
}

fn log_softmax(logits: &[f32], token: u32) -> f64 {
    f64::from(logits[token as usize]) - log_sum_exp(logits)
}

/// Kullback-Leibler divergence of the distribution of `logits` from that of `reference`.
fn divergence(reference: &[f32], logits: &[f32]) -> f64 {
    let (p_sum, q_sum) = (log_sum_exp(reference), log_sum_exp(logits));
    let terms = reference.iter().zip(logits).map(|(&p, &q)| {
        let (p, q) = (f64::from(p) - p_sum, f64::from(q) - q_sum);
        p.exp() * (p - q)
    });
    terms.sum()
}

/// The lowest of the likeliest tokens.
fn top(logits: &[f32]) -> usize {
    (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or_default()
}

/// The mean, and its standard error.
fn mean(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    (mean, (variance / count).sqrt())
}

fn print(report: &Report) -> Result<()> {
    field("tokens", format_args!("{} scored, in windows of {}", report.tokens, report.window))?;
    field("perplexity", format_args!("{:.4} ± {:.4}", report.perplexity, report.perplexity_error))?;
    if let Some(masked) = report.masked_block_perplexity {
        field("masked block", format_args!("{masked:.4}"))?;
    }
    if let Some(Against { perplexity, mean_kl, kl_p99, max_kl, same_top }) = &report.against {
        field("against", format_args!("{perplexity:.4}"))?;
        field("KL", format_args!("{mean_kl:.6} mean, {kl_p99:.6} at 99%, {max_kl:.6} at most"))?;
        field("same top", format_args!("{:.2}%", 100.0 * same_top))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likelihoods_and_divergences_by_their_definitions() {
        let (p, q) = ([0.0f32, 2f32.ln(), 1e3 - 1e3], [0.0f32, 0.0, 0.0]);
        assert!((log_softmax(&p, 1) - 0.5f64.ln()).abs() < 1e-6);
        // Probabilities 1/4, 1/2, 1/4 against thirds.
        let expected = 0.5 * (0.75f64).ln() + 0.5 * (1.5f64).ln();
        assert!((divergence(&p, &q) - expected).abs() < 1e-6);
        assert!(divergence(&p, &p).abs() < 1e-12);
        assert_eq!((top(&p), top(&q)), (1, 0));
        let (mean, error) = mean(&[1.0, 3.0]);
        assert_eq!((mean, error), (2.0, 1.0));
    }
}
