//! The edge to JavaScript: converts types and calls [`crate::engine`], nothing else.
//!
//! Structured values cross as JSON text in the shapes of `www/src/types.ts`, token ids as typed arrays. Errors are thrown as
//! `Error` objects with the code of [`crate::ErrorCode`] in their `code` property. A panic ends in a trap, after which the
//! instance is unusable; [`last_panic`] tells why.

#![forbid(unsafe_code)]

use crate::Error;
use crate::chat::Message;
use crate::engine::{self, EngineOptions, Request};
use crate::model;
use crate::tokenizer::EncodeOptions;
use js_sys::Reflect;
use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use wasm_bindgen::prelude::*;

type Result<T> = std::result::Result<T, JsValue>;

static LAST_PANIC: Mutex<Option<String>> = Mutex::new(None);

#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|info| {
        if let Ok(mut last) = LAST_PANIC.lock() {
            *last = Some(info.to_string());
        }
    }));
}

/// The message of the panic behind a trap; `undefined` when the trap had none, as when memory ran out.
#[wasm_bindgen(js_name = lastPanic)]
pub fn last_panic() -> Option<String> {
    LAST_PANIC.lock().ok()?.clone()
}

fn throw(error: Error) -> JsValue {
    let object = js_sys::Error::new(error.message());
    // Setting a property of a fresh, extensible object does not fail.
    let _ = Reflect::set(&object, &"code".into(), &error.code().as_str().into());
    object.into()
}

fn parse<T: for<'de> Deserialize<'de>>(what: &str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| throw(err!(BadOption, "{what}: {error}")))
}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| throw(err!(Crashed, "a result cannot be written as JSON: {error}")))
}

/// Takes the bytes of a model, file by file.
#[wasm_bindgen]
pub struct Loader {
    options: EngineOptions,
    loader: model::Loader,
}

#[wasm_bindgen]
impl Loader {
    /// `options` is JSON: see [`EngineOptions`].
    #[wasm_bindgen(constructor)]
    pub fn new(options: &str) -> Result<Self> {
        let options = EngineOptions::from_json(options).map_err(throw)?;
        Ok(Self { loader: model::Loader::new(options.load_options()), options })
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
        let engine = self.loader.finish().and_then(|model| engine::Engine::new(model, &self.options));
        Ok(Engine { engine: engine.map_err(throw)? })
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
    engine: engine::Engine,
}

#[wasm_bindgen]
impl Engine {
    /// JSON: [`engine::Info`].
    pub fn info(&self) -> Result<String> {
        json(self.engine.info())
    }

    /// Token ids of `text`; `options` is JSON `{addSpecial?, parseSpecial?}`, both true unless given.
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
    pub fn apply_chat_template(&self, messages: &str, add_generation_prompt: bool) -> Result<String> {
        let messages: Vec<Message> = parse("messages", messages)?;
        self.engine.apply_chat_template(&messages, add_generation_prompt).map_err(throw)
    }

    /// Begins a generation; `request` is JSON: see [`Request::from_json`].
    pub fn start(&mut self, request: &str) -> Result<()> {
        let request = Request::from_json(request).map_err(throw)?;
        self.engine.start(&request).map_err(throw)
    }

    /// Exactly one forward pass. JSON: the list of events it caused; the last one of a generation is `done`.
    pub fn step(&mut self) -> Result<String> {
        let mut events = Vec::new();
        self.engine.step(&mut events).map_err(throw)?;
        json(&events)
    }

    /// Ends the generation. JSON: its last events.
    pub fn cancel(&mut self) -> Result<String> {
        let mut events = Vec::new();
        self.engine.cancel(&mut events);
        json(&events)
    }
}
