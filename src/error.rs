//! The one error type of the crate.
//!
//! An [`Error`] answers two questions: *whose fault is it* ([`ErrorCode`], stable, the same strings
//! in Rust and TypeScript) and *what exactly, where, and what to do about it* (the message, which
//! names the tensor, metadata key, byte offset or option).

#![forbid(unsafe_code)]

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// `Result` with the crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure an [`Error`] is. [`ErrorCode::as_str`] gives the stable code that
/// TypeScript sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The transport failed: no connection, or a lost one.
    Network,
    /// The server answered with a status that is not a success, or with something that is not a
    /// model.
    Http,
    /// A local file could not be read or written.
    Io,
    /// The input ended before the file was complete.
    Truncated,
    /// The input is not a GGUF file at all.
    NotGguf,
    /// A GGUF file of an architecture, or with a feature of one, that webtern does not run.
    UnsupportedArchitecture,
    /// A tensor type that webtern does not read.
    UnsupportedType,
    /// The file contradicts its own format.
    Malformed,
    /// A number in the file exceeds a named limit.
    Limits,
    /// Memory for the model or its cache could not be allocated.
    OutOfMemory,
    /// A diffusion mode was asked of a model that has no mask token.
    NoMaskToken,
    /// Prompt and requested output do not fit the context.
    ContextFull,
    /// An option or argument of the caller is wrong.
    BadOption,
    /// The caller cancelled.
    Aborted,
    /// The engine stopped unexpectedly.
    Crashed,
    /// The bytes do not have the expected checksum.
    Integrity,
    /// Neither a browser's page nor one of its workers.
    UnsupportedPlatform,
    /// A saved session of another model, or of another version of webtern.
    ForeignSession,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 18] = [
        Self::Network,
        Self::Http,
        Self::Io,
        Self::Truncated,
        Self::NotGguf,
        Self::UnsupportedArchitecture,
        Self::UnsupportedType,
        Self::Malformed,
        Self::Limits,
        Self::OutOfMemory,
        Self::NoMaskToken,
        Self::ContextFull,
        Self::BadOption,
        Self::Aborted,
        Self::Crashed,
        Self::Integrity,
        Self::UnsupportedPlatform,
        Self::ForeignSession,
    ];

    /// The stable code, as in `WebternError.code` of the TypeScript library.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Http => "http",
            Self::Io => "io",
            Self::Truncated => "truncated",
            Self::NotGguf => "not-gguf",
            Self::UnsupportedArchitecture => "unsupported-architecture",
            Self::UnsupportedType => "unsupported-type",
            Self::Malformed => "malformed",
            Self::Limits => "limits",
            Self::OutOfMemory => "out-of-memory",
            Self::NoMaskToken => "no-mask-token",
            Self::ContextFull => "context-full",
            Self::BadOption => "bad-option",
            Self::Aborted => "aborted",
            Self::Crashed => "crashed",
            Self::Integrity => "integrity",
            Self::UnsupportedPlatform => "unsupported-platform",
            Self::ForeignSession => "foreign-session",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure, with its code and a message for people.
#[derive(Clone, Debug)]
pub struct Error {
    code: ErrorCode,
    message: String,
    cause: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error whose `message` says what is wrong, where, and what to do.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), cause: None }
    }

    /// The kind of failure.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// What is wrong, where, and what to do.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same error with `cause` as its source; the message has to tell what the cause says.
    #[must_use]
    pub fn caused_by(mut self, cause: impl StdError + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }

    /// The same error with `place` (a file, a tensor) named before the message.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as &(dyn StdError + 'static))
    }
}

/// Errors are equal when they say the same.
impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        (self.code, &self.message) == (other.code, &other.message)
    }
}

impl Eq for Error {}

/// `err!(Malformed, "tensor {name}: ...")`: an [`Error`] with a formatted message.
macro_rules! err {
    ($code:ident, $($message:tt)+) => {
        $crate::error::Error::new($crate::error::ErrorCode::$code, format!($($message)+))
    };
}

/// `bail!(Malformed, "...")`: returns `Err(err!(...))`.
macro_rules! bail {
    ($code:ident, $($message:tt)+) => {
        return Err(err!($code, $($message)+))
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn an_error_keeps_its_cause() {
        let cause = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = err!(Io, "a.gguf: {cause}").caused_by(cause).at("case 3");
        assert_eq!(error.message(), "case 3: a.gguf: entity not found");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("entity not found"));
        assert_eq!(error, err!(Io, "case 3: a.gguf: entity not found"));
    }

    /// The TypeScript library checks the same list.
    #[test]
    fn both_libraries_have_the_same_codes() {
        let codes: Vec<String> = serde_json::from_str(include_str!("../tests/cases/error-codes.json")).unwrap();
        assert_eq!(ErrorCode::ALL.map(ErrorCode::as_str).as_slice(), codes);
    }
}
