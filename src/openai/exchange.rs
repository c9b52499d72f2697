//! One HTTP request answered by one engine, without HTTP: what the page's `model.fetch` does.
//!
//! Like a generation, it runs in steps, so that a worker can listen for messages between forward
//! passes.

#![forbid(unsafe_code)]

use super::answer::{Answer, Generate, Prepared};
use super::error::{ApiError, ApiResult};
use super::frame::Frame;
use super::utilities::{ApplyTemplate, Choose, Detokenize, Tokenize};
use super::{Endpoint, Moment, Service};
use crate::decode::Options;
use crate::engine::Engine;
use crate::tokenizer::EncodeOptions;
use serde_json::{Value, json};

/// The head of a response, and its body as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A status and a body of JSON: the response is complete.
    Json(u16, Value),
    /// A stream of events begins; [`Exchange::step`] makes them.
    Stream,
    /// The answer is being computed; a step ends with it.
    Wait,
}

/// A generation under way.
pub struct Exchange {
    answer: Answer,
    prompts: Vec<Vec<u32>>,
    /// The prompt and the options of each run.
    runs: Vec<(usize, Options)>,
    /// The run under way.
    index: usize,
}

/// What a step brought.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// Events of a stream, as text; more follow.
    More(String),
    /// The end of a stream.
    End(String),
    /// The whole answer.
    Json(u16, Value),
}

impl Exchange {
    /// Begins to answer a request. `path` is that of its URL; what comes before `/v1` does not
    /// matter.
    ///
    /// An error is a [`Reply::Json`], too. Any reply but that comes with an exchange to step.
    pub fn begin(
        engine: &mut Engine,
        service: &Service,
        (method, path, body): (&str, &str, &[u8]),
        moment: Moment,
    ) -> (Reply, Option<Self>) {
        let begun = match route(method, path) {
            Ok(Route::Generate(endpoint)) => Self::generate(engine, service, endpoint, body, moment).map(|exchange| {
                let reply = if exchange.answer.is_streamed() { Reply::Stream } else { Reply::Wait };
                (reply, Some(exchange))
            }),
            Ok(route) => immediate(engine, service, route, path, body).map(|value| (Reply::Json(200, value), None)),
            Err(error) => Err(error),
        };
        begun.unwrap_or_else(|error| (Reply::Json(error.status, error.body()), None))
    }

    fn generate(
        engine: &mut Engine,
        service: &Service,
        endpoint: Endpoint,
        body: &[u8],
        moment: Moment,
    ) -> ApiResult<Self> {
        let mut generate = Generate::read(endpoint, body, service, moment)?;
        let Prepared { prompts, runs } = generate.prepare(engine.frontend())?;
        let (prompt, options) = &runs[0];
        engine.start_tokens(&prompts[*prompt], options)?;
        Ok(Self { answer: generate.answer, prompts, runs, index: 0 })
    }

    /// The events before the first token of a stream.
    pub fn open(&mut self) -> String {
        text(&self.answer.open())
    }

    /// Forward passes, at least one, until `milliseconds` have passed.
    pub fn step(&mut self, engine: &mut Engine, milliseconds: f64) -> Progress {
        match self.advance(engine, milliseconds) {
            Ok((frames, false)) => Progress::More(text(&frames)),
            Ok((mut frames, true)) if self.answer.is_streamed() => {
                frames.extend(self.answer.close());
                Progress::End(text(&frames))
            }
            Ok(_) => Progress::Json(200, self.answer.body()),
            Err(error) if self.answer.is_streamed() => Progress::End(text(&self.answer.fail(&error))),
            Err(error) => Progress::Json(error.status, error.body()),
        }
    }

    /// The frames of some passes, and whether they were the last.
    fn advance(&mut self, engine: &mut Engine, milliseconds: f64) -> ApiResult<(Vec<Frame>, bool)> {
        let mut events = Vec::new();
        let more = engine.run_for(milliseconds, &mut events)?;
        let frames = events.into_iter().flat_map(|event| self.answer.push(self.index, event)).collect();
        if more {
            return Ok((frames, false));
        }
        self.index += 1;
        let Some((prompt, options)) = self.runs.get(self.index) else { return Ok((frames, true)) };
        engine.start_tokens(&self.prompts[*prompt], options)?;
        Ok((frames, false))
    }

    /// Ends the exchange early.
    pub fn cancel(self, engine: &mut Engine) {
        engine.cancel(&mut Vec::new());
    }
}

fn text(frames: &[Frame]) -> String {
    frames.iter().map(Frame::to_sse).collect()
}

enum Route {
    Generate(Endpoint),
    Choose,
    Models,
    Tokenize,
    Detokenize,
    ApplyTemplate,
    Health,
    /// Responses are not stored.
    Stored,
}

fn route(method: &str, path: &str) -> ApiResult<Route> {
    let ends = |end: &str| path.ends_with(end);
    let (allowed, route) = if ends("/chat/completions") {
        ("POST", Route::Generate(Endpoint::Chat))
    } else if ends("/completions") {
        ("POST", Route::Generate(Endpoint::Completions))
    } else if ends("/responses") {
        ("POST", Route::Generate(Endpoint::Responses))
    } else if ends("/choose") {
        ("POST", Route::Choose)
    } else if ends("/tokenize") {
        ("POST", Route::Tokenize)
    } else if ends("/detokenize") {
        ("POST", Route::Detokenize)
    } else if ends("/apply-template") {
        ("POST", Route::ApplyTemplate)
    } else if ends("/models") || path.contains("/models/") {
        ("GET", Route::Models)
    } else if ends("/health") {
        ("GET", Route::Health)
    } else if path.contains("/responses/") {
        (method, Route::Stored)
    } else {
        return Err(ApiError::unknown_path(path));
    };
    if method == allowed { Ok(route) } else { Err(ApiError::wrong_method(method, path)) }
}

/// Answers that need no generation.
fn immediate(engine: &mut Engine, service: &Service, route: Route, path: &str, body: &[u8]) -> ApiResult<Value> {
    match route {
        Route::Generate(_) | Route::Stored => {
            let message = "there is no such response: webtern stores none";
            Err(ApiError { status: 404, code: Some("response_not_found"), ..ApiError::bad_request(message) })
        }
        Route::Choose => {
            let Choose { prompt, options, by_length } = Choose::read(body, service)?;
            let probabilities = engine.choose(&prompt, &options, by_length)?;
            Ok(Choose::answer(service, &probabilities))
        }
        Route::Models => match path.split_once("/models/") {
            Some((_, id)) => service.card(id),
            None => Ok(service.list()),
        },
        Route::Tokenize => {
            let Tokenize { content, add_special, parse_special } = Tokenize::read(body)?;
            let tokens = engine.tokenizer().encode(&content, EncodeOptions { add_special, parse_special })?;
            Ok(Tokenize::answer(&tokens))
        }
        Route::Detokenize => {
            Ok(Detokenize::answer(&engine.tokenizer().decode(&Detokenize::read(body)?.tokens, false)?))
        }
        Route::ApplyTemplate => {
            let ApplyTemplate { messages, args, add_generation_prompt } = ApplyTemplate::read(body)?;
            Ok(ApplyTemplate::answer(&engine.frontend().apply_chat_template(
                &messages,
                &args,
                add_generation_prompt,
            )?))
        }
        Route::Health => Ok(json!({ "status": "ok" })),
    }
}
