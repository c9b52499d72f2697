//! Weights in memory: aligned storage and matrices that know their own layout.
//!
//! A [`Matrix`] is made from the bytes of one GGUF tensor, once, when the last of them has arrived; from then on only the
//! kernels look inside. Ternary tensors are repacked to 2 bits a weight ([`PackedTernary`]), the usual quantised types to groups of
//! integers ([`PackedGroups`]); the others keep the blocks of the file ([`BlockMatrix`]).

#![forbid(unsafe_code)]

mod aligned;
mod groups;
mod matrix;
mod ternary;

pub use aligned::{room_for, zeroed_f32};
pub use groups::{GroupLayout, PackedGroups, STRIP, STRIP_LINE, Strip};
pub use matrix::{BlockMatrix, Matrix, Operand};
pub use ternary::{PackedTernary, TILE, TILE_BYTES};
