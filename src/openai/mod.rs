//! OpenAI's HTTP protocol without the HTTP: bodies of requests in, bodies of answers and events of
//! streams out.
//!
//! ```text
//! body ─▶ Generate::read ─▶ prompts and options ─▶ an engine, elsewhere
//!                     └───▶ Answer ◀── decode events, as they come
//!                            ├─▶ Answer::push  frames of a stream
//!                            └─▶ Answer::body  the whole answer
//! ```
//!
//! `webtern serve` and the page's `model.fetch` are two faces of this module. Nothing here does
//! I/O, knows the time or draws random numbers: a face passes those in as a [`Moment`].
//!
//! Requests are read strictly (`fields`): a parameter is supported, harmless to ignore, or refused
//! by the name that the client gave it.

#![forbid(unsafe_code)]

mod answer;
mod chat;
mod completions;
mod error;
mod exchange;
mod fields;
mod format;
mod frame;
mod logprobs;
mod messages;
mod reasoning;
mod responses;
mod sampling;
mod tools;
mod utilities;

pub use answer::{Answer, Generate, Prepared};
pub use error::{ApiError, ApiResult};
pub use exchange::{Exchange, Progress, Reply};
pub use frame::Frame;
pub use utilities::{ApplyTemplate, Choose, Detokenize, Tokenize};

use crate::decode::{DiffusionSettings, Mode};
use crate::engine::Engine;
use serde::Deserialize;
use serde_json::{Value, json};

/// What is served, and what requests leave open.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// The id of the model.
    pub model: String,
    /// Other names that requests may give it.
    pub aliases: Vec<String>,
    /// When it was loaded: seconds since 1970-01-01.
    pub created: u64,
    /// The decode mode of requests that name none.
    pub mode: Mode,
    /// The threshold of requests that give none; the model's own when `None`.
    pub threshold: Option<f64>,
    /// Whether the chat template marks reasoning with `<think>`.
    pub reasoning: bool,
    /// How the model is told of tools and calls them.
    tools: tools::Style,
}

impl Service {
    /// A model of this name and nothing else decided.
    fn named(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            aliases: Vec::new(),
            created: 0,
            mode: Mode::Auto,
            threshold: None,
            reasoning: false,
            tools: tools::Style::UNKNOWN,
        }
    }

    /// The model of an engine, where `auto` is resolved for good: equal requests give equal
    /// answers.
    pub fn of(engine: &Engine, model: impl Into<String>, mode: Mode) -> Self {
        let info = engine.info();
        let mode = match mode {
            Mode::Auto => info.diffusion.as_ref().map_or(Mode::Ar, DiffusionSettings::block_mode),
            mode => mode,
        };
        Self {
            aliases: Some(info.name.clone()).filter(|name| !name.is_empty()).into_iter().collect(),
            mode,
            reasoning: engine.frontend().template().marks_reasoning(),
            tools: tools::Style::of(engine.frontend().template()),
            ..Self::named(model)
        }
    }

    fn is_model(&self, name: &str) -> bool {
        self.model == name || self.aliases.iter().any(|alias| alias == name)
    }

    /// The model, as `/v1/models/{id}` shows it.
    ///
    /// # Errors
    ///
    /// 404 for another.
    pub fn card(&self, id: &str) -> ApiResult<Value> {
        if !self.is_model(id) {
            return Err(ApiError::model_not_found(id, &self.model));
        }
        Ok(self.model_object())
    }

    fn model_object(&self) -> Value {
        json!({ "id": self.model, "object": "model", "created": self.created, "owned_by": "webtern" })
    }

    /// The answer of `/v1/models`.
    pub fn list(&self) -> Value {
        json!({ "object": "list", "data": [self.model_object()] })
    }
}

/// What a face adds to a request: things that are not a function of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Moment {
    /// Random: names the answer.
    pub id: u64,
    /// Seconds since 1970-01-01.
    pub created: u64,
    /// Random: the seed of requests that give none.
    pub seed: u64,
}

/// The ways of asking for text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/v1/responses`.
    Responses,
}

#[cfg(test)]
mod tests;
