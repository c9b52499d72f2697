//! GGUF: the file format of llama.cpp, read as a stream and written.
//!
//! # The file
//!
//! All numbers are little-endian; a *string* is a u64 length and that many bytes of UTF-8.
//!
//! 1. **Preamble**, 24 bytes: `GGUF`, the version (u32; 2 and 3 are the same for us), how many
//!    tensors (u64), how many metadata pairs (u64).
//! 2. **Metadata**: for each pair its key (string), the kind of its value (u32, see [`Kind`]) and
//!    the value. An array is the kind of its elements (u32), their number (u64) and the elements,
//!    which may be arrays again.
//! 3. **Tensor directory**: for each tensor its name (string), how many dimensions (u32), the
//!    dimensions (u64 each, the fastest first), its type (u32, see [`GgmlType`]) and the offset of
//!    its bytes in the data (u64).
//! 4. Padding up to a multiple of `general.alignment` (32 when that key is absent).
//! 5. **Data**: the bytes of the tensors, each at a multiple of the alignment, in any order, with
//!    no overlap. Bytes between and after them mean nothing.
//!
//! # Reading
//!
//! A [`Decoder`] is *pushed*: it does no I/O, never waits and owns no thread. The caller hands it
//! bytes in pieces of any size, as they come from a socket, a file or a test, and gets
//! [`GgufEvent`]s.
//! How the bytes were cut cannot be seen in what comes out, errors included. No number read from a
//! file reaches an allocator before it was compared with a named [limit](Limits) and, when the
//! caller knows how long the file is, with the bytes that remain.
//!
//! ```
//! use webtern::gguf::{Decoder, GgufEvent, GgmlType, Limits, Metadata, TensorSpec, Writer};
//!
//! let mut metadata = Metadata::default();
//! metadata.insert("general.architecture", "llama");
//! let spec = TensorSpec { name: "output_norm.weight".into(), dims: vec![2], ty: GgmlType::F32 };
//! let mut writer = Writer::new(Vec::new(), &metadata, &[spec])?;
//! writer.write_tensor("output_norm.weight", &[0, 0, 128, 63, 0, 0, 0, 64])?;
//! let file = writer.finish()?;
//!
//! let mut decoder = Decoder::new(Limits::default());
//! let mut received = Vec::new();
//! for mut piece in file.chunks(7) {
//!     while let Some(event) = decoder.decode(&mut piece)? {
//!         if let GgufEvent::Data { bytes, .. } = event {
//!             received.extend_from_slice(bytes);
//!         }
//!     }
//! }
//! decoder.finish()?;
//! assert_eq!(received, [0, 0, 128, 63, 0, 0, 0, 64]);
//! # Ok::<(), webtern::Error>(())
//! ```
//!
//! Source: `docs/gguf.md` of ggml, and llama.cpp's `gguf.cpp` where the two differ.

#![forbid(unsafe_code)]

mod cursor;
mod decoder;
mod header;
mod limits;
mod metadata;
mod parser;
mod q2_layout;
mod sniff;
pub mod split;
mod tensor_info;
mod types;
mod value;
mod writer;

#[cfg(test)]
mod tests;

pub use decoder::{Decoder, GgufEvent};
pub use header::Header;
pub use limits::Limits;
pub use metadata::Metadata;
pub use tensor_info::TensorInfo;
pub use types::GgmlType;
pub use value::{Array, Kind, Value};
pub use writer::{TensorSpec, Writer};

/// The versions that are read. The two differ only in that 3 may be big-endian, which webtern does
/// not read.
const VERSIONS: [u32; 2] = [2, 3];
