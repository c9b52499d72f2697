//! The tensors that a pickle describes, found without running anything.
//!
//! A pickle is a program for a machine with a stack and a memo: its opcodes push values, collect
//! them into containers, store them under numbers and fetch them again. What makes pickles
//! dangerous are the opcodes that import anything by its name and call it. Here a name is looked up
//! in a short list ([`global`]) and refused if it is not there, and nothing is called: the few
//! names in the list stand for what a tensor is described with.
//!
//! ```text
//! storage  = persistent id ("storage", torch.FloatStorage, "7", "cpu", elements)         the bytes are elsewhere
//! tensor   = _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks)
//! pickle   = {"model.norm.weight": tensor, ...}, with other values among them
//! ```
//!
//! A hostile pickle cannot do much. An opcode adds at most the description of a tensor to what the
//! machine holds, and opcodes are counted; no opcode copies a container, and none is ever walked
//! through, so neither repetition nor cycles nor depth cost anything.

#![forbid(unsafe_code)]

mod global;
mod input;
mod opcode;
mod value;

pub(super) use value::{Heap, Tensor, Value, element_bytes};

use crate::error::Result;
use global::{Global, refusal};
use input::{Input, text};
use opcode::*;
use std::collections::HashMap;

/// Opcodes that are carried out: as many as describe fifty thousand tensors.
const MAX_OPCODES: usize = 1 << 21;

/// That of Python 3.8 and later; `torch.save` writes protocol 2 unless told otherwise.
const MAX_PROTOCOL: u8 = 5;

/// What a pickle says: a value, and what that points to.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    pub(super) value: Value<'a>,
    pub(super) heap: Heap<'a>,
}

/// Reads a pickle.
///
/// # Errors
///
/// `unsupported-type` for names and opcodes that tensors do not need, `malformed` for what is no
/// pickle, `limits` for too long a one.
pub(super) fn load(bytes: &[u8]) -> Result<Pickle<'_>> {
    let mut machine = Machine { input: Input { bytes, at: 0 }, ..Machine::default() };
    match machine.run() {
        Ok(value) => Ok(Pickle { value, heap: machine.heap }),
        Err(error) => Err(error.at(format_args!("byte {} of the pickle", machine.input.at))),
    }
}

#[derive(Default)]
struct Machine<'a> {
    input: Input<'a>,
    stack: Vec<Value<'a>>,
    /// How high the stack was at each mark.
    marks: Vec<usize>,
    memo: HashMap<u64, Value<'a>>,
    heap: Heap<'a>,
}

impl<'a> Machine<'a> {
    /// Carries out the opcodes up to the last, which says that the value on the stack is the
    /// pickle's.
    fn run(&mut self) -> Result<Value<'a>> {
        for _ in 0..MAX_OPCODES {
            match self.input.u8()? {
                STOP => return self.pop(),
                opcode => self.step(opcode)?,
            }
        }
        bail!(Limits, "the pickle has more than {MAX_OPCODES} opcodes; save the tensors of the model alone")
    }

    fn step(&mut self, opcode: u8) -> Result<()> {
        let value = match opcode {
            PROTO => {
                let protocol = self.input.u8()?;
                if protocol > MAX_PROTOCOL {
                    bail!(UnsupportedType, "the pickle has protocol {protocol}; webtern reads up to {MAX_PROTOCOL}");
                }
                return Ok(());
            }
            // How many bytes follow, for those who read from a stream.
            FRAME => return self.input.uint::<8>().map(drop),

            MARK => {
                self.marks.push(self.stack.len());
                return Ok(());
            }
            POP => return self.pop().map(drop),
            POP_MARK => return self.pop_mark().map(drop),
            DUP => self.top()?,

            NONE | NEWTRUE | NEWFALSE => Value::Other,
            BININT => Value::Int(i32::from_le_bytes(self.input.array()?).into()),
            BININT1 => Value::Int(self.input.u8()?.into()),
            BININT2 => Value::Int(u16::from_le_bytes(self.input.array()?).into()),
            LONG1 => long(self.input.counted::<1>()?),
            LONG4 => long(self.input.counted::<4>()?),
            BINFLOAT => self.input.array::<8>().map(|_| Value::Other)?,

            SHORT_BINUNICODE => Value::Str(text(self.input.counted::<1>()?)?),
            BINUNICODE => Value::Str(text(self.input.counted::<4>()?)?),
            BINUNICODE8 => Value::Str(text(self.input.counted::<8>()?)?),
            SHORT_BINBYTES => self.input.counted::<1>().map(|_| Value::Other)?,
            BINBYTES => self.input.counted::<4>().map(|_| Value::Other)?,
            BINBYTES8 | BYTEARRAY8 => self.input.counted::<8>().map(|_| Value::Other)?,

            EMPTY_LIST | EMPTY_SET => Value::List,
            APPEND => {
                self.pop()?;
                return self.add_to_list();
            }
            APPENDS | ADDITEMS => {
                self.pop_mark()?;
                return self.add_to_list();
            }
            FROZENSET => self.pop_mark().map(|_| Value::List)?,
            EMPTY_TUPLE => self.heap.new_tuple(Vec::new()),
            TUPLE => {
                let elements = self.pop_mark()?;
                self.heap.new_tuple(elements)
            }
            TUPLE1 => self.tuple::<1>()?,
            TUPLE2 => self.tuple::<2>()?,
            TUPLE3 => self.tuple::<3>()?,
            EMPTY_DICT => self.heap.new_dict(),
            SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                let dict = self.top()?;
                return self.heap.set(dict, &[key, value]);
            }
            SETITEMS => {
                let items = self.pop_mark()?;
                let dict = self.top()?;
                return self.heap.set(dict, &items);
            }

            BINPUT => return self.input.uint::<1>().and_then(|number| self.put(number)),
            LONG_BINPUT => return self.input.uint::<4>().and_then(|number| self.put(number)),
            MEMOIZE => return self.put(self.memo.len() as u64),
            BINGET => self.input.uint::<1>().and_then(|number| self.get(number))?,
            LONG_BINGET => self.input.uint::<4>().and_then(|number| self.get(number))?,

            GLOBAL => Value::Global(Global::import(self.input.line()?, self.input.line()?)?),
            STACK_GLOBAL => match (self.pop()?, self.pop()?) {
                (Value::Str(name), Value::Str(module)) => Value::Global(Global::import(module, name)?),
                (name, module) => bail!(Malformed, "{module} and {name} name nothing"),
            },
            REDUCE => {
                let (args, callee) = (self.pop()?, self.pop()?);
                self.heap.call(callee, args)?
            }
            // Sets attributes of the object below. Those of an `OrderedDict` of weights are
            // versions of modules.
            BUILD => match (self.pop()?, self.top()?) {
                (_, Value::Dict(_)) => return Ok(()),
                (_, other) => bail!(UnsupportedType, "BUILD sets attributes of {other}, which tensors do not need"),
            },
            BINPERSID => {
                let id = self.pop()?;
                self.heap.new_storage(id)?
            }

            INST => return Err(refusal(self.input.line()?, self.input.line()?)),
            OBJ | NEWOBJ | NEWOBJ_EX => bail!(UnsupportedType, "objects are made, which tensors do not need"),
            EXT1 | EXT2 | EXT4 => bail!(UnsupportedType, "an extension registered in Python is asked for"),
            _ => bail!(UnsupportedType, "opcode {opcode:#04x} is none that `torch.save` writes"),
        };
        self.stack.push(value);
        Ok(())
    }

    /// Values above the last mark.
    fn height(&self) -> usize {
        self.stack.len() - self.marks.last().unwrap_or(&0)
    }

    fn top(&self) -> Result<Value<'a>> {
        match self.stack.last() {
            Some(value) if self.height() > 0 => Ok(*value),
            _ => bail!(Malformed, "the stack is empty"),
        }
    }

    fn pop(&mut self) -> Result<Value<'a>> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    fn pop_mark(&mut self) -> Result<Vec<Value<'a>>> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => bail!(Malformed, "there is no mark on the stack"),
        }
    }

    fn tuple<const N: usize>(&mut self) -> Result<Value<'a>> {
        if self.height() < N {
            bail!(Malformed, "the stack has no {N} values for a tuple");
        }
        let elements = self.stack.split_off(self.stack.len() - N);
        Ok(self.heap.new_tuple(elements))
    }

    fn add_to_list(&self) -> Result<()> {
        match self.top()? {
            Value::List => Ok(()),
            other => bail!(Malformed, "{other} is no list"),
        }
    }

    fn put(&mut self, number: u64) -> Result<()> {
        self.memo.insert(number, self.top()?);
        Ok(())
    }

    fn get(&self, number: u64) -> Result<Value<'a>> {
        match self.memo.get(&number) {
            Some(value) => Ok(*value),
            None => bail!(Malformed, "nothing was stored under {number}"),
        }
    }
}

/// A whole number, the lowest byte first, the highest with the sign.
fn long<'a>(bytes: &[u8]) -> Value<'a> {
    let mut extended = [if bytes.last().is_some_and(|high| *high > 0x7F) { 0xFF } else { 0 }; 8];
    match extended.get_mut(..bytes.len()) {
        Some(low) => low.copy_from_slice(bytes),
        None => return Value::Other,
    }
    Value::Int(i64::from_le_bytes(extended))
}

#[cfg(test)]
mod tests;
