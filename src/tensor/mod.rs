//! Weights in memory: aligned storage and matrices that know their own layout.
//!
//! A [`Matrix`] is made from the bytes of one GGUF tensor, once, when the last of them has arrived; from then on only the
//! kernels look inside. Ternary tensors are repacked to 2 bits a weight ([`PackedTernary`]), the usual quantized types to groups of
//! integers ([`PackedGroups`]); the others keep the blocks of the file ([`BlockMatrix`]).

#![forbid(unsafe_code)]

mod aligned;
mod groups;
mod matrix;
mod ternary;

pub use aligned::{try_with_capacity, try_zeroed};
pub use groups::{CHUNK_BYTES, GroupLayout, PANEL_ROWS, PackedGroups, RowPanel};
pub use matrix::{BlockMatrix, Matrix, Operand};
pub use ternary::{PackedTernary, TILE, TILE_BYTES};
