//! Models from their files, with a progress bar.

use crate::download::advance;
use crate::model::{Model, ModelFile};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, stderr};
use webtern::engine::{Engine, EngineLoader, EngineOptions};
use webtern::gguf::{Decoder, GgufEvent, Header, Limits};
use webtern::{Error, ErrorCode, Result};

/// Loads a model with all its files.
pub(crate) fn engine(model: &Model, options: &EngineOptions) -> Result<Engine> {
    let files = model.open()?;
    let bar = bar("loading", files.iter().map(|file| file.size().unwrap_or(0)).sum());
    let loaded = load(files, options, &bar);
    bar.finish_and_clear();
    let engine = loaded?;
    let of_template = engine.frontend().template().notice();
    for notice in engine.info().notices.iter().filter(|&notice| Some(notice) != of_template.as_ref()) {
        eprintln!("webtern: {notice}");
    }
    Ok(engine)
}

/// Loads a model for conversations: what is to be known of its chat template is told.
pub(crate) fn for_conversations(model: &Model, options: &EngineOptions) -> Result<Engine> {
    let engine = engine(model, options)?;
    if let Some(notice) = engine.frontend().template().notice() {
        eprintln!("webtern: {notice}");
    }
    Ok(engine)
}

fn load(files: Vec<ModelFile>, options: &EngineOptions, bar: &ProgressBar) -> Result<Engine> {
    let mut loader = EngineLoader::new(options.clone());
    for mut file in files {
        let name = file.name();
        let mut begun = false;
        file.read(|bytes, size| {
            if !begun {
                loader.begin_file(&name, size)?;
                begun = true;
            }
            loader.push(bytes)?;
            advance(bar, size, bytes);
            Ok(true)
        })?;
        if !begun {
            loader.begin_file(&name, Some(0))?;
        }
    }
    loader.finish()
}

/// A progress bar over `total` bytes, for people only.
pub(crate) fn bar(action: &'static str, total: u64) -> ProgressBar {
    progress(action, total, "{prefix} {bar:32} {bytes}/{total_bytes} {bytes_per_sec}")
}

/// A progress bar over `total` things, for people only.
pub(crate) fn counter(action: &'static str, total: u64) -> ProgressBar {
    progress(action, total, "{prefix} {bar:32} {pos}/{len} {eta}")
}

fn progress(action: &'static str, total: u64, template: &'static str) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template).expect("the template is a constant");
    ProgressBar::new(total).with_style(style).with_prefix(action)
}

/// The header of a model's first file, which has what belongs to the whole model.
pub(crate) fn header(model: &Model) -> Result<Header> {
    let mut file = model.open()?.swap_remove(0);
    let name = file.name();
    let place = |error: Error| error.at(&name);
    let mut decoder = Decoder::new(Limits::default()).with_total_bytes(file.size());
    file.read(|mut bytes, _| {
        let event = decoder.decode(&mut bytes).map_err(place)?;
        Ok(!matches!(event, Some(GgufEvent::Header)))
    })?;
    if decoder.header().is_none() {
        decoder.finish().map_err(place)?;
    }
    let ended = || place(Error::new(ErrorCode::Truncated, "the file ends before its header does"));
    decoder.into_header().ok_or_else(ended)
}
