//! Grouped integers by the relaxed dot products.
//!
//! Codes of 4 bits are valid second operands on every engine. Codes of 8 bits are not, and engines
//! differ. Where the second operand is taken as unsigned (`vpdpbusd` of x86-64), it can be the code
//! plus 128; where it is taken as signed (`sdot` of arm64), the code itself. On some engines
//! neither is right. So each form is a backend of its own, and the self-test decides.

#![forbid(unsafe_code)]

use super::relaxed_dot::RelaxedDot;
use super::vector::{Simd128, load_32, splat};
use crate::kernels::groups::GroupDot;
use crate::tensor::CHUNK_BYTES;
use core::arch::wasm32::*;

/// Second operands are codes of 8 bits.
pub(super) const INT8: u8 = 0;
/// Second operands are codes of 8 bits plus 128.
pub(super) const UINT8: u8 = 1;
/// Second operands are codes of 4 bits.
pub(super) const NIBBLE: u8 = 2;

/// Codes in the form `OPERAND`, multiplied with `D`. Sums in i16 take codes of 4 bits only, and
/// grow to at most `8 * 2 * 15 * 127 = 30480` in a group.
#[derive(Clone, Copy)]
pub(super) struct RelaxedCodes<D, const OPERAND: u8>(pub(super) D);

impl<D: RelaxedDot, const OPERAND: u8> GroupDot for RelaxedCodes<D, OPERAND> {
    type Isa = Simd128;
    type Weights = [v128; 2];
    type Sums = [v128; 2];
    type Quad = [i8; 4];
    type Batched = Self;
    const OFFSET: i32 = if OPERAND == UINT8 { 128 } else { 0 };

    fn isa(self) -> Simd128 {
        Simd128
    }

    fn decode<const F: usize>(self, chunk: &[u8; CHUNK_BYTES]) -> [v128; 2] {
        let codes = load_32(chunk);
        match OPERAND {
            INT8 => codes,
            UINT8 => codes.map(|codes| v128_xor(codes, u8x16_splat(0x80))),
            _ => codes.map(|codes| v128_and(u16x8_shr(codes, 4 * F as u32), u8x16_splat(15))),
        }
    }

    fn step(self, sums: [v128; 2], weights: [v128; 2], x: &[i8; 4]) -> [v128; 2] {
        let x = splat(*x);
        std::array::from_fn(|i| self.0.dot_add(sums[i], x, weights[i]))
    }

    fn reduce(self, sums: [v128; 2]) -> [v128; 2] {
        sums.map(|sum| self.0.widen(sum))
    }
}
