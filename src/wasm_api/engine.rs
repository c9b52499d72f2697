//! Loading a model and generating with it.

#![forbid(unsafe_code)]

use super::{Result, object, parse, throw};
use crate::Error;
use crate::chat::{Message, TemplateArgs};
use crate::decode::Mode;
use crate::engine::{self, Dialog, EngineLoader, EngineOptions, Request};
use crate::openai::{Exchange, Moment, Progress, Reply, Service};
use crate::tokenizer::EncodeOptions;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use wasm_bindgen::prelude::*;

/// Takes the bytes of a model, file by file.
#[wasm_bindgen]
pub struct Loader {
    loader: EngineLoader,
}

#[wasm_bindgen]
impl Loader {
    /// `options` is JSON: see [`EngineOptions`].
    #[wasm_bindgen(constructor)]
    pub fn new(options: &str) -> Result<Self> {
        let options = EngineOptions::from_json(options).map_err(throw)?;
        Ok(Self { loader: EngineLoader::new(options) })
    }

    /// Announces the next file; `total` is its size in bytes where that is known.
    #[wasm_bindgen(js_name = beginFile)]
    pub fn begin_file(&mut self, name: &str, total: Option<f64>) -> Result<()> {
        self.loader.begin_file(name, total.map(|total| total as u64)).map_err(throw)
    }

    /// The next bytes of the current file, any number of them.
    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        self.loader.push(chunk).map_err(throw)
    }

    /// The finished model.
    pub fn finish(self) -> Result<Engine> {
        Ok(Engine {
            engine: self.loader.finish().map_err(throw)?,
            pending: None,
            exchange: None,
            dialogs: BTreeMap::new(),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TokenizeOptions {
    #[serde(default = "yes")]
    add_special: bool,
    #[serde(default = "yes")]
    parse_special: bool,
}

fn yes() -> bool {
    true
}

/// A loaded model.
#[wasm_bindgen]
pub struct Engine {
    pub(super) engine: engine::Engine,
    /// The error of a pass, thrown after the events before it have been returned.
    pending: Option<Error>,
    exchange: Option<Exchange>,
    /// Sessions by their number.
    pub(super) dialogs: BTreeMap<u32, Dialog>,
}

/// A request in OpenAI's protocol.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HttpRequest {
    /// The id of the model.
    model: String,
    method: String,
    /// Of the URL.
    path: String,
    body: String,
    moment: Moment,
}

/// What came of a request, or of some passes for it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HttpResponse {
    /// Of a response that is complete or begins to stream.
    status: Option<u16>,
    /// More of a stream, or the whole body.
    text: String,
    /// Whether [`Engine::respond_step`] has more.
    more: bool,
}

#[wasm_bindgen]
impl Engine {
    /// An [`engine::Info`].
    pub fn info(&self) -> Result<JsValue> {
        object(self.engine.info())
    }

    /// Token ids of `text`; `options` is JSON `{addSpecial?, parseSpecial?}`, both true unless
    /// given.
    pub fn tokenize(&self, text: &str, options: &str) -> Result<Vec<u32>> {
        let TokenizeOptions { add_special, parse_special } = parse("tokenize options", options)?;
        self.engine.tokenizer().encode(text, EncodeOptions { add_special, parse_special }).map_err(throw)
    }

    /// The text of token ids.
    pub fn detokenize(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        self.engine.tokenizer().decode(ids, skip_special).map_err(throw)
    }

    /// The text of a conversation, given as JSON `[{role, content}]`.
    #[wasm_bindgen(js_name = applyChatTemplate)]
    pub fn apply_chat_template(
        &self,
        messages: &str,
        add_generation_prompt: bool,
        template_arguments: &str,
    ) -> Result<String> {
        let arguments: TemplateArgs = parse("chatTemplateArgs", template_arguments)?;
        let messages: Vec<Message> = parse("messages", messages)?;
        self.engine.frontend().apply_chat_template(&messages, &arguments, add_generation_prompt).map_err(throw)
    }

    /// Begins a generation; `request` is JSON: see [`Request::from_json`].
    pub fn start(&mut self, request: &str) -> Result<()> {
        let request = Request::from_json(request).map_err(throw)?;
        self.pending = None;
        self.engine.start(&request).map_err(throw)
    }

    /// Forward passes, at least one, until `milliseconds` have passed: leaving WebAssembly after
    /// each would take longer than a pass of a small model. Returns the events they caused;
    /// the last one of a generation is `done`. The error of a pass is thrown by the call after the
    /// one that returns the events before it.
    pub fn step(&mut self, milliseconds: f64) -> Result<JsValue> {
        if let Some(error) = self.pending.take() {
            return Err(throw(error));
        }
        let mut events = Vec::new();
        match self.engine.run_for(milliseconds, &mut events) {
            Err(error) if events.is_empty() => return Err(throw(error)),
            ended => self.pending = ended.err(),
        }
        object(&events)
    }

    /// Ends the generation and returns its last events.
    pub fn cancel(&mut self) -> Result<JsValue> {
        let mut events = Vec::new();
        self.pending = None;
        self.engine.cancel(&mut events);
        object(&events)
    }

    /// Begins to answer a request in OpenAI's protocol, given as JSON; one that is under way is
    /// dropped. Returns `{status, text, more}`. A stream has its status at once, another answer
    /// with its body.
    pub fn respond(&mut self, request: &str) -> Result<JsValue> {
        let HttpRequest { model, method, path, body, moment } = parse("the request", request)?;
        let service = Service::of(&self.engine, model, Mode::Auto);
        let (reply, exchange) = Exchange::begin(&mut self.engine, &service, (&method, &path, body.as_bytes()), moment);
        self.exchange = exchange;
        let opening = self.exchange.as_mut().map(Exchange::open).unwrap_or_default();
        object(&match reply {
            Reply::Json(status, body) => HttpResponse { status: Some(status), text: body.to_string(), more: false },
            Reply::Stream => HttpResponse { status: Some(200), text: opening, more: true },
            Reply::Wait => HttpResponse { status: None, text: String::new(), more: true },
        })
    }

    /// Forward passes for the request under way, at least one, until `milliseconds` have
    /// passed. Returns what [`Engine::respond`] does.
    #[wasm_bindgen(js_name = respondStep)]
    pub fn respond_step(&mut self, milliseconds: f64) -> Result<JsValue> {
        let Some(exchange) = &mut self.exchange else {
            return Err(throw(err!(BadOption, "no request is under way: respond to one first")));
        };
        let response = match exchange.step(&mut self.engine, milliseconds) {
            Progress::More(text) => HttpResponse { status: None, text, more: true },
            Progress::End(text) => HttpResponse { status: None, text, more: false },
            Progress::Json(status, body) => HttpResponse { status: Some(status), text: body.to_string(), more: false },
        };
        if !response.more {
            self.exchange = None;
        }
        object(&response)
    }

    /// Ends the request under way.
    #[wasm_bindgen(js_name = respondCancel)]
    pub fn respond_cancel(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.cancel(&mut self.engine);
        }
    }
}
