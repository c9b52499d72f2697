//! Weights in memory: aligned storage and matrices that know their own layout.
//!
//! A [`Matrix`] is made from the bytes of one GGUF tensor, row by row as they arrive
//! ([`MatrixBuilder`]); from then on only the kernels look inside. Ternary tensors are repacked to
//! 2 bits a weight ([`PackedTernary`], [`GroupedTernary`]), the other quantized types to groups of
//! integers ([`PackedGroups`]); floats stay as in the file ([`FloatMatrix`]).

#![forbid(unsafe_code)]

mod aligned;
mod builder;
mod code_tiles;
mod groups;
mod matrix;
mod ternary;

pub(crate) use aligned::{try_resize, try_with_capacity, try_zeroed};
pub(crate) use builder::MatrixBuilder;
pub(crate) use code_tiles::{TILE, TILE_BYTES};
pub(crate) use groups::{CHUNK_BYTES, GroupLayout, PANEL_ROWS, PackedGroups, RowPanel};
pub(crate) use matrix::{FloatMatrix, Matrix};
pub(crate) use ternary::{GroupedTernary, PackedTernary, TernaryPanel};
