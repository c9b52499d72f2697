//! Model files from disk, with a progress bar.

use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read, stderr};
use std::path::{Path, PathBuf};
use webtern::engine::{Engine, EngineOptions};
use webtern::gguf::split::SplitName;
use webtern::gguf::{Decoder, Event, Header, Limits};
use webtern::model::Loader;
use webtern::{Error, ErrorCode, Result};

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// Every file of the model that `path` names.
fn files(path: &Path) -> Vec<PathBuf> {
    match path.to_str().and_then(SplitName::parse) {
        Some(split) => split.all().map(PathBuf::from).collect(),
        None => vec![path.to_owned()],
    }
}

fn open(path: &Path) -> Result<(File, u64)> {
    let opened = File::open(path).and_then(|file| {
        let metadata = file.metadata()?;
        if metadata.is_dir() { Err(ErrorKind::IsADirectory.into()) } else { Ok((file, metadata.len())) }
    });
    opened.map_err(|error| failure(path, &error))
}

fn failure(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorCode::Io, format!("{}: {error}", path.display()))
}

/// Gives the file's bytes to `each`, until it wants no more.
fn read(path: &Path, file: &mut File, mut each: impl FnMut(&[u8]) -> Result<bool>) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                if !each(&buffer[..count])? {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failure(path, &error)),
        }
    }
}

/// Loads a model with all its files.
pub(crate) fn engine(path: &Path, options: &EngineOptions) -> Result<Engine> {
    let files = files(path).into_iter().map(|path| open(&path).map(|(file, len)| (path, file, len)));
    let files = files.collect::<Result<Vec<_>>>()?;
    let bar = bar("loading", files.iter().map(|(_, _, len)| len).sum());
    let loaded = load(files, options, &bar);
    bar.finish_and_clear();
    let engine = loaded?;
    for notice in &engine.info().notices {
        eprintln!("webtern: {notice}");
    }
    Ok(engine)
}

fn load(files: Vec<(PathBuf, File, u64)>, options: &EngineOptions, bar: &ProgressBar) -> Result<Engine> {
    let mut loader = Loader::new(options.load_options());
    for (path, mut file, len) in files {
        loader.begin_file(&path.display().to_string(), Some(len))?;
        read(&path, &mut file, |bytes| {
            loader.push(bytes)?;
            bar.inc(bytes.len() as u64);
            Ok(true)
        })?;
    }
    Engine::new(loader.finish()?, options)
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

/// The header of every file of a model, and the size of each file.
pub(crate) fn headers(path: &Path) -> Result<Vec<(Header, u64)>> {
    files(path).iter().map(|path| header(path)).collect()
}

fn header(path: &Path) -> Result<(Header, u64)> {
    let (mut file, len) = open(path)?;
    let place = |error: Error| error.at(path.display());
    let mut decoder = Decoder::new(Limits::default()).with_total_bytes(Some(len));
    read(path, &mut file, |mut bytes| {
        let event = decoder.decode(&mut bytes).map_err(place)?;
        Ok(!matches!(event, Some(Event::Header)))
    })?;
    if decoder.header().is_none() {
        decoder.finish().map_err(place)?;
    }
    let ended = || place(Error::new(ErrorCode::Truncated, "the file ends before its header does"));
    Ok((decoder.into_header().ok_or_else(ended)?, len))
}
