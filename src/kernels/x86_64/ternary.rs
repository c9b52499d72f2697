//! Ternary weights by `vpmaddubsw`, which multiplies 32 unsigned codes by 32 signed activations and
//! adds adjacent products in i16.
//!
//! There are no closures here: one that the compiler does not inline is compiled without AVX2, and
//! calls a function for every instruction.

use super::vector::Avx2;
use crate::kernels::isa::Isa;
use crate::kernels::ternary::TernaryDot;
use crate::tensor::{TILE, TILE_BYTES};
use core::arch::x86_64::*;

impl TernaryDot for Avx2 {
    type Isa = Self;
    type Sums = [__m256i; 2];
    /// An i16 lane grows by at most `2 * 2 * 127` per step.
    const MAX_STEPS: usize = 64;
    const ZERO_CODE: i32 = 1;

    #[inline(always)]
    fn isa(self) -> Self {
        self
    }

    #[inline(always)]
    fn decode<const S: usize>(self, tile: &[u8; TILE_BYTES]) -> [__m256i; 2] {
        let [low, high] = self.load(tile);
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe {
            let (shift, mask) = (_mm_cvtsi32_si128(2 * S as i32), _mm256_set1_epi8(3));
            [
                _mm256_and_si256(_mm256_srl_epi16(low, shift), mask),
                _mm256_and_si256(_mm256_srl_epi16(high, shift), mask),
            ]
        }
    }

    #[inline(always)]
    fn step(self, sums: [__m256i; 2], weights: [__m256i; 2], x: [i8; 4]) -> [__m256i; 2] {
        let x = self.splat(x);
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe {
            [
                _mm256_add_epi16(sums[0], _mm256_maddubs_epi16(weights[0], x)),
                _mm256_add_epi16(sums[1], _mm256_maddubs_epi16(weights[1], x)),
            ]
        }
    }

    /// Masks the codes of odd steps where they are, four times too large, and so saves their shift:
    /// a single shift divides the sum of their products.
    #[inline(always)]
    fn tile(self, sums: [__m256i; 2], tile: &[u8; TILE_BYTES], x: &[[i8; 4]; 4]) -> [__m256i; 2] {
        let [low, high] = self.load(tile);
        let x = [self.splat(x[0]), self.splat(x[1]), self.splat(x[2]), self.splat(x[3])];
        [self.half_tile(sums[0], low, x), self.half_tile(sums[1], high, x)]
    }

    #[inline(always)]
    fn reduce(self, sums: [__m256i; 2], out: &mut [i32; TILE]) {
        let out = bytemuck::cast_mut(out);
        let old = self.load(out);
        let sums = [self.add_pairs(sums[0]), self.add_pairs(sums[1])];
        // SAFETY: `self` proves that the processor has AVX2.
        let new = unsafe { [_mm256_add_epi32(old[0], sums[0]), _mm256_add_epi32(old[1], sums[1])] };
        self.store(new, out);
    }

    #[cfg(feature = "bench")]
    #[inline(always)]
    fn peak(self, rounds: usize) -> u64 {
        use crate::kernels::ternary::PEAK_SUMS;
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe {
            let weights = _mm256_set1_epi8(2);
            let mut sums: [__m256i; PEAK_SUMS] = std::array::from_fn(|i| _mm256_set1_epi16(i as i16));
            for _ in 0..rounds {
                for sum in &mut sums {
                    *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(weights, *sum));
                }
            }
            std::hint::black_box(sums);
        }
        (rounds * PEAK_SUMS * 32) as u64
    }
}

impl Avx2 {
    /// `sums` plus the products of 8 rows of a tile.
    #[inline(always)]
    fn half_tile(self, sums: __m256i, codes: __m256i, x: [__m256i; 4]) -> __m256i {
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe {
            let (even_codes, odd_codes) = (_mm256_set1_epi8(0b0011), _mm256_set1_epi8(0b1100));
            let upper = _mm256_srli_epi16(codes, 4);
            let even = _mm256_add_epi16(
                _mm256_maddubs_epi16(_mm256_and_si256(codes, even_codes), x[0]),
                _mm256_maddubs_epi16(_mm256_and_si256(upper, even_codes), x[2]),
            );
            let odd = _mm256_add_epi16(
                _mm256_maddubs_epi16(_mm256_and_si256(codes, odd_codes), x[1]),
                _mm256_maddubs_epi16(_mm256_and_si256(upper, odd_codes), x[3]),
            );
            _mm256_add_epi16(sums, _mm256_add_epi16(even, _mm256_srai_epi16(odd, 2)))
        }
    }
}
