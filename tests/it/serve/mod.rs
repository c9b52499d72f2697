//! `webtern serve`, as clients see it: answers, refusals, and what it does when it is overloaded,
//! left or stopped.

mod answers;
mod load;
mod protection;
mod scheduling;
pub(crate) mod server;

use serde_json::{Value, json};

/// A question that the embedded model answers in a few tokens.
fn question(text: &str) -> Value {
    json!({ "messages": [{ "role": "user", "content": text }], "max_tokens": 64 })
}

/// `body` with more keys.
fn with(mut body: Value, more: &Value) -> Value {
    let (Some(all), Some(more)) = (body.as_object_mut(), more.as_object()) else { panic!("not objects") };
    all.extend(more.clone());
    body
}

/// A request that keeps one session busy for many seconds: end tokens are forbidden, so every
/// choice goes to its limit.
fn endless(server: &server::Server) -> Value {
    let text = "<|im_end|><|endoftext|><|im_start|>";
    let ids = server.answer("/tokenize", &json!({ "content": text }))["tokens"].clone();
    let bias =
        ids.as_array().unwrap().iter().map(|id| (id.to_string(), json!(-100))).collect::<serde_json::Map<_, _>>();
    json!({ "prompt": "What is 1 + 1?", "n": 128, "max_tokens": 400, "mode": "ar", "logit_bias": bias })
}
