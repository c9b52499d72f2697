//! Writing GGUF: the header at once, then the bytes of the tensors in turn.
//!
//! [`Writer`] reads its own header back before it writes it, so it refuses what the decoder would.
//! The [`Encoder`] below it validates nothing, so that tests can write what no writer should.

#![forbid(unsafe_code)]

use super::decoder::Decoder;
use super::header::{self, Header};
use super::limits::Limits;
use super::metadata::Metadata;
use super::tensor_info::TensorInfo;
use super::types::GgmlType;
use super::value::{Array, Value};
use crate::error::{Error, Result};
use std::io::{ErrorKind, Write};

/// The version written.
const VERSION: u32 = 3;

/// A tensor to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// Its dimensions in ggml's order, as in [`TensorInfo::dims`].
    pub dims: Vec<u64>,
    /// How its weights are stored.
    pub ty: GgmlType,
}

/// Writes one file to `out`: [`Writer::new`], [`Writer::write_tensor`] for each tensor in the order
/// given, [`Writer::finish`].
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    header: Header,
    written: usize,
}

impl<W: Write> Writer<W> {
    /// Writes the header: version 3, little-endian, aligned to the metadata's `general.alignment`
    /// (32 without that key).
    ///
    /// # Errors
    /// What the decoder would refuse, with the same codes; `io`, or `out-of-memory`, when `out`
    /// fails.
    pub fn new(mut out: W, metadata: &Metadata, tensors: &[TensorSpec]) -> Result<Self> {
        let limits = Limits::default();
        let alignment = header::alignment(metadata, &limits)?;
        let mut encoder = Encoder::default();
        encoder.preamble(VERSION, tensors.len() as u64, metadata.len() as u64);
        for (key, value) in metadata.iter() {
            encoder.pair(key, value);
        }
        let mut offset = 0;
        for TensorSpec { name, dims, ty } in tensors {
            let info = TensorInfo::new(name.clone(), dims.clone(), *ty, offset, &limits)?;
            encoder.tensor(name, dims, ty.id(), offset);
            offset = info.end().next_multiple_of(alignment);
        }
        let Encoder(mut bytes) = encoder;
        let mut decoder = Decoder::new(limits);
        decoder.decode(&mut &bytes[..])?;
        let Some(header) = decoder.into_header() else { bail!(Malformed, "the header is not readable") };
        bytes.resize(bytes.len().next_multiple_of(alignment as usize), 0);
        out.write_all(&bytes).map_err(|error| failure("the header", &error))?;
        Ok(Self { out, header, written: 0 })
    }

    /// The header, as a reader of the file will see it.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Writes `bytes`, all of tensor `name`, which must be the next.
    ///
    /// # Errors
    /// `bad-option` when another tensor is next or `bytes` has another length than the tensor;
    /// `io`, or `out-of-memory`, when the output fails.
    pub fn write_tensor(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let next = self.header.tensors.get(self.written);
        let Some(tensor) = next.filter(|tensor| tensor.name == name) else {
            let next = next.map_or("the end", |tensor| &tensor.name);
            bail!(BadOption, "tensor {name} is out of turn, {next} is next");
        };
        if bytes.len() as u64 != tensor.bytes {
            bail!(BadOption, "tensor {name} takes {} bytes as {}, not {}", tensor.bytes, tensor.ty, bytes.len());
        }
        let padding = tensor.bytes.next_multiple_of(self.header.alignment) - tensor.bytes;
        self.out
            .write_all(bytes)
            .and_then(|()| self.out.write_all(&vec![0; padding as usize]))
            .map_err(|error| failure(&format!("tensor {name}"), &error))?;
        self.written += 1;
        Ok(())
    }

    /// Flushes and returns the output, once every tensor was written.
    ///
    /// # Errors
    /// `bad-option` when a tensor is missing; `io`, or `out-of-memory`, when the output fails.
    pub fn finish(mut self) -> Result<W> {
        if let Some(tensor) = self.header.tensors.get(self.written) {
            bail!(BadOption, "tensor {} was not written", tensor.name);
        }
        self.out.flush().map_err(|error| failure("the file", &error))?;
        Ok(self.out)
    }
}

fn failure(what: &str, error: &std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::OutOfMemory => err!(OutOfMemory, "writing {what}: {error}"),
        _ => err!(Io, "writing {what}: {error}"),
    }
}

/// The parts of a header as bytes; validates nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Encoder(pub(super) Vec<u8>);

impl Encoder {
    pub(super) fn preamble(&mut self, version: u32, tensors: u64, pairs: u64) {
        self.0.extend_from_slice(b"GGUF");
        self.u32(version);
        self.u64(tensors);
        self.u64(pairs);
    }

    pub(super) fn pair(&mut self, key: impl AsRef<[u8]>, value: &Value) {
        self.string(key);
        self.u32(value.kind().id());
        match value {
            Value::U8(n) => self.0.push(*n),
            Value::I8(n) => self.0.extend(n.to_le_bytes()),
            Value::U16(n) => self.0.extend(n.to_le_bytes()),
            Value::I16(n) => self.0.extend(n.to_le_bytes()),
            Value::U32(n) => self.0.extend(n.to_le_bytes()),
            Value::I32(n) => self.0.extend(n.to_le_bytes()),
            Value::F32(n) => self.0.extend(n.to_le_bytes()),
            Value::U64(n) => self.0.extend(n.to_le_bytes()),
            Value::I64(n) => self.0.extend(n.to_le_bytes()),
            Value::F64(n) => self.0.extend(n.to_le_bytes()),
            Value::Bool(b) => self.0.push((*b).into()),
            Value::String(text) => self.string(text),
            Value::Array(array) => self.array(array),
        }
    }

    pub(super) fn tensor(&mut self, name: impl AsRef<[u8]>, dims: &[u64], type_id: u32, offset: u64) {
        self.string(name);
        self.u32(dims.len() as u32);
        dims.iter().for_each(|dim| self.u64(*dim));
        self.u32(type_id);
        self.u64(offset);
    }

    pub(super) fn array(&mut self, array: &Array) {
        self.u32(array.kind().id());
        self.u64(array.len() as u64);
        let Self(out) = self;
        match array {
            Array::U8(elements) => out.extend_from_slice(elements),
            Array::I8(elements) => out.extend(elements.iter().flat_map(|n| n.to_le_bytes())),
            Array::U16(elements) => out.extend(elements.iter().flat_map(|n| n.to_le_bytes())),
            Array::I16(elements) => out.extend(elements.iter().flat_map(|n| n.to_le_bytes())),
            Array::U32(elements) => out.extend(elements.iter().flat_map(|n| n.to_le_bytes())),
            Array::I32(elements) => out.extend(elements.iter().flat_map(|n| n.to_le_bytes())),
            Array::F32(elements) => out.extend(elements.iter().flat_map(|n| n.to_le_bytes())),
            Array::U64(elements) => out.extend(elements.iter().flat_map(|n| n.to_le_bytes())),
            Array::I64(elements) => out.extend(elements.iter().flat_map(|n| n.to_le_bytes())),
            Array::F64(elements) => out.extend(elements.iter().flat_map(|n| n.to_le_bytes())),
            Array::Bool(elements) => out.extend(elements.iter().map(|b| u8::from(*b))),
            Array::String(elements) => elements.iter().for_each(|text| self.string(text)),
            Array::Array(elements) => elements.iter().for_each(|inner| self.array(inner)),
        }
    }

    pub(super) fn string(&mut self, text: impl AsRef<[u8]>) {
        self.u64(text.as_ref().len() as u64);
        self.0.extend_from_slice(text.as_ref());
    }

    pub(super) fn u32(&mut self, n: u32) {
        self.0.extend(n.to_le_bytes());
    }

    pub(super) fn u64(&mut self, n: u64) {
        self.0.extend(n.to_le_bytes());
    }
}
