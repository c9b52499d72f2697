//! Sessions in files: `--session FILE`.

use crate::output::failure;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;
use webtern::Result;
use webtern::engine::{Dialog, Engine};
use webtern::files::write_whole;

/// The session in a file; a new one where there is no file.
pub(crate) fn open(engine: &Engine, path: Option<&Path>) -> Result<Dialog> {
    let Some(path) = path else { return Ok(engine.new_dialog()) };
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let begin = Instant::now();
    match opened {
        Ok((size, mut file)) => {
            let dialog = engine.restore_dialog(&mut file, size).map_err(|error| error.at(path.display()))?;
            let (tokens, took) = (dialog.tokens().len(), begin.elapsed().as_secs_f64() * 1e3);
            eprintln!("[session of {tokens} tokens, restored in {took:.0} ms]");
            Ok(dialog)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(engine.new_dialog()),
        Err(error) => Err(failure(path.display(), &error)),
    }
}

/// Saves a session to a file, which holds the one before until this one is complete.
pub(crate) fn save(engine: &Engine, path: Option<&Path>, dialog: &mut Dialog) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    write_whole(path, |out| engine.save_dialog(dialog, out)).map_err(|error| error.at(path.display()))
}
