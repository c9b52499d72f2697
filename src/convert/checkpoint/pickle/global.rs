//! The names that a pickle may import.
//!
//! They are those of PyTorch's own `weights_only` mode, as far as dense tensors and the plain
//! values around them need them.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use safetensors::Dtype;

/// A name that may be imported. Nothing is: each only stands for what [`super::value::Heap::call`]
/// does in its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) enum Global {
    OrderedDict,
    /// `_rebuild_tensor_v2`: a view of a storage that has a type.
    Tensor,
    /// `_rebuild_tensor_v3`: a view of bytes, with a type beside it.
    TypedTensor,
    /// Gives back the tensor that it is called with.
    Parameter,
    /// A class of storages; without a type, of bytes.
    Storage(Option<Dtype>),
    Dtype(Dtype),
    /// Makes a value that no tensor depends on, whatever it is called with.
    Inert,
}

impl Global {
    /// What `module.name` stands for.
    ///
    /// # Errors
    ///
    /// `unsupported-type`, with the name, when it is none that tensors need.
    pub(super) fn import(module: &str, name: &str) -> Result<Self> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::Tensor,
            ("torch._utils", "_rebuild_tensor_v3") => Self::TypedTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Self::Parameter,
            ("torch.storage", "UntypedStorage") => Self::Storage(None),
            // Protocol 2 spells `builtins` as Python 2 did.
            ("builtins" | "__builtin__", "set" | "bytearray" | "complex")
            | ("collections", "Counter")
            | ("_codecs", "encode")
            | ("torch", "Size" | "device")
            | ("torch.serialization", "_get_layout") => Self::Inert,
            ("torch", _) => match (storage(name), dtype(name)) {
                (Some(dtype), _) => Self::Storage(Some(dtype)),
                (None, Some(dtype)) => Self::Dtype(dtype),
                (None, None) => return Err(refusal(module, name)),
            },
            _ => return Err(refusal(module, name)),
        })
    }
}

/// The refusal of a name that tensors do not need.
pub(super) fn refusal(module: &str, name: &str) -> Error {
    err!(
        UnsupportedType,
        "the pickle asks Python for {module:.50}.{name:.50}, which tensors do not need; webtern runs nothing that a checkpoint brings. \
         If you trust the file, load it in PyTorch and save the tensors alone: `torch.save(model.state_dict(), ...)`"
    )
}

fn storage(class: &str) -> Option<Dtype> {
    Some(match class {
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "DoubleStorage" => Dtype::F64,
        "ByteStorage" => Dtype::U8,
        "CharStorage" => Dtype::I8,
        "ShortStorage" => Dtype::I16,
        "IntStorage" => Dtype::I32,
        "LongStorage" => Dtype::I64,
        "BoolStorage" => Dtype::BOOL,
        "ComplexFloatStorage" => Dtype::C64,
        _ => return None,
    })
}

fn dtype(name: &str) -> Option<Dtype> {
    Some(match name {
        "float32" => Dtype::F32,
        "float16" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        "float64" => Dtype::F64,
        "float8_e4m3fn" => Dtype::F8_E4M3,
        "float8_e5m2" => Dtype::F8_E5M2,
        "uint8" => Dtype::U8,
        "uint16" => Dtype::U16,
        "uint32" => Dtype::U32,
        "uint64" => Dtype::U64,
        "int8" => Dtype::I8,
        "int16" => Dtype::I16,
        "int32" => Dtype::I32,
        "int64" => Dtype::I64,
        "bool" => Dtype::BOOL,
        "complex64" => Dtype::C64,
        _ => return None,
    })
}
