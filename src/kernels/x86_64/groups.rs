//! Grouped integers by `vpmaddubsw`, whose first operand is unsigned and whose second is signed.
//! Codes of 4 bits are multiplied as they are; of codes of 8 bits the magnitude is, and their sign
//! moves to the activation.

use super::vector::Avx2;
use crate::kernels::groups::GroupDot;
use crate::tensor::CHUNK_BYTES;
use core::arch::x86_64::*;

/// Codes of 8 bits, which are signed, or of 4 bits, which are not.
#[derive(Clone, Copy)]
pub(super) struct Codes<const BITS: u32>(pub(super) Avx2);

impl<const BITS: u32> GroupDot for Codes<BITS> {
    type Isa = Avx2;
    type Weights = __m256i;
    /// Codes of 8 bits: i32. Of 4 bits: i16, at most `8 * 2 * 15 * 127 = 30480` in a group.
    type Sums = __m256i;
    type Quad = [i8; 4];
    type Batched = Self;

    #[inline(always)]
    fn isa(self) -> Avx2 {
        self.0
    }

    #[inline(always)]
    fn decode<const F: usize>(self, chunk: &[u8; CHUNK_BYTES]) -> __m256i {
        let codes = self.0.load_32(chunk);
        if BITS == 8 {
            return codes;
        }
        // SAFETY: `self` holds the proof that the processor has AVX2.
        unsafe { _mm256_and_si256(_mm256_srl_epi16(codes, _mm_cvtsi32_si128(4 * F as i32)), _mm256_set1_epi8(15)) }
    }

    #[inline(always)]
    fn step(self, sums: __m256i, weights: __m256i, x: &[i8; 4]) -> __m256i {
        let x = self.0.splat(*x);
        // SAFETY: `self` holds the proof that the processor has AVX2.
        unsafe {
            if BITS == 8 {
                // At most 2 * 128 * 127 = 32512.
                let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
                _mm256_add_epi32(sums, self.0.add_pairs(pairs))
            } else {
                _mm256_add_epi16(sums, _mm256_maddubs_epi16(weights, x))
            }
        }
    }

    #[inline(always)]
    fn reduce(self, sums: __m256i) -> __m256i {
        if BITS == 8 { sums } else { self.0.add_pairs(sums) }
    }
}
