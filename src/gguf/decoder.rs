//! The push state machine: bytes in, events out.
//!
//! The header is read item by item by [`HeaderParser`]. An item that a cut divides is gathered in
//! `carry`: the parser says how many bytes it lacks, exactly those are copied, and it tries again,
//! so a header pushed byte by byte is still read in time proportional to its length. The data are
//! never copied: events lend parts of the caller's slice.

#![forbid(unsafe_code)]

use super::cursor::{Bounds, Cursor, Stop};
use super::header::Header;
use super::limits::{Limits, MAX_BYTES};
use super::parser::HeaderParser;
use super::q2_layout;
use super::sniff;
use super::types::GgmlType;
use crate::error::{Error, Result};

/// What a [`Decoder`] found in the bytes pushed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GgufEvent<'a> {
    /// Metadata and tensor list are known: see [`Decoder::header`]. The first event of every file.
    Header,
    /// A piece of a tensor. Tensors come in the order of their bytes in the file, the pieces of
    /// each from front to back.
    Data {
        /// The place in [`Header::tensors`].
        tensor: usize,
        /// Where in the tensor `bytes` begin.
        offset: u64,
        /// The piece, at least one byte.
        bytes: &'a [u8],
    },
    /// The tensor is complete.
    TensorEnd {
        /// The place in [`Header::tensors`].
        tensor: usize,
    },
}

#[derive(Debug)]
enum State {
    Header(Box<HeaderParser>),
    /// `ended` tensors are complete.
    Data {
        ended: usize,
    },
    Failed(Error),
}

/// Reads a GGUF file pushed in pieces of any size. See [the module](super) for an example.
///
/// After an error every call returns that error again.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    header: Option<Header>,
    bounds: Bounds,
    consumed: u64,
    /// The beginning of an item of the header that a cut divided.
    carry: Vec<u8>,
    /// How long `carry` must be before it is worth parsing it.
    wanted: usize,
}

impl Decoder {
    /// A decoder that refuses files beyond `limits`.
    pub fn new(limits: Limits) -> Self {
        let bounds = Bounds { header: limits.max_header_bytes.min(MAX_BYTES), file: None };
        let state = State::Header(Box::new(HeaderParser::new(limits)));
        Self { state, header: None, bounds, consumed: 0, carry: Vec::new(), wanted: 0 }
    }

    /// Tells how long the file is, so that a length it cannot hold is refused at once instead of
    /// waited for.
    #[must_use]
    pub fn with_total_bytes(mut self, total: Option<u64>) -> Self {
        self.bounds.file = total;
        self
    }

    /// Consumes bytes from the front of `input` up to the next event; `None` means that all are
    /// consumed: push more, or call [`Decoder::finish`] at the end of the file.
    ///
    /// Bytes after the last tensor are consumed and ignored. After an error, which bytes are left
    /// in `input` means nothing.
    ///
    /// # Errors
    /// `not-gguf`, `malformed`, `limits`, `unsupported-type`, `unsupported-architecture`, and
    /// `truncated` when the total length is known and cannot be true.
    pub fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<GgufEvent<'a>>> {
        let result = match &self.state {
            State::Header(_) => self.decode_header(input),
            State::Data { ended } => Ok(self.decode_data(*ended, input)),
            State::Failed(error) => return Err(error.clone()),
        };
        if let Err(error) = &result {
            self.state = State::Failed(error.clone());
            self.carry = Vec::new();
        }
        result
    }

    /// Metadata and tensors, once [`GgufEvent::Header`] was returned.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// [`Decoder::header`], kept.
    pub fn into_header(self) -> Option<Header> {
        self.header
    }

    /// How many bytes were consumed.
    pub fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Whether the file may end here.
    ///
    /// # Errors
    /// The error of an earlier call; `truncated` when bytes are missing, with where and how many;
    /// `not-gguf` when the few bytes there are begin no GGUF file.
    pub fn finish(&self) -> Result<()> {
        let consumed = self.consumed;
        match &self.state {
            State::Failed(error) => Err(error.clone()),
            State::Header(_) if consumed == 0 => Err(empty_file()),
            State::Header(parser) => {
                if parser.is_at_start() && !self.carry.iter().zip(b"GGUF").all(|(byte, magic)| byte == magic) {
                    return Err(sniff::not_gguf(&self.carry));
                }
                let missing = self.wanted - self.carry.len();
                let place = parser.place();
                bail!(
                    Truncated,
                    "{place}: the file ends at byte {consumed}, at least {missing} bytes too early; download it again"
                )
            }
            State::Data { ended } => {
                let Some(header) = &self.header else { return Ok(()) };
                let Some((_, tensor)) = header.by_offset(*ended) else { return Ok(()) };
                let received = consumed.saturating_sub(header.data_offset + tensor.offset);
                if q2_layout::layout(tensor, received, header.alignment) == Some(GgmlType::Pq2_0) {
                    bail!(
                        UnsupportedType,
                        "tensor {} is the only one of type id 42, in blocks of 128 weights, which shows only at its end: \
                         tell how long the file is before its bytes",
                        tensor.name
                    );
                }
                let missing = header.data_offset + header.data_end() - consumed;
                bail!(
                    Truncated,
                    "tensor {}: the file ends at byte {consumed}, {missing} bytes too early; download it again",
                    tensor.name
                )
            }
        }
    }

    /// Reads items until the header is complete or `input` is used up.
    fn decode_header<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<GgufEvent<'a>>> {
        let State::Header(parser) = &mut self.state else { return Ok(None) };
        if self.bounds.file == Some(0) {
            return Err(empty_file());
        }
        while !parser.is_complete() {
            let lacking = self.wanted.saturating_sub(self.carry.len());
            let added = advance(input, lacking, &mut self.consumed);
            self.carry.extend_from_slice(added);
            if added.len() < lacking {
                return Ok(None);
            }
            let divided = !self.carry.is_empty();
            let bytes = if divided { &self.carry[..] } else { *input };
            let mut cursor = Cursor::new(bytes, self.consumed - self.carry.len() as u64, self.bounds);
            match parser.step(&mut cursor) {
                Ok(()) => {
                    let used = cursor.used();
                    if divided {
                        debug_assert_eq!(used, self.carry.len(), "an item takes exactly the bytes it asked for");
                        self.carry.clear();
                    } else {
                        advance(input, used, &mut self.consumed);
                    }
                    self.wanted = 0;
                }
                Err(Stop::Short(missing)) => {
                    if !divided {
                        self.carry.extend_from_slice(advance(input, usize::MAX, &mut self.consumed));
                    }
                    let missing = usize::try_from(missing).unwrap_or(usize::MAX);
                    self.wanted = self.carry.len().saturating_add(missing);
                }
                Err(Stop::Fail(error)) => return Err(error.at(parser.place())),
            }
        }
        self.header = Some(parser.header(self.consumed, self.bounds.file)?);
        self.carry = Vec::new();
        self.state = State::Data { ended: 0 };
        Ok(Some(GgufEvent::Header))
    }

    /// Passes on the bytes of the tensor that comes after `ended` others.
    fn decode_data<'a>(&mut self, ended: usize, input: &mut &'a [u8]) -> Option<GgufEvent<'a>> {
        let header = self.header.as_ref()?;
        let Some((place, tensor)) = header.by_offset(ended) else {
            advance(input, usize::MAX, &mut self.consumed);
            return None;
        };
        let start = header.data_offset + tensor.offset;
        let padding = start.saturating_sub(self.consumed);
        advance(input, usize::try_from(padding).unwrap_or(usize::MAX), &mut self.consumed);
        if self.consumed < start {
            return None;
        }
        let offset = self.consumed - start;
        if offset == tensor.bytes {
            self.state = State::Data { ended: ended + 1 };
            return Some(GgufEvent::TensorEnd { tensor: place });
        }
        let missing = usize::try_from(tensor.bytes - offset).unwrap_or(usize::MAX);
        let bytes = advance(input, missing, &mut self.consumed);
        (!bytes.is_empty()).then_some(GgufEvent::Data { tensor: place, offset, bytes })
    }
}

fn empty_file() -> Error {
    err!(Truncated, "the file is empty")
}

/// Takes up to `count` bytes from the front of `input`, and counts them.
fn advance<'a>(input: &mut &'a [u8], count: usize, consumed: &mut u64) -> &'a [u8] {
    let (front, rest) = input.split_at(count.min(input.len()));
    *input = rest;
    *consumed += front.len() as u64;
    front
}
