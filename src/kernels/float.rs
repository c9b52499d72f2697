//! Floating-point operations, once for all backends.
//!
//! They work on [`LANES`] values at a time without branches. The compiler vectorizes them, for the
//! instruction set of the backend that they are inlined into. Nothing is contracted or reordered,
//! so the bits are the same everywhere.

#![forbid(unsafe_code)]

use super::q8::{Q8Block, sum_of};
use super::{LANES, Q8_BLOCK, Q8Part, Rows, RowsMut, opaque};

/// The smallest absolute maximum that an activation row is scaled by, which bounds the scale.
const MIN_ABSMAX: f32 = 1e-5;

/// `1.5 * 2^23`. Added to a float below `2^22` in magnitude, it rounds that to an integer, halves
/// to even, and leaves it in the lowest bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// [`super::Kernels::quantize_row`].
#[inline(always)]
pub(super) fn quantize_row(x: &[f32], out: &mut [i8]) -> (f32, i32) {
    let max = absmax(x);
    let scale = 127.0 / if max < MIN_ABSMAX { MIN_ABSMAX } else { max };
    let (values, padding) = out.split_at_mut(x.len());
    padding.fill(0);
    let ((blocks, rest), (x_blocks, x_rest)) = (values.as_chunks_mut::<Q8_BLOCK>(), x.as_chunks::<Q8_BLOCK>());
    for (block, x) in blocks.iter_mut().zip(x_blocks) {
        let mut values = [0; Q8_BLOCK];
        quantize(x, scale, &mut values);
        // Otherwise the compiler stores four values at a time.
        *block = *opaque(&values);
    }
    quantize(x_rest, scale, rest);
    (scale, sum_of(values))
}

/// [`super::Kernels::quantize_q8`].
#[inline(always)]
pub(super) fn quantize_q8(x: &[f32], out: Q8Part<'_>) {
    match out {
        Q8Part::X4(blocks) => quantize_blocks(x, blocks),
        Q8Part::X1(blocks) => quantize_blocks(x, blocks),
    }
}

#[inline(always)]
fn quantize_blocks<const N: usize>(x: &[f32], blocks: &mut [Q8Block<N>]) {
    let cols = x.len() / N;
    for (index, block) in blocks.iter_mut().enumerate() {
        for n in 0..N {
            let x = &x[n * cols + index * Q8_BLOCK..][..Q8_BLOCK];
            let max = absmax(x);
            let mut values = [0; Q8_BLOCK];
            quantize(x, if max > 0.0 { 127.0 / max } else { 0.0 }, &mut values);
            block.set(n, max / 127.0, &values);
        }
    }
}

/// The largest magnitude; NaN if any value is.
#[inline(always)]
fn absmax(x: &[f32]) -> f32 {
    // The bits of magnitudes have the same order as integers, with NaN above all, and the maximum
    // of integers is one instruction everywhere.
    f32::from_bits(x.iter().fold(0, |max, x| max.max(x.to_bits() & !(1 << 31))))
}

/// `round_half_even(x * scale)`, which `scale` keeps within +-127.
#[inline(always)]
fn quantize(x: &[f32], scale: f32, out: &mut [i8]) {
    for (q, x) in out.iter_mut().zip(x) {
        *q = (x * scale + ROUND).to_bits() as i8;
    }
}

/// [`super::Kernels::dot_f32`].
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a_whole, a_rest) = a.as_chunks::<LANES>();
    let (b_whole, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_whole.iter().zip(b_whole) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    let [l0, l1, l2, l3, l4, l5, l6, l7] = lanes;
    let mut sum = ((l0 + l4) + (l2 + l6)) + ((l1 + l5) + (l3 + l7));
    for (a, b) in a_rest.iter().zip(b_rest) {
        sum += a * b;
    }
    sum
}

/// [`super::Kernels::panel_f32`], `N` rows at a time, whose sums stay in registers. The remaining
/// rows are done up to four at a time: with one row alone, every addition would wait for the last.
#[inline(always)]
pub(super) fn panel_f32<const N: usize>(a: Rows<'_>, b: &[[f32; LANES]], mut out: RowsMut<'_>) {
    let count = a.count();
    let mut row = 0;
    while row < count {
        row += match count - row {
            left if left >= N => panel_rows::<N>(a, b, &mut out, row),
            1 => panel_rows::<1>(a, b, &mut out, row),
            2 => panel_rows::<2>(a, b, &mut out, row),
            3 => panel_rows::<3>(a, b, &mut out, row),
            _ => panel_rows::<4>(a, b, &mut out, row),
        };
    }
}

/// Does `N` rows from `first` on, and returns how many they were.
#[inline(always)]
fn panel_rows<const N: usize>(a: Rows<'_>, b: &[[f32; LANES]], out: &mut RowsMut<'_>, first: usize) -> usize {
    let a: [&[f32]; N] = std::array::from_fn(|n| &a.values[(first + n) * a.stride..][..b.len()]);
    let mut sums: [[f32; LANES]; N] = std::array::from_fn(|n| *out.row(first + n));
    for (i, b) in b.iter().enumerate() {
        for n in 0..N {
            let a = a[n][i];
            for (sum, b) in sums[n].iter_mut().zip(b) {
                *sum += a * b;
            }
        }
    }
    for (n, sums) in sums.iter().enumerate() {
        *out.row(first + n) = *sums;
    }
    N
}
