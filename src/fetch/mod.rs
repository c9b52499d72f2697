//! Getting a model's files: which ones, from where, how they go on after a cut, and what a stored
//! copy is worth.
//!
//! Nothing here performs I/O. A [`Download`] is one file as a state machine: it says what it needs
//! next, and the caller, who has the network, a clock and a disk, reports what came of it. The
//! command line does that with `ureq` and files; pages do not use it yet:
//!
//! ```text
//! loop:
//!     match download.step():
//!         Request(request)  ->  download.respond(head of the response)  |  download.fail(why)
//!         Receive           ->  download.receive(bytes)  |  download.end()  |  download.fail(why)
//!         Wait(ms)          ->  sleep, then download.waited()
//!         Stored            ->  download.read_stored()     a block from the disk, checked before it is passed on
//!         Done              ->  break
//! ```
//!
//! Bytes reach the consumer in order and exactly once, whatever happens on the way. Who knows what:
//!
//! - [`source`] knows what names a model (an address, a repository, a name of the [`catalog`]), and
//!   its files in order
//! - [`hub`] knows what a Hugging Face hub answers about a repository, and which of its files to
//!   take
//! - [`http`] knows the parts of a response that matter here
//! - [`transfer`] knows one file over HTTP: ranges, retries, what a server must not do
//! - [`cache`] knows the record beside a stored file, block by block, and the store it lies in
//! - [`integrity`] knows checksums
//! - [`download`] knows transfer, store and checksums together

#![forbid(unsafe_code)]

pub mod cache;
pub mod catalog;
pub mod download;
pub mod http;
pub mod hub;
pub mod integrity;
pub mod source;
pub mod transfer;

#[cfg(test)]
mod tests;

pub use cache::{BLOCK_BYTES, Record, Store};
pub use download::{CacheMode, Download, Step};
pub use http::Response;
pub use integrity::Checksum;
pub use source::{Remote, Source};
pub use transfer::{Policy, Request};
