//! What a pickle builds: values, and the tensors among them.

#![forbid(unsafe_code)]

use super::global::Global;
use crate::error::Result;
use safetensors::Dtype;
use std::fmt;

/// Dimensions of a tensor that are believed.
const MAX_DIMS: usize = 8;

/// A value, copied freely: what can be long lies in the [`Heap`], so a value at many places, or
/// inside itself, costs nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) enum Value<'a> {
    /// Anything that no tensor depends on: `None`, floats, bytes, devices.
    Other,
    Int(i64),
    Str(&'a str),
    Global(Global),
    /// A list or a set. Nothing that describes a tensor is in one, so what is in it is not kept.
    List,
    /// Its place in [`Heap`], as in those below.
    Tuple(usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
}

/// What kind of value it is, for messages.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other => f.write_str("a value without a meaning here"),
            Self::Int(number) => write!(f, "the number {number}"),
            Self::Str(text) => write!(f, "the text {text:.50}"),
            Self::Global(global) => write!(f, "the name of {global:?}"),
            Self::List => f.write_str("a list"),
            Self::Tuple(_) => f.write_str("a tuple"),
            Self::Dict(_) => f.write_str("a dictionary"),
            Self::Storage(_) => f.write_str("a storage"),
            Self::Tensor(_) => f.write_str("a tensor"),
        }
    }
}

/// Bytes that tensors are views of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Storage<'a> {
    dtype: Option<Dtype>,
    /// Which they are.
    pub(in super::super) key: &'a str,
    pub(in super::super) bytes: u64,
}

/// A view of a storage. Nothing is checked against the storage's size yet.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Tensor<'a> {
    pub(in super::super) storage: Storage<'a>,
    pub(in super::super) dtype: Dtype,
    /// Where it begins, in elements.
    pub(in super::super) offset: u64,
    /// The slowest dimension first.
    pub(in super::super) shape: Vec<usize>,
    /// How many elements one index is from the next, for each dimension.
    pub(in super::super) strides: Vec<usize>,
}

/// Bytes of one element.
pub(in super::super) fn element_bytes(dtype: Dtype) -> u64 {
    dtype.bitsize() as u64 / 8
}

/// What values point to.
#[derive(Debug, Default)]
pub(in super::super) struct Heap<'a> {
    tuples: Vec<Vec<Value<'a>>>,
    dicts: Vec<Vec<(&'a str, Value<'a>)>>,
    storages: Vec<Storage<'a>>,
    tensors: Vec<Tensor<'a>>,
}

impl<'a> Heap<'a> {
    /// The entries of the dictionary that `value` is, as they were set. Those whose key is no text
    /// are not kept.
    pub(in super::super) fn dict(&self, value: Value) -> Option<&[(&'a str, Value<'a>)]> {
        match value {
            Value::Dict(place) => Some(&self.dicts[place]),
            _ => None,
        }
    }

    /// The tensor that `value` is.
    pub(in super::super) fn tensor(&self, value: Value) -> Option<&Tensor<'a>> {
        match value {
            Value::Tensor(place) => Some(&self.tensors[place]),
            _ => None,
        }
    }

    pub(super) fn new_tuple(&mut self, elements: Vec<Value<'a>>) -> Value<'a> {
        self.tuples.push(elements);
        Value::Tuple(self.tuples.len() - 1)
    }

    pub(super) fn new_dict(&mut self) -> Value<'a> {
        self.dicts.push(Vec::new());
        Value::Dict(self.dicts.len() - 1)
    }

    /// Adds keys and values, one after the other in `items`, to a dictionary.
    pub(super) fn set(&mut self, dict: Value, items: &[Value<'a>]) -> Result<()> {
        let Value::Dict(place) = dict else { bail!(Malformed, "{dict} is no dictionary") };
        let (pairs, []) = items.as_chunks() else { bail!(Malformed, "a key has no value") };
        self.dicts[place].extend(pairs.iter().filter_map(|&[key, value]| match key {
            Value::Str(key) => Some((key, value)),
            _ => None,
        }));
        Ok(())
    }

    fn tuple(&self, value: Value) -> Result<&[Value<'a>]> {
        match value {
            Value::Tuple(place) => Ok(&self.tuples[place]),
            _ => bail!(Malformed, "{value} is no tuple"),
        }
    }

    /// What calling `callee` with the tuple `args` stands for.
    pub(super) fn call(&mut self, callee: Value, args: Value) -> Result<Value<'a>> {
        let Value::Global(callee) = callee else { bail!(Malformed, "{callee} cannot be called") };
        match (callee, self.tuple(args)?) {
            (Global::Inert, _) => Ok(Value::Other),
            (Global::OrderedDict, []) => Ok(self.new_dict()),
            (Global::Parameter, &[tensor @ Value::Tensor(_), _, _] | &[tensor @ Value::Tensor(_), _, _, _]) => {
                Ok(tensor)
            }
            (Global::Tensor, &[storage, offset, shape, strides, _, _]) => {
                self.new_tensor(storage, None, offset, shape, strides)
            }
            (Global::TypedTensor, &[storage, offset, shape, strides, _, _, Value::Global(Global::Dtype(dtype))]) => {
                self.new_tensor(storage, Some(dtype), offset, shape, strides)
            }
            (_, args) => bail!(Malformed, "{callee:?} is called with {} arguments it does not take", args.len()),
        }
    }

    fn new_tensor(
        &mut self,
        storage: Value,
        dtype: Option<Dtype>,
        offset: Value,
        shape: Value,
        strides: Value,
    ) -> Result<Value<'a>> {
        let Value::Storage(place) = storage else { bail!(Malformed, "{storage} is no storage") };
        let storage = self.storages[place];
        let Some(dtype) = dtype.or(storage.dtype) else { bail!(Malformed, "a tensor has no type") };
        let Value::Int(offset @ 0..) = offset else { bail!(Malformed, "a tensor begins at {offset}") };
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        if shape.len() != strides.len() {
            bail!(Malformed, "a tensor has the shape {shape:?} and the strides {strides:?}");
        }
        self.tensors.push(Tensor { storage, dtype, offset: offset.cast_unsigned(), shape, strides });
        Ok(Value::Tensor(self.tensors.len() - 1))
    }

    fn sizes(&self, tuple: Value) -> Result<Vec<usize>> {
        let sizes = self.tuple(tuple)?;
        if sizes.len() > MAX_DIMS {
            bail!(Limits, "a tensor has {} dimensions; at most {MAX_DIMS} are read", sizes.len());
        }
        let size = |value: &Value| match value {
            Value::Int(size) => usize::try_from(*size).map_err(|_| err!(Malformed, "a size of a tensor is {size}")),
            _ => bail!(Malformed, "a size of a tensor is {value}"),
        };
        sizes.iter().map(size).collect()
    }

    /// The storage that a persistent id describes:
    /// `("storage", class, key, device, number of elements)`.
    pub(super) fn new_storage(&mut self, id: Value) -> Result<Value<'a>> {
        let &[Value::Str("storage"), Value::Global(Global::Storage(dtype)), Value::Str(key), _, Value::Int(elements)] =
            self.tuple(id)?
        else {
            bail!(Malformed, "a persistent id does not describe a storage");
        };
        let bytes = u64::try_from(elements).ok().and_then(|count| count.checked_mul(dtype.map_or(1, element_bytes)));
        let Some(bytes) = bytes else { bail!(Malformed, "storage {key:.50} has {elements} elements") };
        self.storages.push(Storage { dtype, key, bytes });
        Ok(Value::Storage(self.storages.len() - 1))
    }
}
