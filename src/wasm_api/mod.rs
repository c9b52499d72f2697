//! The edge to JavaScript: converts types and calls [`crate::engine`], [`crate::convert`] and
//! [`crate::inspect`], nothing else. The features `engine`, `converter` and `bench` say which of it
//! there is.
//!
//! Structured values have the shapes of `www/src/types.ts` and `checkpoint-types.ts`. Results are
//! JavaScript objects. Arguments are JSON text: reading objects, `serde-wasm-bindgen` looks up the
//! fields it knows and would overlook a misspelled option. Token ids are typed arrays.
//!
//! Errors are thrown as `Error` objects with the code of [`crate::ErrorCode`] in their `code`
//! property. A panic is printed to the console with its JavaScript stack and ends in a trap, after
//! which the instance is unusable; [`last_panic`] returns its message.

#![forbid(unsafe_code)]

#[cfg(feature = "bench")]
mod bench;
#[cfg(feature = "converter")]
mod convert;
#[cfg(feature = "engine")]
mod engine;
#[cfg(any(feature = "engine", feature = "converter"))]
mod files;
#[cfg(feature = "engine")]
mod session;
#[cfg(all(feature = "engine", target_feature = "atomics"))]
mod threads;

#[cfg(feature = "bench")]
pub use bench::bench_kernels;
#[cfg(feature = "converter")]
pub use convert::{convert_checkpoint, inspect_checkpoint, inspect_model, verify_model};
#[cfg(feature = "engine")]
pub use engine::{Engine, Loader};
#[cfg(any(feature = "engine", feature = "converter"))]
pub use files::{BlobFiles, BlobSink};
#[cfg(all(feature = "engine", target_feature = "atomics"))]
pub use threads::{run_worker, worker_failed};

use crate::Error;
use js_sys::Reflect;
use serde::Serialize;
use std::sync::Mutex;
use wasm_bindgen::prelude::*;

type Result<T> = std::result::Result<T, JsValue>;

static LAST_PANIC: Mutex<Option<String>> = Mutex::new(None);

#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        if let Ok(mut last) = LAST_PANIC.lock() {
            *last = Some(info.to_string());
        }
    }));
}

/// The message of the panic behind a trap; `undefined` when the trap had none, as when memory ran
/// out.
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

#[cfg(any(feature = "engine", feature = "converter"))]
fn parse<T: for<'de> serde::Deserialize<'de>>(what: &str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| throw(err!(BadOption, "{what}: {error}")))
}

/// `value` as JSON would carry it: plain objects, numbers, `null`.
fn object<T: Serialize + ?Sized>(value: &T) -> Result<JsValue> {
    value
        .serialize(&serde_wasm_bindgen::Serializer::json_compatible())
        .map_err(|error| throw(err!(Crashed, "a result cannot become a JavaScript value: {error}")))
}
