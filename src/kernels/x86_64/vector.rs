//! 256-bit registers.

use crate::kernels::isa::Isa;
use crate::tensor::{CHUNK_BYTES, PANEL_ROWS, TILE_BYTES};
use core::arch::x86_64::*;

/// Proof that the processor has AVX2: there is no other way to a value than [`Avx2::detect`].
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    #[inline(always)]
    pub(super) fn load_32(self, bytes: &[u8; 32]) -> __m256i {
        // SAFETY: the reference covers the 32 bytes read, unaligned loads are allowed, and `self`
        // proves that the processor has AVX2.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_32(self, v: __m256i, bytes: &mut [u8; 32]) {
        // SAFETY: the reference covers the 32 bytes written, unaligned stores are allowed, and
        // `self` proves that the processor has AVX2.
        unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), v) }
    }

    #[inline(always)]
    fn load_f32(self, bytes: &[u8; 32]) -> __m256 {
        // SAFETY: the reference covers the 32 bytes read, unaligned loads are allowed, and `self`
        // proves that the processor has AVX2.
        unsafe { _mm256_loadu_ps(bytes.as_ptr().cast()) }
    }

    /// Four activations in each 32-bit lane.
    #[inline(always)]
    pub(super) fn splat(self, quad: [i8; 4]) -> __m256i {
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe { _mm256_set1_epi32(i32::from_le_bytes(bytemuck::cast(quad))) }
    }

    /// The i32 sums of adjacent i16.
    #[inline(always)]
    pub(super) fn add_pairs(self, pairs: __m256i) -> __m256i {
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe { _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)) }
    }
}

impl Isa for Avx2 {
    type Tile = [__m256i; 2];
    type Ints = __m256i;
    type Floats = __m256;

    #[inline(always)]
    fn load(self, bytes: &[u8; TILE_BYTES]) -> [__m256i; 2] {
        let [low, high] = bytemuck::cast_ref::<_, [[u8; 32]; 2]>(bytes);
        [self.load_32(low), self.load_32(high)]
    }

    #[inline(always)]
    fn store(self, tile: [__m256i; 2], bytes: &mut [u8; TILE_BYTES]) {
        let [low, high] = bytemuck::cast_mut::<_, [[u8; 32]; 2]>(bytes);
        self.store_32(tile[0], low);
        self.store_32(tile[1], high);
    }

    #[inline(always)]
    fn load_floats(self, floats: &[f32; PANEL_ROWS]) -> __m256 {
        self.load_f32(bytemuck::cast_ref(floats))
    }

    #[inline(always)]
    fn store_floats(self, floats: __m256) -> [f32; PANEL_ROWS] {
        let mut out = [0.0; PANEL_ROWS];
        // SAFETY: the array has the 32 bytes written, unaligned stores are allowed, and `self`
        // proves that the processor has AVX2.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), floats) };
        out
    }

    #[inline(always)]
    fn add_scaled(
        self,
        floats: __m256,
        sums: __m256i,
        offset: i32,
        weight_scales: &[u8; CHUNK_BYTES],
        scale: f32,
    ) -> __m256 {
        let weight_scales = self.load_f32(weight_scales);
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe {
            let sums = _mm256_cvtepi32_ps(_mm256_sub_epi32(sums, _mm256_set1_epi32(offset)));
            _mm256_add_ps(floats, _mm256_mul_ps(sums, _mm256_mul_ps(weight_scales, _mm256_set1_ps(scale))))
        }
    }

    #[inline(always)]
    fn sub_min(self, floats: __m256, x_sum: i32, mins: &[u8; CHUNK_BYTES], scale: f32) -> __m256 {
        let mins = self.load_f32(mins);
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe {
            let mins = _mm256_mul_ps(mins, _mm256_set1_ps(scale));
            _mm256_sub_ps(floats, _mm256_mul_ps(_mm256_set1_ps(x_sum as f32), mins))
        }
    }
}
