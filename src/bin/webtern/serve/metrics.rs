//! What `/metrics` shows, in Prometheus' text format.

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};
use webtern::decode::Stats;

/// Seconds to the first token.
const FIRST_TOKEN: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// How a request leaves the model.
const ENDS: [&str; 4] = ["finished", "left", "stalled", "failed"];

pub(super) struct Metrics {
    registry: Registry,
    pub(super) requests: IntCounterVec,
    pub(super) jobs: IntCounterVec,
    pub(super) time_to_first_token: Histogram,
    prompt_tokens: IntCounter,
    cached_tokens: IntCounter,
    new_tokens: IntCounter,
    passes: IntCounter,
    tokens_per_second: Gauge,
    tokens_per_pass: Gauge,
    running: IntGauge,
    queue: IntGauge,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| register(&registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| register(&registry, Gauge::new(name, help));
        let level = |name: &str, help: &str| register(&registry, IntGauge::new(name, help));
        let labelled = |name: &str, help: &str, label: &str| {
            register(&registry, IntCounterVec::new(Opts::new(name, help), &[label]))
        };
        let first_token = HistogramOpts::new(
            "webtern_time_to_first_token_seconds",
            "From the arrival of a request to its first text.",
        );
        let jobs = labelled(
            "webtern_jobs_total",
            "Requests for text that left the model, by how: finished, left, stalled, failed.",
            "end",
        );
        // From the beginning, so that a rate is known when the first one comes.
        ENDS.iter().for_each(|end| jobs.with_label_values(&[end]).reset());
        Self {
            requests: labelled("webtern_requests_total", "Responses, by HTTP status.", "status"),
            jobs,
            time_to_first_token: register(&registry, Histogram::with_opts(first_token.buckets(FIRST_TOKEN.to_vec()))),
            prompt_tokens: counter(
                "webtern_prompt_tokens_total",
                "Tokens of prompts, those found in a cache included.",
            ),
            cached_tokens: counter("webtern_cached_tokens_total", "Tokens of prompts that were found in a cache."),
            new_tokens: counter("webtern_generated_tokens_total", "Tokens of answers."),
            passes: counter("webtern_passes_total", "Forward passes that were neither prefill nor commit."),
            tokens_per_second: gauge("webtern_tokens_per_second", "Speed of the last answer."),
            tokens_per_pass: gauge("webtern_tokens_per_pass", "Tokens a pass of the last answer."),
            running: level("webtern_requests_running", "Requests that the model works on."),
            queue: level("webtern_queue_requests", "Requests that wait for a session."),
            registry,
        }
    }

    /// Counts an answer.
    pub(super) fn count(&self, stats: &Stats) {
        self.prompt_tokens.inc_by(stats.prompt_tokens as u64);
        self.cached_tokens.inc_by(stats.reused_tokens as u64);
        self.new_tokens.inc_by(stats.new_tokens as u64);
        self.passes.inc_by(stats.passes as u64);
        self.tokens_per_second.set(stats.tokens_per_second);
        if stats.passes > 0 {
            self.tokens_per_pass.set(stats.new_tokens as f64 / stats.passes as f64);
        }
    }

    /// All of it as text, with what runs and waits now.
    pub(super) fn text(&self, running: usize, waiting: usize) -> Vec<u8> {
        self.running.set(running as i64);
        self.queue.set(waiting as i64);
        let mut text = Vec::new();
        // Writing to memory does not fail, and the families are those registered above.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }
}

/// The names above are valid and different.
fn register<T: prometheus::core::Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<T>) -> T {
    let metric = metric.expect("a valid metric");
    registry.register(Box::new(metric.clone())).expect("a new metric");
    metric
}
