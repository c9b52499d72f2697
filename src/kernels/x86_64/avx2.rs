//! 256-bit SIMD: `vpmaddubsw` multiplies 32 codes, which are unsigned, with 32 signed activations.
//!
//! Everything here is compiled for AVX2 whatever the rest of the program is compiled for, and must not run elsewhere: the only
//! way to a value of [`Avx2`] is [`Avx2::detect`].

use super::groups::{Bytes, Nibbles};
use crate::kernels::ternary::{self, PEAK_SUMS, TernaryDot};
use crate::kernels::{Kernels, LANES, Q8Part, Q8Rows, float, groups};
use crate::tensor::{PANEL_ROWS, RowPanel, TILE, TILE_BYTES};
use core::arch::x86_64::*;
use std::sync::LazyLock;

/// Proof that the processor has AVX2.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Avx2(());

impl Avx2 {
    /// The backend, where the processor has it.
    pub(in crate::kernels) fn detect() -> Option<&'static dyn Kernels> {
        static FOUND: LazyLock<Option<Avx2>> = LazyLock::new(|| is_x86_feature_detected!("avx2").then_some(Avx2(())));
        FOUND.as_ref().map(|backend| backend as &dyn Kernels)
    }
}

#[inline(always)]
pub(super) fn load(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: the reference covers the 32 bytes read, and the instruction has no alignment requirement.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline(always)]
fn store(bytes: &mut [u8; 32], v: __m256i) {
    // SAFETY: the reference covers the 32 bytes written, and the instruction has no alignment requirement.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), v) }
}

impl TernaryDot for Avx2 {
    type Weights = [__m256i; 2];
    type Sums = [__m256i; 2];
    /// A lane of i16 grows by at most `2 * 2 * 127` a step.
    const LIMIT: usize = 64;
    const ZERO_CODE: i32 = 1;

    #[inline(always)]
    fn decode<const S: usize>(self, tile: &[u8; TILE_BYTES]) -> [__m256i; 2] {
        let [low, high] = self.load(tile);
        // SAFETY: `self` proves that AVX2 is there.
        unsafe {
            let (shift, mask) = (_mm_cvtsi32_si128(2 * S as i32), _mm256_set1_epi8(3));
            [
                _mm256_and_si256(_mm256_srl_epi16(low, shift), mask),
                _mm256_and_si256(_mm256_srl_epi16(high, shift), mask),
            ]
        }
    }

    #[inline(always)]
    fn store(self, weights: [__m256i; 2], to: &mut [u8; TILE_BYTES]) {
        let [low, high] = bytemuck::cast_mut::<_, [[u8; 32]; 2]>(to);
        store(low, weights[0]);
        store(high, weights[1]);
    }

    #[inline(always)]
    fn load(self, from: &[u8; TILE_BYTES]) -> [__m256i; 2] {
        let [low, high] = bytemuck::cast_ref::<_, [[u8; 32]; 2]>(from);
        [load(low), load(high)]
    }

    #[inline(always)]
    fn zero(self) -> [__m256i; 2] {
        // SAFETY: `self` proves that AVX2 is there.
        unsafe { [_mm256_setzero_si256(); 2] }
    }

    #[inline(always)]
    fn step(self, sums: [__m256i; 2], weights: [__m256i; 2], x: [i8; 4]) -> [__m256i; 2] {
        // SAFETY: `self` proves that AVX2 is there.
        unsafe {
            let x = _mm256_set1_epi32(i32::from_le_bytes(bytemuck::cast(x)));
            [
                _mm256_add_epi16(sums[0], _mm256_maddubs_epi16(weights[0], x)),
                _mm256_add_epi16(sums[1], _mm256_maddubs_epi16(weights[1], x)),
            ]
        }
    }

    /// Four times the codes of odd fields are as good an operand as the codes, and need no shift.
    #[inline(always)]
    fn tile(self, sums: [__m256i; 2], tile: &[u8; TILE_BYTES], x: &[[i8; 4]; 4]) -> [__m256i; 2] {
        let chunk = self.load(tile);
        // SAFETY: `self` proves that AVX2 is there.
        unsafe {
            let x = x.map(|x| _mm256_set1_epi32(i32::from_le_bytes(bytemuck::cast(x))));
            let [even_codes, odd_codes] = [0b0011, 0b1100].map(|mask| _mm256_set1_epi8(mask));
            let dot = |codes, mask, x| _mm256_maddubs_epi16(_mm256_and_si256(codes, mask), x);
            std::array::from_fn(|i| {
                let (low, high) = (chunk[i], _mm256_srli_epi16(chunk[i], 4));
                let even = _mm256_add_epi16(dot(low, even_codes, x[0]), dot(high, even_codes, x[2]));
                let odd = _mm256_add_epi16(dot(low, odd_codes, x[1]), dot(high, odd_codes, x[3]));
                _mm256_add_epi16(sums[i], _mm256_add_epi16(even, _mm256_srai_epi16(odd, 2)))
            })
        }
    }

    #[inline(always)]
    fn add(self, sums: [__m256i; 2], out: &mut [i32; TILE]) {
        let out = bytemuck::cast_mut(out);
        let old = self.load(out);
        // SAFETY: `self` proves that AVX2 is there.
        let new = std::array::from_fn(|i| unsafe {
            _mm256_add_epi32(old[i], _mm256_madd_epi16(sums[i], _mm256_set1_epi16(1)))
        });
        TernaryDot::store(self, new, out);
    }

    #[inline(always)]
    fn peak(self, rounds: usize) -> u64 {
        // SAFETY: `self` proves that AVX2 is there.
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

/// Compiles a function for AVX2 and calls it.
macro_rules! with_avx2 {
    ($self:ident, $function:path, $($argument:ident: $type:ty),* => $result:ty) => {{
        #[target_feature(enable = "avx2")]
        fn compiled($($argument: $type),*) -> $result {
            $function($($argument),*)
        }
        let Avx2(()) = $self;
        // SAFETY: there is an `Avx2`, so AVX2 is there.
        unsafe { compiled($($argument),*) }
    }};
}

impl Kernels for Avx2 {
    fn name(&self) -> &'static str {
        "x86_64-avx2"
    }

    fn ternary_tile(&self, tiles: &[u8], x: &[i8], x_sums: &[i32], sums: &mut [[i32; TILE]]) {
        #[target_feature(enable = "avx2")]
        fn compiled(avx2: Avx2, tiles: &[u8], x: &[i8], x_sums: &[i32], sums: &mut [[i32; TILE]]) {
            ternary::tile::<_, 4>(avx2, tiles, x, x_sums, sums);
        }
        // SAFETY: `self` proves that AVX2 is there.
        unsafe { compiled(*self, tiles, x, x_sums, sums) }
    }

    fn group_panel(&self, panel: &RowPanel<'_>, x: &Q8Rows, out: &mut [[f32; PANEL_ROWS]]) {
        #[target_feature(enable = "avx2")]
        fn compiled(avx2: Avx2, panel: &RowPanel<'_>, x: &Q8Rows, out: &mut [[f32; PANEL_ROWS]]) {
            groups::group_panel(Bytes(avx2), Nibbles(avx2), panel, x, out);
        }
        // SAFETY: `self` proves that AVX2 is there.
        unsafe { compiled(*self, panel, x, out) }
    }

    fn peak(&self, rounds: usize) -> u64 {
        #[target_feature(enable = "avx2")]
        fn compiled(avx2: Avx2, rounds: usize) -> u64 {
            TernaryDot::peak(avx2, rounds)
        }
        // SAFETY: `self` proves that AVX2 is there.
        unsafe { compiled(*self, rounds) }
    }

    fn quantize_row(&self, x: &[f32], out: &mut [i8]) -> (f32, i32) {
        with_avx2!(self, float::quantize_row, x: &[f32], out: &mut [i8] => (f32, i32))
    }

    fn quantize_q8(&self, x: &[f32], out: Q8Part<'_>) {
        with_avx2!(self, float::quantize_q8, x: &[f32], out: Q8Part<'_> => ());
    }

    fn dot_f32(&self, a: &[f32], b: &[f32]) -> f32 {
        with_avx2!(self, float::dot, a: &[f32], b: &[f32] => f32)
    }

    fn panel_f32(&self, a: (&[f32], usize), b: &[[f32; LANES]], out: (&mut [f32], usize)) {
        with_avx2!(self, float::panel_f32::<8>, a: (&[f32], usize), b: &[[f32; LANES]], out: (&mut [f32], usize) => ());
    }
}
