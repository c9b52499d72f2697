//! Sessions of a loaded model, which the page knows by number.

#![forbid(unsafe_code)]

use super::files::{BlobFiles, BlobSink};
use super::{Engine, Result, object, throw};
use crate::Error;
use crate::decode::Event;
use crate::engine::{Dialog, Purpose, Request};
use crate::files::Files;
use serde::Serialize;
use std::io::{self, Read};
use wasm_bindgen::prelude::*;

/// What some passes brought.
#[derive(Serialize)]
struct Step {
    events: Vec<Event>,
    more: bool,
}

#[wasm_bindgen]
impl Engine {
    /// Begins a session in which nothing was said, under a number of the caller's choice.
    #[wasm_bindgen(js_name = newSession)]
    pub fn new_session(&mut self, id: u32) {
        self.dialogs.insert(id, self.engine.new_dialog());
    }

    /// Begins `copy` as a copy of `id`.
    #[wasm_bindgen(js_name = cloneSession)]
    pub fn clone_session(&mut self, id: u32, copy: u32) -> Result<()> {
        let dialog = self.dialog(id)?.fork().map_err(throw)?;
        self.dialogs.insert(copy, dialog);
        Ok(())
    }

    /// Frees a session.
    #[wasm_bindgen(js_name = destroySession)]
    pub fn destroy_session(&mut self, id: u32) {
        self.dialogs.remove(&id);
    }

    /// How many tokens the context of a session has.
    #[wasm_bindgen(js_name = sessionTokens)]
    pub fn session_tokens(&mut self, id: u32) -> Result<u32> {
        Ok(self.dialog(id)?.tokens().len() as u32)
    }

    /// Begins a request in a session, to be answered or only read; `request` is JSON: see
    /// [`Request::from_json`].
    #[wasm_bindgen(js_name = sessionStart)]
    pub fn session_start(&mut self, id: u32, request: &str, append: bool) -> Result<()> {
        let request = Request::from_json(request).map_err(throw)?;
        let purpose = if append { Purpose::Append } else { Purpose::Answer };
        let (engine, dialog) = self.parts(id)?;
        engine.start_dialog(dialog, &request, purpose).map_err(throw)
    }

    /// Forward passes for the request, at least one, until `milliseconds` have passed. Returns
    /// `{events, more}`.
    #[wasm_bindgen(js_name = sessionStep)]
    pub fn session_step(&mut self, id: u32, milliseconds: f64) -> Result<JsValue> {
        let mut events = Vec::new();
        let (engine, dialog) = self.parts(id)?;
        let more = engine.step_dialog(dialog, milliseconds, &mut events).map_err(throw)?;
        object(&Step { events, more })
    }

    /// Ends the request and returns its last events.
    #[wasm_bindgen(js_name = sessionCancel)]
    pub fn session_cancel(&mut self, id: u32) -> Result<JsValue> {
        let mut events = Vec::new();
        let (engine, dialog) = self.parts(id)?;
        engine.cancel_dialog(dialog, &mut events);
        object(&events)
    }

    /// Writes a session to `sink`.
    #[wasm_bindgen(js_name = saveSession)]
    pub fn save_session(&mut self, id: u32, sink: &BlobSink) -> Result<()> {
        let (engine, dialog) = self.parts(id)?;
        let mut sink = io::BufWriter::with_capacity(PART, sink);
        engine.save_dialog(dialog, &mut sink).map_err(throw)?;
        io::Write::flush(&mut sink).map_err(|error| throw(err!(Io, "the session could not be saved: {error}")))
    }

    /// Replaces a session by the one that was saved in the file `name`.
    #[wasm_bindgen(js_name = restoreSession)]
    pub fn restore_session(&mut self, id: u32, mut files: BlobFiles, name: &str) -> Result<()> {
        self.dialog(id)?;
        let size = files.size(name).map_err(throw)?;
        let mut file = Sequential { files, name, offset: 0, size };
        let dialog = self.engine.restore_dialog(&mut file, size).map_err(throw)?;
        self.dialogs.insert(id, dialog);
        Ok(())
    }

    fn dialog(&mut self, id: u32) -> Result<&mut Dialog> {
        Ok(self.parts(id)?.1)
    }

    fn parts(&mut self, id: u32) -> Result<(&mut crate::engine::Engine, &mut Dialog)> {
        let dialog = self.dialogs.get_mut(&id).ok_or_else(|| throw(destroyed()))?;
        Ok((&mut self.engine, dialog))
    }
}

/// Bytes that are handed to the page at a time.
const PART: usize = 4 << 20;

fn destroyed() -> Error {
    err!(BadOption, "the session was destroyed: begin a new one")
}

/// A blob, read from its beginning to its end.
struct Sequential<'a> {
    files: BlobFiles,
    name: &'a str,
    offset: u64,
    size: u64,
}

impl Read for Sequential<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = (self.size - self.offset).min(buffer.len() as u64) as usize;
        self.files.read_at(self.name, self.offset, &mut buffer[..len]).map_err(io::Error::other)?;
        self.offset += len as u64;
        Ok(len)
    }
}
