//! Grouped integers by `vpmaddubsw`, whose first operand is unsigned and second signed: codes of 4 bits as they are; of codes of
//! 8 bits the magnitude, their sign going to the activation.

use super::avx2::{Avx2, load};
use crate::kernels::groups::{Accumulators, GroupDot};
use crate::kernels::q8::Q8Block;
use crate::tensor::{CHUNK_BYTES, PANEL_ROWS};
use core::arch::x86_64::*;

/// Signed codes of 8 bits, sums in i32.
#[derive(Clone, Copy)]
pub(super) struct Bytes(pub(super) Avx2);

/// Codes of 4 bits, sums of two products in i16: at most `8 * 2 * 15 * 127 = 30480` in a group.
#[derive(Clone, Copy)]
pub(super) struct Nibbles(pub(super) Avx2);

#[inline(always)]
fn splat(_: Avx2, quad: [i8; 4]) -> __m256i {
    // SAFETY: the first argument proves that AVX2 is there.
    unsafe { _mm256_set1_epi32(i32::from_le_bytes(bytemuck::cast(quad))) }
}

#[inline(always)]
fn zero(_: Avx2) -> __m256i {
    // SAFETY: the first argument proves that AVX2 is there.
    unsafe { _mm256_setzero_si256() }
}

/// The four-fold sums of two-fold ones.
#[inline(always)]
fn fold(_: Avx2, pairs: __m256i) -> __m256i {
    // SAFETY: the first argument proves that AVX2 is there.
    unsafe { _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)) }
}

#[inline(always)]
fn load_floats(_: Avx2, chunk: &[u8; CHUNK_BYTES]) -> __m256 {
    // SAFETY: the reference covers the 32 bytes read, and the first argument proves that AVX2 is there.
    unsafe { _mm256_loadu_ps(chunk.as_ptr().cast()) }
}

/// Eight f32.
#[derive(Clone, Copy)]
pub(super) struct RowFloats(Avx2, __m256);

impl RowFloats {
    #[inline(always)]
    fn load(avx2: Avx2, rows: &[f32; PANEL_ROWS]) -> Self {
        Self(avx2, load_floats(avx2, bytemuck::cast_ref(rows)))
    }
}

impl Accumulators for RowFloats {
    type Sums = __m256i;

    #[inline(always)]
    fn add(self, sums: __m256i, offset: i32, weight_scales: &[u8; CHUNK_BYTES], scale: f32) -> Self {
        let Self(avx2, floats) = self;
        let weight_scales = load_floats(avx2, weight_scales);
        // SAFETY: an `Avx2` proves that AVX2 is there.
        Self(avx2, unsafe {
            let sums = _mm256_cvtepi32_ps(_mm256_sub_epi32(sums, _mm256_set1_epi32(offset)));
            _mm256_add_ps(floats, _mm256_mul_ps(sums, _mm256_mul_ps(weight_scales, _mm256_set1_ps(scale))))
        })
    }

    #[inline(always)]
    fn sub_min(self, sum_of: i32, mins: &[u8; CHUNK_BYTES], scale: f32) -> Self {
        let Self(avx2, floats) = self;
        let mins = load_floats(avx2, mins);
        // SAFETY: an `Avx2` proves that AVX2 is there.
        Self(avx2, unsafe {
            let mins = _mm256_mul_ps(mins, _mm256_set1_ps(scale));
            _mm256_sub_ps(floats, _mm256_mul_ps(_mm256_set1_ps(sum_of as f32), mins))
        })
    }

    #[inline(always)]
    fn rows(self) -> [f32; PANEL_ROWS] {
        let mut rows = [0.0; PANEL_ROWS];
        // SAFETY: the array has the 32 bytes written, and `self` holds an `Avx2`, which proves that AVX2 is there.
        unsafe { _mm256_storeu_ps(rows.as_mut_ptr(), self.1) };
        rows
    }
}

impl GroupDot for Bytes {
    type Weights = __m256i;
    type Sums = __m256i;
    type Accumulators = RowFloats;
    type Quad = [i8; 4];
    type Batched = Self;
    const OFFSET: i32 = 0;

    #[inline(always)]
    fn batched(self) -> Self {
        self
    }

    #[inline(always)]
    fn decode<const F: usize>(self, chunk: &[u8; CHUNK_BYTES]) -> __m256i {
        load(chunk)
    }

    #[inline(always)]
    fn quads<const N: usize>(x: &Q8Block<N>) -> &[[[i8; 4]; N]; 8] {
        bytemuck::cast_ref(&x.values)
    }

    #[inline(always)]
    fn zero(self) -> __m256i {
        zero(self.0)
    }

    #[inline(always)]
    fn step(self, sums: __m256i, weights: __m256i, x: &[i8; 4]) -> __m256i {
        let x = splat(self.0, *x);
        // SAFETY: `self` proves that AVX2 is there.
        unsafe {
            // At most 2 * 128 * 127 = 32512.
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
            _mm256_add_epi32(sums, fold(self.0, pairs))
        }
    }

    #[inline(always)]
    fn fold(self, sums: __m256i) -> __m256i {
        sums
    }

    #[inline(always)]
    fn floats(self, rows: &[f32; PANEL_ROWS]) -> RowFloats {
        RowFloats::load(self.0, rows)
    }
}

impl GroupDot for Nibbles {
    type Weights = __m256i;
    type Sums = __m256i;
    type Accumulators = RowFloats;
    type Quad = [i8; 4];
    type Batched = Self;
    const OFFSET: i32 = 0;

    #[inline(always)]
    fn batched(self) -> Self {
        self
    }

    #[inline(always)]
    fn decode<const F: usize>(self, chunk: &[u8; CHUNK_BYTES]) -> __m256i {
        let chunk = load(chunk);
        // SAFETY: `self` proves that AVX2 is there.
        unsafe { _mm256_and_si256(_mm256_srl_epi16(chunk, _mm_cvtsi32_si128(4 * F as i32)), _mm256_set1_epi8(15)) }
    }

    #[inline(always)]
    fn quads<const N: usize>(x: &Q8Block<N>) -> &[[[i8; 4]; N]; 8] {
        bytemuck::cast_ref(&x.values)
    }

    #[inline(always)]
    fn zero(self) -> __m256i {
        zero(self.0)
    }

    #[inline(always)]
    fn step(self, sums: __m256i, weights: __m256i, x: &[i8; 4]) -> __m256i {
        let x = splat(self.0, *x);
        // SAFETY: `self` proves that AVX2 is there.
        unsafe { _mm256_add_epi16(sums, _mm256_maddubs_epi16(weights, x)) }
    }

    #[inline(always)]
    fn fold(self, sums: __m256i) -> __m256i {
        fold(self.0, sums)
    }

    #[inline(always)]
    fn floats(self, rows: &[f32; PANEL_ROWS]) -> RowFloats {
        RowFloats::load(self.0, rows)
    }
}
