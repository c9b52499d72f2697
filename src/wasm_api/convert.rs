//! Inspecting, converting and verifying.

#![forbid(unsafe_code)]

use super::files::{BlobFiles, BlobSink};
use super::{Result, object, parse, throw};
use crate::convert::{self, ConvertOptions, Plan};
use crate::inspect;
use wasm_bindgen::prelude::*;

/// Reports progress to a function of the page: bytes done and bytes in all. If it throws, that is
/// the end.
fn progress_to(progress: &js_sys::Function) -> impl FnMut(u64, u64) -> crate::Result<()> {
    |done, total| {
        let called = progress.call2(&JsValue::UNDEFINED, &(done as f64).into(), &(total as f64).into());
        called.map(drop).map_err(|_| err!(Aborted, "the progress callback threw"))
    }
}

/// What a GGUF model is, whether and how it runs, and what is wrong with it: an
/// [`inspect::Report`]. `name` is its first file.
#[wasm_bindgen(js_name = inspectModel)]
pub fn inspect_model(mut files: BlobFiles, name: &str, progress: &js_sys::Function) -> Result<JsValue> {
    object(&inspect::model(&mut files, name, &mut progress_to(progress)).map_err(throw)?)
}

/// What a checkpoint is and would become: a [`convert::Report`]. `options` is JSON: see
/// [`ConvertOptions`].
#[wasm_bindgen(js_name = inspectCheckpoint)]
pub fn inspect_checkpoint(mut files: BlobFiles, options: &str) -> Result<JsValue> {
    let options: ConvertOptions = parse("convert options", options)?;
    object(&inspect::checkpoint(&mut files, &options).map_err(throw)?)
}

/// Writes the GGUF file of a checkpoint to `sink`. `options` and result are those of
/// [`inspect_checkpoint`].
#[wasm_bindgen(js_name = convertCheckpoint)]
pub fn convert_checkpoint(
    mut files: BlobFiles,
    options: &str,
    sink: &BlobSink,
    progress: &js_sys::Function,
) -> Result<JsValue> {
    let options: ConvertOptions = parse("convert options", options)?;
    let plan = Plan::new(&mut files, &options).map_err(throw)?;
    let total = plan.report().bytes;
    let mut report = progress_to(progress);
    object(&plan.write(&mut files, sink, &mut |written| report(written, total)).map_err(throw)?)
}

/// Compares a GGUF model with the checkpoint it was made from: a
/// [`convert::Verification`]. `name` is its first file.
#[wasm_bindgen(js_name = verifyModel)]
pub fn verify_model(
    mut files: BlobFiles,
    name: &str,
    mut checkpoint: BlobFiles,
    progress: &js_sys::Function,
) -> Result<JsValue> {
    object(&convert::verify(&mut files, name, &mut checkpoint, &mut progress_to(progress)).map_err(throw)?)
}
