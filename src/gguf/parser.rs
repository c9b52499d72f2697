//! The header, item by item.
//!
//! [`HeaderParser::step`] reads one item (preamble, key, scalar, beginning of an array, some
//! elements, directory entry) and keeps it, or stops and keeps nothing, so that it can be called
//! again with the same bytes and more. What it holds is a small multiple of what it read, never of
//! what the file announced.

#![forbid(unsafe_code)]

use super::VERSIONS;
use super::cursor::{Cursor, Read, Stop};
use super::header::Header;
use super::limits::{Limits, MAX_DIMS, within};
use super::metadata::Metadata;
use super::sniff;
use super::tensor_info::TensorInfo;
use super::types::GgmlType;
use super::value::{Array, Kind, Value, bool_from_byte};
use crate::error::Result;

/// Bytes of a pair at least: length of the key, kind, one byte of value.
const MIN_PAIR_BYTES: u64 = 8 + 4 + 1;

/// Bytes of a directory entry at least: length of the name, dimension count, one dimension, type,
/// offset.
const MIN_ENTRY_BYTES: u64 = 8 + 4 + 8 + 4 + 8;

/// What comes next.
#[derive(Debug)]
enum Stage {
    Preamble,
    Key,
    Value { key: String, kind: Kind },
    Elements { key: String, open: Vec<OpenArray> },
    Tensor,
    Complete,
}

/// An array of which `missing` elements have not been read.
#[derive(Debug)]
struct OpenArray {
    array: Array,
    missing: u64,
}

/// The state of reading a header.
#[derive(Debug)]
pub(super) struct HeaderParser {
    limits: Limits,
    stage: Stage,
    version: u32,
    pair_count: u64,
    tensor_count: u64,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
}

impl HeaderParser {
    pub(super) fn new(limits: Limits) -> Self {
        let (metadata, tensors) = (Metadata::default(), Vec::new());
        Self { limits, stage: Stage::Preamble, version: 0, pair_count: 0, tensor_count: 0, metadata, tensors }
    }

    /// Whether the whole header was read.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.stage, Stage::Complete)
    }

    /// Whether nothing but, perhaps, a part of the preamble was read.
    pub(super) fn is_at_start(&self) -> bool {
        matches!(self.stage, Stage::Preamble)
    }

    /// What is being read, for messages.
    pub(super) fn place(&self) -> String {
        match &self.stage {
            Stage::Preamble => "preamble".to_owned(),
            Stage::Key => format!("metadata key {} of {}", self.metadata.len() + 1, self.pair_count),
            Stage::Value { key, .. } => format!("metadata key {key}"),
            Stage::Elements { key, open } => match open.last() {
                Some(last) => format!("metadata key {key}, element {}", last.array.len()),
                None => format!("metadata key {key}"),
            },
            Stage::Tensor => format!("entry {} of {} tensors", self.tensors.len() + 1, self.tensor_count),
            Stage::Complete => "end of header".to_owned(),
        }
    }

    /// The header, once complete, of which the last byte is the one before `header_bytes`.
    pub(super) fn header(&mut self, header_bytes: u64, file_bytes: Option<u64>) -> Result<Header> {
        let (metadata, tensors) = (std::mem::take(&mut self.metadata), std::mem::take(&mut self.tensors));
        Header::new(self.version, metadata, tensors, header_bytes, file_bytes, &self.limits)
    }

    /// Reads one item. After [`Stop::Short`] nothing has changed.
    pub(super) fn step(&mut self, cursor: &mut Cursor<'_>) -> Read<()> {
        match &mut self.stage {
            Stage::Preamble => {
                self.preamble(cursor)?;
                self.next_pair();
            }
            Stage::Key => {
                let key = cursor.string(self.limits.max_key_bytes, "the key")?;
                if self.metadata.get(key).is_some() {
                    Err(err!(Malformed, "the key {key} occurs twice"))?;
                }
                let kind = kind(cursor).map_err(|stop| name_in(stop, key))?;
                self.stage = Stage::Value { key: key.to_owned(), kind };
            }
            Stage::Value { key, kind: Kind::Array } => {
                let outermost = open_array(cursor, &self.limits)?;
                self.stage = Stage::Elements { key: std::mem::take(key), open: vec![outermost] };
            }
            Stage::Value { key, kind } => {
                let value = scalar(cursor, *kind, &self.limits)?;
                self.metadata.insert(std::mem::take(key), value);
                self.next_pair();
            }
            Stage::Elements { key, open } => {
                if let Some(array) = elements(cursor, open, &self.limits)? {
                    self.metadata.insert(std::mem::take(key), array);
                    self.next_pair();
                }
            }
            Stage::Tensor => {
                self.tensors.push(tensor(cursor, &self.limits)?);
                self.next_tensor();
            }
            Stage::Complete => {}
        }
        Ok(())
    }

    fn next_pair(&mut self) {
        if (self.metadata.len() as u64) < self.pair_count {
            self.stage = Stage::Key;
        } else {
            self.next_tensor();
        }
    }

    fn next_tensor(&mut self) {
        self.stage = if (self.tensors.len() as u64) < self.tensor_count { Stage::Tensor } else { Stage::Complete };
    }

    fn preamble(&mut self, cursor: &mut Cursor<'_>) -> Read<()> {
        let magic = cursor.take(4)?;
        if magic != b"GGUF" {
            let more = cursor.file_bytes().unwrap_or(u64::MAX).min(sniff::SNIFF_BYTES) - 4;
            let more = cursor.take(more)?;
            Err(sniff::not_gguf(&[magic, more].concat()))?;
        }
        let version = cursor.u32()?;
        if !VERSIONS.contains(&version) {
            let reason = match version {
                1 => "is too old; convert the model again",
                // 3 and 2 with their bytes reversed.
                0x0300_0000 | 0x0200_0000 => "is a big-endian file; convert the model for little-endian machines",
                _ => "is unknown; webtern reads versions 2 and 3",
            };
            Err(err!(Malformed, "GGUF version {version} {reason}"))?;
        }
        let tensor_count = cursor.u64()?;
        within(tensor_count, self.limits.max_tensors, "the number of tensors")?;
        let pair_count = cursor.u64()?;
        within(pair_count, self.limits.max_metadata_pairs, "the number of metadata pairs")?;
        cursor.claim(
            pair_count.saturating_mul(MIN_PAIR_BYTES).saturating_add(tensor_count.saturating_mul(MIN_ENTRY_BYTES)),
        )?;
        (self.version, self.pair_count, self.tensor_count) = (version, pair_count, tensor_count);
        Ok(())
    }
}

/// The same stop with `name` before an error's message.
fn name_in(stop: Stop, name: &str) -> Stop {
    match stop {
        Stop::Fail(error) => Stop::Fail(error.at(name)),
        short => short,
    }
}

fn kind(cursor: &mut Cursor<'_>) -> Read<Kind> {
    let id = cursor.u32()?;
    Kind::from_id(id).ok_or_else(|| err!(Malformed, "{id} is no kind of value; 0 to 12 are").into())
}

fn scalar(cursor: &mut Cursor<'_>, kind: Kind, limits: &Limits) -> Read<Value> {
    Ok(match kind {
        Kind::U8 => cursor.number(u8::from_le_bytes)?.into(),
        Kind::I8 => cursor.number(i8::from_le_bytes)?.into(),
        Kind::U16 => cursor.number(u16::from_le_bytes)?.into(),
        Kind::I16 => cursor.number(i16::from_le_bytes)?.into(),
        Kind::U32 => cursor.number(u32::from_le_bytes)?.into(),
        Kind::I32 => cursor.number(i32::from_le_bytes)?.into(),
        Kind::F32 => cursor.number(f32::from_le_bytes)?.into(),
        Kind::U64 => cursor.number(u64::from_le_bytes)?.into(),
        Kind::I64 => cursor.number(i64::from_le_bytes)?.into(),
        Kind::F64 => cursor.number(f64::from_le_bytes)?.into(),
        Kind::Bool => bool_from_byte(cursor.number(u8::from_le_bytes)?)?.into(),
        Kind::String => cursor.string(limits.max_string_bytes, "the string")?.into(),
        Kind::Array => Err(err!(Malformed, "an array where a single value belongs"))?,
    })
}

fn open_array(cursor: &mut Cursor<'_>, limits: &Limits) -> Read<OpenArray> {
    let kind = kind(cursor)?;
    let missing = cursor.u64()?;
    within(missing, limits.max_array_len, "the length of the array")?;
    cursor.claim(missing.saturating_mul(kind.min_bytes()))?;
    Ok(OpenArray { array: Array::empty(kind), missing })
}

/// Reads on in the innermost of the `open` arrays; the outermost when it is complete.
fn elements(cursor: &mut Cursor<'_>, open: &mut Vec<OpenArray>, limits: &Limits) -> Read<Option<Array>> {
    let depth = open.len() as u64;
    let Some(innermost) = open.last_mut() else { return Ok(None) };
    if innermost.missing > 0 {
        match &mut innermost.array {
            Array::String(texts) => {
                texts.push(cursor.string(limits.max_string_bytes, "the string")?.to_owned());
                innermost.missing -= 1;
            }
            Array::Array(_) => {
                within(depth + 1, limits.max_array_depth, "the depth of arrays in arrays")?;
                let inner = open_array(cursor, limits)?;
                innermost.missing -= 1;
                open.push(inner);
            }
            numbers => {
                let size = numbers.kind().min_bytes();
                let bytes = cursor.take_elements(size, innermost.missing)?;
                numbers.extend_le(bytes)?;
                innermost.missing -= bytes.len() as u64 / size;
            }
        }
    }
    // Close what is complete, from the inside.
    while let Some(complete) = open.pop_if(|innermost| innermost.missing == 0) {
        match open.last_mut() {
            Some(OpenArray { array: Array::Array(arrays), .. }) => arrays.push(complete.array),
            _ => return Ok(Some(complete.array)),
        }
    }
    Ok(None)
}

fn tensor(cursor: &mut Cursor<'_>, limits: &Limits) -> Read<TensorInfo> {
    let name = cursor.string(limits.max_name_bytes, "the name")?;
    let (dims, ty, offset) = entry(cursor).map_err(|stop| name_in(stop, &format!("tensor {name}")))?;
    Ok(TensorInfo::new(name.to_owned(), dims, ty, offset, limits)?)
}

/// What follows the name in an entry of the directory: dimensions, type, offset.
fn entry(cursor: &mut Cursor<'_>) -> Read<(Vec<u64>, GgmlType, u64)> {
    let count = cursor.u32()?;
    if count as usize > MAX_DIMS {
        Err(err!(Malformed, "{count} dimensions; 1 to {MAX_DIMS} are possible"))?;
    }
    let dims = (0..count).map(|_| cursor.u64()).collect::<Read<Vec<_>>>()?;
    let ty = GgmlType::from_id(cursor.u32()?)?;
    Ok((dims, ty, cursor.u64()?))
}
