//! Metadata values: what a key can hold.

#![forbid(unsafe_code)]

use crate::error::Result;
use std::fmt;

/// One row a kind: name of the variant, Rust type, id in the file, bytes it takes at least, name in
/// messages.
macro_rules! kinds {
    ($($kind:ident($ty:ty) = $id:literal, $bytes:literal, $name:literal;)+) => {
        /// The kinds of value of the format.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the variants are the format's own names")]
        pub enum Kind { $($kind),+ }

        impl Kind {
            /// The kind with id `id` in files.
            pub fn from_id(id: u32) -> Option<Self> {
                match id {
                    $($id => Some(Self::$kind),)+
                    _ => None,
                }
            }

            /// The id in files.
            pub fn id(self) -> u32 {
                match self { $(Self::$kind => $id),+ }
            }

            /// The name, such as `u32`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),+ }
            }

            /// Bytes that a value takes in a file: exactly so many, except for strings and arrays,
            /// at least so many.
            pub(super) fn min_bytes(self) -> u64 {
                match self { $(Self::$kind => $bytes),+ }
            }
        }

        /// One metadata value.
        #[derive(Clone, Debug, PartialEq)]
        #[expect(missing_docs, reason = "the variants are the format's own names")]
        pub enum Value { $($kind($ty)),+ }

        impl Value {
            /// Which kind it is.
            pub fn kind(&self) -> Kind {
                match self { $(Self::$kind(_) => Kind::$kind),+ }
            }
        }

        /// A metadata array: elements of one kind. Arrays of arrays may hold arrays of different
        /// kinds.
        #[derive(Clone, Debug, PartialEq)]
        #[expect(missing_docs, reason = "the variants are the format's own names")]
        pub enum Array { $($kind(Vec<$ty>)),+ }

        impl Array {
            /// An array of no elements.
            pub fn empty(kind: Kind) -> Self {
                match kind { $(Kind::$kind => Self::$kind(Vec::new())),+ }
            }

            /// The kind of the elements.
            pub fn kind(&self) -> Kind {
                match self { $(Self::$kind(_) => Kind::$kind),+ }
            }

            /// How many elements.
            pub fn len(&self) -> usize {
                match self { $(Self::$kind(elements) => elements.len()),+ }
            }
        }

        $(impl From<$ty> for Value {
            fn from(value: $ty) -> Self {
                Self::$kind(value)
            }
        }

        impl From<Vec<$ty>> for Value {
            fn from(elements: Vec<$ty>) -> Self {
                Self::Array(Array::$kind(elements))
            }
        })+
    };
}

kinds! {
    U8(u8) = 0, 1, "u8";
    I8(i8) = 1, 1, "i8";
    U16(u16) = 2, 2, "u16";
    I16(i16) = 3, 2, "i16";
    U32(u32) = 4, 4, "u32";
    I32(i32) = 5, 4, "i32";
    F32(f32) = 6, 4, "f32";
    Bool(bool) = 7, 1, "bool";
    String(String) = 8, 8, "string";
    Array(Array) = 9, 12, "array";
    U64(u64) = 10, 8, "u64";
    I64(i64) = 11, 8, "i64";
    F64(f64) = 12, 8, "f64";
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl Value {
    /// Any integer.
    pub(super) fn integer(&self) -> Option<i128> {
        Some(match *self {
            Self::U8(n) => n.into(),
            Self::I8(n) => n.into(),
            Self::U16(n) => n.into(),
            Self::I16(n) => n.into(),
            Self::U32(n) => n.into(),
            Self::I32(n) => n.into(),
            Self::U64(n) => n.into(),
            Self::I64(n) => n.into(),
            _ => return None,
        })
    }

    /// Any number, rounded to f32.
    pub(crate) fn float(&self) -> Option<f32> {
        match *self {
            Self::F32(x) => Some(x),
            Self::F64(x) => Some(x as f32),
            _ => self.integer().map(|n| n as f32),
        }
    }

    /// The value as found, for messages: `the u32 7`, `a string`, `an array of 3 i32`.
    pub(crate) fn found(&self) -> String {
        match self {
            Self::String(_) => "a string".to_owned(),
            Self::Array(array) => format!("an array of {} {}", array.len(), array.kind()),
            Self::F32(x) => format!("the f32 {x}"),
            Self::F64(x) => format!("the f64 {x}"),
            Self::Bool(b) => format!("the bool {b}"),
            _ => format!("the {} {}", self.kind(), self.integer().unwrap_or_default()),
        }
    }
}

impl Array {
    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the elements in `bytes`, little-endian, a whole number of them; not for strings and
    /// arrays, whose elements have no fixed size and of which this appends none.
    pub(super) fn extend_le(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::U8(elements) => elements.extend_from_slice(bytes),
            Self::I8(elements) => extend(elements, bytes, i8::from_le_bytes),
            Self::U16(elements) => extend(elements, bytes, u16::from_le_bytes),
            Self::I16(elements) => extend(elements, bytes, i16::from_le_bytes),
            Self::U32(elements) => extend(elements, bytes, u32::from_le_bytes),
            Self::I32(elements) => extend(elements, bytes, i32::from_le_bytes),
            Self::F32(elements) => extend(elements, bytes, f32::from_le_bytes),
            Self::U64(elements) => extend(elements, bytes, u64::from_le_bytes),
            Self::I64(elements) => extend(elements, bytes, i64::from_le_bytes),
            Self::F64(elements) => extend(elements, bytes, f64::from_le_bytes),
            Self::Bool(elements) => {
                for byte in bytes {
                    elements.push(bool_from_byte(*byte)?);
                }
            }
            Self::String(_) | Self::Array(_) => {}
        }
        Ok(())
    }

    /// Every element as a `T`, or `None` when they are no integers or one does not fit.
    pub(super) fn integers<T: TryFrom<i128>>(&self) -> Option<Vec<T>> {
        match self {
            Self::U8(elements) => convert(elements),
            Self::I8(elements) => convert(elements),
            Self::U16(elements) => convert(elements),
            Self::I16(elements) => convert(elements),
            Self::U32(elements) => convert(elements),
            Self::I32(elements) => convert(elements),
            Self::U64(elements) => convert(elements),
            Self::I64(elements) => convert(elements),
            _ => None,
        }
    }

    /// Every element rounded to f32, or `None` when they are no numbers.
    pub(super) fn floats(&self) -> Option<Vec<f32>> {
        match self {
            Self::F32(elements) => Some(elements.clone()),
            Self::F64(elements) => Some(elements.iter().map(|x| *x as f32).collect()),
            _ => Some(self.integers::<i128>()?.into_iter().map(|n| n as f32).collect()),
        }
    }
}

/// 0 is false, 1 is true; the format calls a file with any other byte damaged.
pub(super) fn bool_from_byte(byte: u8) -> Result<bool> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => bail!(Malformed, "a bool is the byte {byte}, and must be 0 or 1"),
    }
}

fn extend<const N: usize, T>(elements: &mut Vec<T>, bytes: &[u8], decode: fn([u8; N]) -> T) {
    elements.extend(bytes.as_chunks::<N>().0.iter().map(|chunk| decode(*chunk)));
}

fn convert<T: TryFrom<i128>, N: Copy + Into<i128>>(elements: &[N]) -> Option<Vec<T>> {
    elements.iter().map(|n| T::try_from((*n).into()).ok()).collect()
}
