//! The GGUF files of a model, read in parts.

#![forbid(unsafe_code)]

use super::Files;
use crate::error::Result;
use crate::gguf::split::SplitName;
use crate::gguf::{Decoder, Header, Limits, TensorInfo};
use crate::quant;

/// Bytes of a header read at a time.
const CHUNK: u64 = 1 << 20;

/// One GGUF file, or all those of a split model.
pub struct ModelFiles<'a> {
    files: &'a mut dyn Files,
    names: Vec<String>,
    headers: Vec<(Header, u64)>,
}

impl<'a> ModelFiles<'a> {
    /// Reads the header of the file `name`, or of every file of the split model that `name` belongs
    /// to.
    ///
    /// # Errors
    ///
    /// `io` when a file is missing, and what is wrong with a header, naming the file.
    pub fn open(files: &'a mut dyn Files, name: &str) -> Result<Self> {
        let names = SplitName::parse(name).map_or_else(|| vec![name.to_owned()], |split| split.all().collect());
        let headers = names.iter().map(|name| header(files, name)).collect::<Result<_>>()?;
        Ok(Self { files, names, headers })
    }

    /// The header and the size in bytes of each file.
    pub fn headers(&self) -> &[(Header, u64)] {
        &self.headers
    }

    /// Every tensor of every file.
    pub fn tensors(&self) -> impl Iterator<Item = &TensorInfo> {
        self.headers.iter().flat_map(|(header, _)| &header.tensors)
    }

    /// The bytes of the tensor called `name`.
    ///
    /// # Errors
    ///
    /// `malformed` without such a tensor, `out-of-memory` when it is too large, `truncated` and
    /// `io` when its file cannot be read.
    pub fn read(&mut self, name: &str) -> Result<Vec<u8>> {
        let found =
            self.headers.iter().enumerate().find_map(|(file, (header, _))| Some((file, header.tensor(name)?.1)));
        let Some((file, info)) = found else { bail!(Malformed, "there is no tensor {name}") };
        let at = self.headers[file].0.data_offset + info.offset;
        let mut bytes = Vec::new();
        let size = usize::try_from(info.bytes).ok().filter(|size| bytes.try_reserve_exact(*size).is_ok());
        let Some(size) = size else {
            bail!(OutOfMemory, "out of memory: could not allocate {} bytes for tensor {name}", info.bytes)
        };
        bytes.resize(size, 0);
        self.files.read_at(&self.names[file], at, &mut bytes)?;
        Ok(bytes)
    }

    /// What the output of the layer with the matrix `weight` is multiplied with: the value of the
    /// tensor `*.scale` beside it, and 1 where there is none.
    ///
    /// # Errors
    ///
    /// `malformed` when that tensor is not one float; those of [`ModelFiles::read`].
    pub fn output_scale(&mut self, weight: &str) -> Result<f32> {
        let name = format!("{}scale", weight.trim_end_matches("weight"));
        let Some(info) = self.tensors().find(|info| info.name == name).cloned() else { return Ok(1.0) };
        let mut scale = [1.0];
        quant::dequantize(info.ty, &self.read(&name)?, &mut scale)
            .map_err(|error| error.at(format!("tensor {name}")))?;
        Ok(scale[0])
    }
}

fn header(files: &mut dyn Files, name: &str) -> Result<(Header, u64)> {
    let size = files.size(name)?;
    let mut decoder = Decoder::new(Limits::default()).with_total_bytes(Some(size));
    let mut buffer = vec![0; CHUNK.min(size) as usize];
    for at in (0..size).step_by(CHUNK as usize) {
        let bytes = &mut buffer[..CHUNK.min(size - at) as usize];
        files.read_at(name, at, bytes)?;
        if decoder.decode(&mut &bytes[..]).map_err(|error| error.at(name))?.is_some() {
            break;
        }
    }
    if decoder.header().is_none() {
        decoder.finish().map_err(|error| error.at(name))?;
    }
    let header =
        decoder.into_header().ok_or_else(|| err!(Truncated, "{name}: the file ends before its header does"))?;
    Ok((header, size))
}
