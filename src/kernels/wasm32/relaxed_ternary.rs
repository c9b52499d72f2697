//! Ternary weights by the relaxed dot products. Codes are 0..=2, so the results are exact on every
//! engine.

#![forbid(unsafe_code)]

use super::relaxed_dot::RelaxedDot;
use super::vector::{Simd128, add_to, splat};
use crate::kernels::isa::Isa;
use crate::kernels::ternary::TernaryDot;
use crate::tensor::{TILE, TILE_BYTES};
use core::arch::wasm32::*;

/// Ternary weights multiplied with `D`.
#[derive(Clone, Copy)]
pub(super) struct RelaxedTernary<D> {
    dot: D,
    /// The codes of a byte's steps 0 and 2.
    even: v128,
    /// The codes of steps 1 and 3, which stay where they are, four times too large: a single shift
    /// divides the sum of their products.
    odd: v128,
}

impl<D> RelaxedTernary<D> {
    pub(super) const fn new(dot: D) -> Self {
        const fn splat(mask: u8) -> v128 {
            let m = mask;
            u8x16(m, m, m, m, m, m, m, m, m, m, m, m, m, m, m, m)
        }
        Self { dot, even: splat(0b0011), odd: splat(0b1100) }
    }
}

impl<D: RelaxedDot> TernaryDot for RelaxedTernary<D> {
    type Isa = Simd128;
    type Sums = [v128; 4];
    /// In i16 a lane grows by at most `2 * 2 * 127` per step.
    const MAX_STEPS: usize = 64;
    const ZERO_CODE: i32 = 1;

    fn isa(self) -> Simd128 {
        Simd128
    }

    fn decode<const S: usize>(self, tile: &[u8; TILE_BYTES]) -> [v128; 4] {
        Simd128.load(tile).map(|codes| v128_and(u16x8_shr(codes, 2 * S as u32), u8x16_splat(3)))
    }

    fn step(self, sums: [v128; 4], weights: [v128; 4], x: [i8; 4]) -> [v128; 4] {
        let x = splat(x);
        std::array::from_fn(|i| self.dot.dot_add(sums[i], x, weights[i]))
    }

    fn tile(self, sums: [v128; 4], tile: &[u8; TILE_BYTES], x: &[[i8; 4]; 4]) -> [v128; 4] {
        let (x, codes) = (x.map(splat), Simd128.load(tile));
        std::array::from_fn(|i| self.dot.tile(sums[i], codes[i], u16x8_shr(codes[i], 4), self.even, self.odd, x))
    }

    fn reduce(self, sums: [v128; 4], out: &mut [i32; TILE]) {
        add_to(sums.map(|sum| self.dot.widen(sum)), out);
    }

    #[cfg(feature = "bench")]
    fn peak(self, rounds: usize) -> u64 {
        let weights = i8x16_splat(2);
        super::vector::peak(rounds, |sum| self.dot.dot_add(sum, sum, weights))
    }
}
