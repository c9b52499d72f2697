//! From the bytes of one or more GGUF files, as they arrive, to a model.
//!
//! A [`Loader`] packs one tensor at a time, row by row. Everything that can be wrong with a model
//! is found as early as its bytes allow: architecture, shapes, missing tensors and memory when the
//! header has arrived, values when a tensor has.

#![forbid(unsafe_code)]

use super::config::Config;
use super::transformer::Transformer;
use super::weights::{
    Expected, LONG_FACTORS, Loaded, Role, SHORT_FACTORS, Weights, check_complete, check_tensor, expected_tensor,
};
use crate::error::Result;
use crate::gguf::split::Part;
use crate::gguf::{Decoder, GgmlType, GgufEvent, Header, Limits, Metadata, TensorInfo};
use crate::kernels::KernelSelection;
use crate::quant::{self, TernaryStats};
use crate::tensor::{GroupedTernary, Matrix, MatrixBuilder, try_with_capacity, try_zeroed};
use std::collections::{BTreeMap, HashMap};
use xxhash_rust::xxh3::Xxh3Default;

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
    /// XXH3 of the bytes of all files: what was computed with another model is not for this one.
    pub hash: u128,
}

/// Takes the bytes of a model's files in order. See the module documentation.
pub struct Loader {
    options: LoadOptions,
    /// Made first, so that a browser compiles the kernels while the model comes.
    selection: KernelSelection,
    file: Option<File>,
    /// From the first file, which describes the model.
    config: Option<Config>,
    /// Of the first file, once it has ended.
    metadata: Option<Metadata>,
    /// Files of the model, and headers read so far.
    splits: u32,
    headers: u32,
    tensors: HashMap<String, Loaded>,
    rope_factors: Option<Vec<f32>>,
    parameters: u64,
    linear_weights: BTreeMap<GgmlType, u64>,
    grouped: GroupedLayers,
    notices: Vec<String>,
    hasher: Xxh3Default,
}

struct File {
    name: String,
    decoder: Decoder,
    /// The tensor whose bytes are arriving, unless it is one that the model does not use.
    current: Option<Current>,
}

struct Current {
    expected: Expected,
    form: Arriving,
}

enum Arriving {
    Matrix(MatrixBuilder),
    Vector(Vec<u8>),
}

impl Arriving {
    fn new(expected: Expected, info: &TensorInfo) -> Result<Self> {
        let Expected { role, rows, cols } = expected;
        Ok(match role {
            Role::Embedding => Self::Matrix(MatrixBuilder::embedding(info.ty, rows, cols)?),
            Role::Linear => Self::Matrix(MatrixBuilder::linear(info.ty, rows, cols)?),
            Role::Vector => Self::Vector(try_with_capacity(info.bytes as usize)?),
        })
    }

    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Matrix(builder) => builder.push(bytes),
            Self::Vector(vector) => {
                vector.extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}

/// What the group-wise ternary layers hold, counted.
#[derive(Default)]
struct GroupedLayers {
    layers: usize,
    weights: usize,
    zeros: usize,
}

impl GroupedLayers {
    fn add(&mut self, matrix: &GroupedTernary) {
        self.layers += 1;
        self.weights += matrix.rows() * matrix.cols();
        self.zeros += matrix.zero_count();
    }

    /// What to know about them: nothing when they are as such models are trained.
    fn notice(&self, config: &Config) -> Option<String> {
        let share = self.zeros as f64 / self.weights.max(1) as f64;
        let one_scale = config.architecture.sub_norms;
        (self.layers > 0 && (one_scale || share > TernaryStats::RAW_ZEROS)).then(|| {
            format!(
                "{} ternary layers have scales that differ from block to block, and {:.0}% of their weights are zero: they were likely \
                 quantized from weights that had not been ternarized, and what the model writes is noise; convert the original \
                 checkpoint again",
                self.layers,
                100.0 * share
            )
        })
    }
}

impl Loader {
    /// A loader that has seen nothing yet.
    pub fn new(options: LoadOptions) -> Self {
        Self {
            options,
            selection: KernelSelection::autotune(),
            file: None,
            config: None,
            metadata: None,
            splits: 1,
            headers: 0,
            tensors: HashMap::new(),
            rope_factors: None,
            parameters: 0,
            linear_weights: BTreeMap::new(),
            grouped: GroupedLayers::default(),
            notices: Vec::new(),
            hasher: Xxh3Default::new(),
        }
    }

    /// Announces the next file. `name` is for messages; `total` is its size in bytes where that is
    /// known.
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
        let Some(file) = self.file.take() else { return Ok(()) };
        file.decoder.finish().map_err(|error| error.at(file.name))?;
        if self.metadata.is_none() {
            self.metadata = file.decoder.into_header().map(|header| header.metadata);
        }
        Ok(())
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
        self.hasher.update(bytes);
        let result = self.push_to(&mut file, bytes).map_err(|error| error.at(&file.name));
        self.file = Some(file);
        result
    }

    fn push_to(&mut self, file: &mut File, mut bytes: &[u8]) -> Result<()> {
        while let Some(event) = file.decoder.decode(&mut bytes)? {
            match event {
                GgufEvent::Header => {
                    let header = file.decoder.header().expect("the event says that it is there");
                    self.check_header(header)?;
                }
                GgufEvent::Data { tensor, offset, bytes } => {
                    let info = tensor_info(&file.decoder, tensor);
                    let at = |error: crate::Error| error.at(format!("tensor {}", info.name));
                    if offset == 0 {
                        let expected = self.config.as_ref().and_then(|config| expected_tensor(config, &info.name));
                        let begin = |expected| Ok(Current { expected, form: Arriving::new(expected, info)? });
                        file.current = expected.map(begin).transpose().map_err(at)?;
                    }
                    if let Some(Current { form, .. }) = &mut file.current {
                        form.push(bytes).map_err(at)?;
                    }
                }
                GgufEvent::TensorEnd { tensor } => {
                    if let Some(current) = file.current.take() {
                        let info = tensor_info(&file.decoder, tensor);
                        self.finish_tensor(info, current).map_err(|error| error.at(format!("tensor {}", info.name)))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn check_header(&mut self, header: &Header) -> Result<()> {
        let part = Part::of(header)?;
        if self.config.is_none() {
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
            self.config = Some(config);
            self.splits = part.count;
        }
        part.expect(self.headers, self.splits)?;
        self.headers += 1;
        let bytes = header.data_bytes();
        if bytes > self.options.memory_limit {
            return Err(too_large(bytes, self.options.memory_limit));
        }
        let config = self.config.as_ref().expect("set above");
        for info in &header.tensors {
            match check_tensor(config, info)? {
                None => self.notices.push(format!("tensor {} is not used", info.name)),
                Some(expected) => {
                    self.parameters += info.cols() * info.rows();
                    if expected.role == Role::Linear {
                        *self.linear_weights.entry(info.ty).or_default() += info.cols() * info.rows();
                    }
                }
            }
        }
        if self.splits == 1 {
            check_complete(config, |name| header.tensor(name).is_some())?;
        }
        Ok(())
    }

    fn finish_tensor(&mut self, info: &TensorInfo, Current { expected, form }: Current) -> Result<()> {
        let loaded = match form {
            Arriving::Matrix(builder) => Loaded::Matrix(builder.finish()?),
            Arriving::Vector(bytes) => {
                quant::check_finite(info.ty, &bytes)?;
                let mut values = try_zeroed(expected.cols)?;
                quant::dequantize(info.ty, &bytes, &mut values)?;
                Loaded::Vector(values)
            }
        };
        if let Loaded::Matrix(Matrix::TernaryGroups(matrix)) = &loaded
            && expected.role == Role::Linear
            && info.ty.is_ternary()
        {
            self.grouped.add(matrix);
        }
        match loaded {
            Loaded::Vector(factors) if info.name.starts_with("rope_") => {
                if let Some(factor) = factors.iter().find(|&&factor| factor <= 0.0) {
                    bail!(Malformed, "frequencies cannot be divided by {factor}");
                }
                if self.is_in_force(&info.name) {
                    self.rope_factors = Some(factors);
                }
            }
            loaded => {
                if self.tensors.insert(info.name.clone(), loaded).is_some() {
                    bail!(Malformed, "it is in more than one file of the model");
                }
            }
        }
        Ok(())
    }

    /// Whether the divisors of frequencies called `name` are those of the context that the model is
    /// to have.
    fn is_in_force(&self, name: &str) -> bool {
        let Some(config) = &self.config else { return false };
        let long = self.context_length(config) > config.original_context_length;
        name != if long { SHORT_FACTORS } else { LONG_FACTORS }
    }

    fn context_length(&self, config: &Config) -> usize {
        self.options.context_length.unwrap_or(config.context_length)
    }

    /// Every key of the first file, once its header is there.
    pub fn metadata(&self) -> Option<&Metadata> {
        let current = || self.file.as_ref()?.decoder.header().map(|header| &header.metadata);
        self.metadata.as_ref().or_else(current)
    }

    /// The finished model.
    ///
    /// # Errors
    ///
    /// `truncated` when the last file or a split is incomplete, `malformed` for missing tensors.
    pub fn finish(mut self) -> Result<LoadedModel> {
        self.end_file()?;
        let (Some(metadata), Some(mut config)) = (self.metadata, self.config) else {
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
            config.rope = config.rope.with_frequency_factors(&factors);
            // The length of the context chooses them, and keys depend on them.
            self.hasher.update(bytemuck::cast_slice(&factors));
        }
        let (&quantization, _) = self
            .linear_weights
            .iter()
            .max_by_key(|&(ty, weights)| (weights, ty))
            .ok_or_else(|| err!(Malformed, "the file has no linear layers"))?;
        self.notices.extend(self.grouped.notice(&config));
        let weights = Weights::assemble(&config, self.tensors)?;
        let context_length = self.options.context_length.unwrap_or(config.context_length);
        Ok(LoadedModel {
            transformer: Transformer::new(config, weights, self.selection, context_length),
            metadata,
            parameters: self.parameters,
            quantization,
            notices: self.notices,
            hash: self.hasher.digest128(),
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
