//! Grouped integers by the relaxed dot products.
//!
//! Codes of 4 bits are valid second operands everywhere. Codes of 8 bits are not, and engines differ: where the second operand is
//! taken as unsigned (`vpdpbusd` of x86-64) it can be the code plus 128, where it is taken as signed (`sdot` of arm64) the code
//! itself, and some get neither right. Each is a backend of its own, and the self-test decides.

use super::vector::{RowFloats, load_half, splat};
use crate::kernels::groups::GroupDot;
use crate::kernels::q8::Q8Block;
use crate::tensor::{CHUNK_BYTES, PANEL_ROWS};
use core::arch::wasm32::*;

/// What the second operand is.
pub(super) const SIGNED: u8 = 0;
/// See [`SIGNED`].
pub(super) const UNSIGNED: u8 = 1;
/// See [`SIGNED`].
pub(super) const NIBBLES: u8 = 2;

/// Sums of four products in i32.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct QuadDots<const CODES: u8>;

fn decode<const CODES: u8, const F: usize>(chunk: &[u8; CHUNK_BYTES]) -> [v128; 2] {
    let chunks = load_half(chunk);
    match CODES {
        SIGNED => chunks,
        UNSIGNED => chunks.map(|bytes| v128_xor(bytes, u8x16_splat(0x80))),
        _ => chunks.map(|bytes| v128_and(u16x8_shr(bytes, 4 * F as u32), u8x16_splat(15))),
    }
}

impl<const CODES: u8> GroupDot for QuadDots<CODES> {
    type Weights = [v128; 2];
    type Sums = [v128; 2];
    type Accumulators = RowFloats;
    type Quad = [i8; 4];
    type Batched = Self;
    const OFFSET: i32 = if CODES == UNSIGNED { 128 } else { 0 };

    fn batched(self) -> Self {
        self
    }

    fn decode<const F: usize>(self, chunk: &[u8; CHUNK_BYTES]) -> [v128; 2] {
        decode::<CODES, F>(chunk)
    }

    fn quads<const N: usize>(x: &Q8Block<N>) -> &[[[i8; 4]; N]; 8] {
        bytemuck::cast_ref(&x.values)
    }

    fn zero(self) -> [v128; 2] {
        [i32x4_splat(0); 2]
    }

    fn step(self, sums: [v128; 2], weights: [v128; 2], x: &[i8; 4]) -> [v128; 2] {
        let x = splat(*x);
        std::array::from_fn(|i| i32x4_relaxed_dot_i8x16_i7x16_add(x, weights[i], sums[i]))
    }

    fn fold(self, sums: [v128; 2]) -> [v128; 2] {
        sums
    }

    fn floats(self, rows: &[f32; PANEL_ROWS]) -> RowFloats {
        RowFloats::load(rows)
    }
}

/// Codes of 4 bits, sums of two products in i16: at most `8 * 2 * 15 * 127 = 30480` in a group.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct PairDots;

impl GroupDot for PairDots {
    type Weights = [v128; 2];
    type Sums = [v128; 2];
    type Accumulators = RowFloats;
    type Quad = [i8; 4];
    type Batched = Self;
    const OFFSET: i32 = 0;

    fn batched(self) -> Self {
        self
    }

    fn decode<const F: usize>(self, chunk: &[u8; CHUNK_BYTES]) -> [v128; 2] {
        decode::<NIBBLES, F>(chunk)
    }

    fn quads<const N: usize>(x: &Q8Block<N>) -> &[[[i8; 4]; N]; 8] {
        bytemuck::cast_ref(&x.values)
    }

    fn zero(self) -> [v128; 2] {
        [i16x8_splat(0); 2]
    }

    fn step(self, sums: [v128; 2], weights: [v128; 2], x: &[i8; 4]) -> [v128; 2] {
        let x = splat(*x);
        std::array::from_fn(|i| i16x8_add(sums[i], i16x8_relaxed_dot_i8x16_i7x16(x, weights[i])))
    }

    fn fold(self, sums: [v128; 2]) -> [v128; 2] {
        sums.map(|pairs| i32x4_extadd_pairwise_i16x8(pairs))
    }

    fn floats(self, rows: &[f32; PANEL_ROWS]) -> RowFloats {
        RowFloats::load(rows)
    }
}
