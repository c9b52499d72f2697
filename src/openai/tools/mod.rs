//! Tools: what a request offers, what the model sees of it, and the calls in its answer.
//!
//! Models write calls in a few ways (`style`), which their chat templates give away. A template
//! that knows tools renders them itself; for others they are described in the system message, in
//! the way of Hermes. `parse` finds calls in text as it streams; `forced` is the grammar of an
//! answer that has to be one.

#![forbid(unsafe_code)]

mod forced;
mod parse;
mod request;
mod style;

pub(super) use parse::{Calls, Found};
pub(super) use request::{Tools, call_of};
pub(crate) use style::Style;
