//! Weights in memory: aligned storage and matrices that know their own layout.
//!
//! A [`Matrix`] is made from the bytes of one GGUF tensor, once, when the last of them has arrived; from then on only the
//! kernels look inside. Ternary tensors are repacked to 2 bits a weight ([`PackedTernary`]); the others keep the blocks of
//! the file ([`BlockMatrix`]), because their kernels read those directly.

#![forbid(unsafe_code)]

mod aligned;
mod matrix;
mod ternary;

pub use aligned::{AlignedBytes, zeroed_f32};
pub use matrix::{BlockMatrix, Matrix};
pub use ternary::{PackedTernary, TILE, TILE_BYTES};
