//! From the bytes of one or more GGUF files, as they arrive, to a model.
//!
//! A [`Loader`] holds one unfinished tensor at a time. Everything that can be wrong with a model is found as early as its
//! bytes allow: architecture, shapes, missing tensors and memory when the header has arrived, values when a tensor has.

#![forbid(unsafe_code)]

use super::config::Config;
use super::transformer::Transformer;
use super::weights::{Expected, Loaded, Role, Weights, check_complete, check_tensor, expect};
use crate::error::Result;
use crate::gguf::split::Part;
use crate::gguf::{Decoder, Event, GgmlType, Header, Limits, Metadata, TensorInfo};
use crate::kernels::KernelSelection;
use crate::quant;
use crate::tensor::{BlockMatrix, Matrix, try_with_capacity, try_zeroed};
use std::collections::HashMap;

/// What a caller may choose about loading.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Positions of the cache; the model's own context length when `None`.
    pub context_length: Option<usize>,
    /// Bytes of tensors beyond which a file is refused at its header.
    pub memory_limit: u64,
    /// Limits of the file format.
    pub limits: Limits,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { context_length: None, memory_limit: usize::MAX as u64, limits: Limits::default() }
    }
}

/// A model and what the file said about it.
pub struct LoadedModel {
    /// Ready to run.
    pub transformer: Transformer,
    /// Every key of the (first) file.
    pub metadata: Metadata,
    /// Number of weights.
    pub parameters: u64,
    /// The type most weights of linear layers have.
    pub quantization: GgmlType,
    /// Things the user should know that are not errors.
    pub notices: Vec<String>,
}

/// Takes the bytes of a model's files in order. See the module documentation.
pub struct Loader {
    options: LoadOptions,
    /// Made first, so that a browser compiles the kernels while the model comes.
    selection: KernelSelection,
    file: Option<File>,
    /// Of the first file, which describes the model.
    model: Option<(Metadata, Config)>,
    /// Files of the model, and headers read so far.
    splits: u32,
    headers: u32,
    tensors: HashMap<String, Loaded>,
    rope_factors: Option<Vec<f32>>,
    parameters: u64,
    linear_weights: HashMap<u32, u64>,
    notices: Vec<String>,
}

struct File {
    name: String,
    decoder: Decoder,
    /// The tensor whose bytes are arriving.
    current: Option<(usize, Vec<u8>)>,
}

impl Loader {
    /// A loader that has seen nothing yet.
    pub fn new(options: LoadOptions) -> Self {
        Self {
            options,
            selection: KernelSelection::new(),
            file: None,
            model: None,
            splits: 1,
            headers: 0,
            tensors: HashMap::new(),
            rope_factors: None,
            parameters: 0,
            linear_weights: HashMap::new(),
            notices: Vec::new(),
        }
    }

    /// Announces the next file. `name` is for messages; `total` is its size in bytes where that is known.
    ///
    /// # Errors
    ///
    /// `truncated` when the file before is incomplete.
    pub fn begin_file(&mut self, name: &str, total: Option<u64>) -> Result<()> {
        self.end_file()?;
        let decoder = Decoder::new(self.options.limits.clone()).with_total_bytes(total);
        self.file = Some(File { name: name.to_owned(), decoder, current: None });
        Ok(())
    }

    fn end_file(&mut self) -> Result<()> {
        match self.file.take() {
            Some(file) => file.decoder.finish().map_err(|error| error.at(file.name)),
            None => Ok(()),
        }
    }

    /// The next bytes of the current file, any number of them.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the file, naming it; `bad-option` before [`Loader::begin_file`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(mut file) = self.file.take() else {
            bail!(BadOption, "bytes arrived before begin_file named the file they belong to");
        };
        let result = self.push_to(&mut file, bytes).map_err(|error| error.at(&file.name));
        self.file = Some(file);
        result
    }

    fn push_to(&mut self, file: &mut File, mut bytes: &[u8]) -> Result<()> {
        while let Some(event) = file.decoder.decode(&mut bytes)? {
            match event {
                Event::Header => {
                    let header = file.decoder.header().expect("the event says that it is there");
                    self.check_header(header)?;
                }
                Event::Data { tensor, bytes, .. } => {
                    let info = tensor_info(&file.decoder, tensor);
                    if self.expected(info).is_none() {
                        continue;
                    }
                    if file.current.as_ref().is_none_or(|(current, _)| *current != tensor) {
                        let size = usize::try_from(info.bytes).map_err(|_| too_large(info.bytes, u64::MAX))?;
                        file.current = Some((tensor, try_with_capacity(size).map_err(|error| error.at(&info.name))?));
                    }
                    let (_, buffer) = file.current.as_mut().expect("just set");
                    buffer.extend_from_slice(bytes);
                }
                Event::TensorEnd { tensor } => {
                    if let Some((_, bytes)) = file.current.take() {
                        let info = tensor_info(&file.decoder, tensor);
                        self.finish_tensor(info, bytes).map_err(|error| error.at(format!("tensor {}", info.name)))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn expected(&self, info: &TensorInfo) -> Option<Expected> {
        self.model.as_ref().and_then(|(_, config)| expect(config, &info.name))
    }

    fn check_header(&mut self, header: &Header) -> Result<()> {
        let part = Part::of(header)?;
        if self.model.is_none() {
            part.expect(0, part.count)?;
            let config = Config::from_metadata(&header.metadata)?;
            if let Some(wanted) = self.options.context_length
                && (wanted == 0 || wanted > config.context_length)
            {
                let most = config.context_length;
                bail!(
                    BadOption,
                    "contextLength {wanted} is out of range: this model was made for 1 to {most} positions"
                );
            }
            self.model = Some((header.metadata.clone(), config));
            self.splits = part.count;
        }
        part.expect(self.headers, self.splits)?;
        self.headers += 1;
        let bytes = header.data_bytes();
        if bytes > self.options.memory_limit {
            return Err(too_large(bytes, self.options.memory_limit));
        }
        let (_, config) = self.model.as_ref().expect("set above");
        for info in &header.tensors {
            match check_tensor(config, info)? {
                None => self.notices.push(format!("tensor {} is not used", info.name)),
                Some(expected) => {
                    self.parameters += info.cols() * info.rows();
                    if expected.role == Role::Linear {
                        *self.linear_weights.entry(info.ty.id()).or_default() += info.cols() * info.rows();
                    }
                }
            }
        }
        if self.splits == 1 {
            check_complete(config, |name| header.tensor(name).is_some())?;
        }
        Ok(())
    }

    fn finish_tensor(&mut self, info: &TensorInfo, bytes: Vec<u8>) -> Result<()> {
        let Some(Expected { role, rows, cols }) = self.expected(info) else { return Ok(()) };
        let loaded = match role {
            Role::Embedding => Loaded::Table(BlockMatrix::new(info.ty, rows, cols, bytes)?),
            Role::Linear => Loaded::Linear(self.linear(info, rows, cols, bytes)?),
            Role::Vector => {
                quant::check_finite(info.ty, &bytes)?;
                let mut values = try_zeroed(cols)?;
                quant::dequantize(info.ty, &bytes, &mut values)?;
                Loaded::Vector(values)
            }
        };
        match loaded {
            Loaded::Vector(factors) if info.name == "rope_freqs.weight" => {
                if let Some(factor) = factors.iter().find(|&&factor| factor <= 0.0) {
                    bail!(Malformed, "frequencies cannot be divided by {factor}");
                }
                self.rope_factors = Some(factors);
            }
            loaded => {
                if self.tensors.insert(info.name.clone(), loaded).is_some() {
                    bail!(Malformed, "it is in more than one file of the model");
                }
            }
        }
        Ok(())
    }

    fn linear(&mut self, info: &TensorInfo, rows: usize, cols: usize, bytes: Vec<u8>) -> Result<Matrix> {
        let matrix = Matrix::linear(info.ty, rows, cols, bytes)?;
        if info.ty.is_ternary() && matches!(matrix, Matrix::Blocks(_)) {
            self.notices.push(format!(
                "tensor {} of type {} is not ternary (its blocks have different scales): it was made from weights that had not been ternarized, and its output is likely wrong",
                info.name, info.ty
            ));
        }
        Ok(matrix)
    }

    /// Every key of the first file, once its header is there.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.model.as_ref().map(|(metadata, _)| metadata)
    }

    /// The finished model.
    ///
    /// # Errors
    ///
    /// `truncated` when the last file or a split is incomplete, `malformed` for missing tensors.
    pub fn finish(mut self) -> Result<LoadedModel> {
        self.end_file()?;
        let Some((metadata, mut config)) = self.model else {
            bail!(Truncated, "no model: not a byte of a GGUF file has arrived");
        };
        if self.headers < self.splits {
            bail!(
                Truncated,
                "{} of the {} files of this split model are missing",
                self.splits - self.headers,
                self.splits
            );
        }
        if let Some(factors) = self.rope_factors {
            config.rope = config.rope.divided(&factors);
        }
        let (&id, _) = self
            .linear_weights
            .iter()
            .max_by_key(|&(id, weights)| (weights, id))
            .ok_or_else(|| err!(Malformed, "the file has no linear layers"))?;
        let weights = Weights::assemble(&config, self.tensors)?;
        let context_length = self.options.context_length.unwrap_or(config.context_length);
        Ok(LoadedModel {
            transformer: Transformer::new(config, weights, self.selection, context_length),
            metadata,
            parameters: self.parameters,
            quantization: GgmlType::from_id(id)?,
            notices: self.notices,
        })
    }
}

fn tensor_info(decoder: &Decoder, tensor: usize) -> &TensorInfo {
    &decoder.header().expect("tensor data follows the header").tensors[tensor]
}

fn too_large(bytes: u64, limit: u64) -> crate::Error {
    err!(
        OutOfMemory,
        "the tensors take {bytes} bytes, more than the {limit} that can be addressed here; use a smaller model or quantization"
    )
}
