//! Inspecting, converting and verifying.

#![forbid(unsafe_code)]

use super::files::{BlobFiles, BlobSink};
use super::{Result, json, parse, throw};
use crate::convert::{self, Options, Plan, output_type};
use crate::engine::AttentionKind;
use crate::inspect;
use serde::Deserialize;
use wasm_bindgen::prelude::*;

/// [`Options`] as JavaScript spells them.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ConvertOptions {
    #[serde(rename = "type")]
    ty: Option<String>,
    embedding_type: Option<String>,
    subln: SubLn,
    ternarize: bool,
    name: Option<String>,
    mask_token_id: Option<u32>,
    force_mask_token: bool,
    block_size: Option<u32>,
    attention: Option<AttentionKind>,
}

#[derive(Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SubLn {
    #[default]
    Keep,
    Drop,
}

fn options(text: &str) -> Result<Options> {
    let given: ConvertOptions = parse("convert options", text)?;
    let ty = |name: Option<String>| name.as_deref().map(output_type).transpose().map_err(throw);
    Ok(Options {
        ty: ty(given.ty)?,
        embedding_type: ty(given.embedding_type)?,
        drop_sub_norms: given.subln == SubLn::Drop,
        ternarize: given.ternarize,
        name: given.name,
        mask_token_id: given.mask_token_id,
        force_mask_token: given.force_mask_token,
        block_size: given.block_size,
        attention: given.attention,
    })
}

/// Tells a function of the page how many bytes of how many are done. If it throws, that is the end.
fn told(progress: &js_sys::Function) -> impl FnMut(u64, u64) -> crate::Result<()> {
    |done, total| {
        let told = progress.call2(&JsValue::UNDEFINED, &(done as f64).into(), &(total as f64).into());
        told.map(drop).map_err(|_| err!(Aborted, "the function that is told of progress threw"))
    }
}

/// What a GGUF model is, whether and how it runs, and what is wrong with it; `name` is its first file. JSON: [`inspect::Report`].
#[wasm_bindgen(js_name = inspectModel)]
pub fn inspect_model(mut files: BlobFiles, name: &str, progress: &js_sys::Function) -> Result<String> {
    json(&inspect::model(&mut files, name, &mut told(progress)).map_err(throw)?)
}

/// What a checkpoint is and would become; `options` is JSON `{type?, embeddingType?, subln?, ternarize?, name?, maskTokenId?,
/// forceMaskToken?, blockSize?, attention?}`. JSON: [`convert::Report`].
#[wasm_bindgen(js_name = inspectCheckpoint)]
pub fn inspect_checkpoint(mut files: BlobFiles, options: &str) -> Result<String> {
    json(&inspect::checkpoint(&mut files, &self::options(options)?).map_err(throw)?)
}

/// Writes the GGUF file of a checkpoint to `sink`. `options` and result are those of [`inspect_checkpoint`].
#[wasm_bindgen(js_name = convertCheckpoint)]
pub fn convert_checkpoint(
    mut files: BlobFiles,
    options: &str,
    sink: &BlobSink,
    progress: &js_sys::Function,
) -> Result<String> {
    let plan = Plan::new(&mut files, &self::options(options)?).map_err(throw)?;
    let total = plan.report().bytes;
    let mut told = told(progress);
    json(&plan.write(&mut files, sink, &mut |written| told(written, total)).map_err(throw)?)
}

/// Compares a GGUF model with the checkpoint it was made from; `name` is its first file. JSON: [`convert::Verification`].
#[wasm_bindgen(js_name = verifyModel)]
pub fn verify_model(
    mut files: BlobFiles,
    name: &str,
    mut checkpoint: BlobFiles,
    progress: &js_sys::Function,
) -> Result<String> {
    json(&convert::verify(&mut files, name, &mut checkpoint, &mut told(progress)).map_err(throw)?)
}
