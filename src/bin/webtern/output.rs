//! Standard output that may be closed at any time.

use std::fmt::Display;
use std::io::{ErrorKind, Write, stdout};
use webtern::{Error, ErrorCode, Result};

/// Writes `text` at once. When the reader has gone (`webtern ... | head`), the program ends here, quietly and with success.
pub(crate) fn print(text: impl Display) -> Result<()> {
    let mut out = stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.map_err(|error| Error::new(ErrorCode::Io, format!("standard output: {error}"))),
    }
}

/// As [`print()`], and ends the line.
pub(crate) fn line(text: impl Display) -> Result<()> {
    print(format_args!("{text}\n"))
}
