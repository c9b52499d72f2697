//! Products of 8 rows of grouped integer weights with rows of int8 activations, written once for every instruction set.
//!
//! The codes of a group are multiplied as integers, exactly, by a [`Group`], 8 rows by 4 columns at a step; then
//! `sum * (factor * scale)` is added to one f32 a row, in the order of the groups. A lane is a row, so nothing is added across
//! lanes and the order is the same on every instruction set.
//!
//! One row of activations takes weights that are decoded in registers. Several rows share what is decoded to a scratch, which
//! stays in the first-level cache.

#![forbid(unsafe_code)]

use super::{Q8Rows, even_parts};
use crate::tensor::{GroupLayout, STRIP, STRIP_LINE, Strip};

/// Steps decoded at a time, at most: 576 columns.
const SCRATCH: usize = 144;

/// Four adjacent activations.
type Quad = [i8; 4];

/// How an instruction set multiplies 8 rows by 4 columns. A value of the type is proof that the instructions are there.
pub(super) trait Group: Copy {
    /// 32 weights in registers.
    type Weights: Copy;
    /// Integer sums of one group and one activation row.
    type Sums: Copy;
    /// A float for each of the 8 rows.
    type Floats: Copy;
    /// What [`Group::decode`] adds to each weight.
    const OFFSET: i32;

    /// Step `F` of those in a line.
    fn decode<const F: usize>(self, line: &[u8; STRIP_LINE]) -> Self::Weights;
    fn zero(self) -> (Self::Sums, Self::Floats);
    /// `sums + weights x`.
    fn step(self, sums: Self::Sums, weights: Self::Weights, x: Quad) -> Self::Sums;
    /// `floats + (sums - offset) * (factors * scale)`.
    fn scale(
        self,
        floats: Self::Floats,
        sums: Self::Sums,
        offset: i32,
        factors: &[f32; STRIP],
        scale: f32,
    ) -> Self::Floats;
    /// `floats - total * (mins * scale)`.
    fn lower(self, floats: Self::Floats, total: i32, mins: &[f32; STRIP], scale: f32) -> Self::Floats;
    fn floats(self, rows: &[f32; STRIP]) -> Self::Floats;
    /// [`Group::floats`] turned around.
    fn rows(self, floats: Self::Floats) -> [f32; STRIP];
}

/// [`super::Kernels::strip`] with `bytes` for layouts of 8 bits, `N` activation rows at a time, and `nibbles` for those of 4, `M` at a time.
#[inline(always)]
pub(super) fn strip<B: Group, H: Group, const N: usize, const M: usize>(
    bytes: B,
    nibbles: H,
    strip: &Strip<'_>,
    x: Q8Rows<'_>,
    out: &mut [[f32; STRIP]],
) {
    match strip.layout {
        GroupLayout::Bytes32 => multiply::<_, 1, 8, N>(bytes, strip, x, out),
        GroupLayout::Bytes16 => multiply::<_, 1, 4, N>(bytes, strip, x, out),
        GroupLayout::Nibbles32 => multiply::<_, 2, 8, M>(nibbles, strip, x, out),
    }
}

/// Groups of `STEPS` steps, `FIELDS` of them in a line.
#[inline(always)]
fn multiply<G: Group, const FIELDS: usize, const STEPS: usize, const N: usize>(
    group: G,
    strip: &Strip<'_>,
    x: Q8Rows<'_>,
    out: &mut [[f32; STRIP]],
) {
    match out {
        [] => {}
        [out] => *out = vector::<_, FIELDS, STEPS>(group, strip, x),
        out => matrix::<_, FIELDS, STEPS, N>(group, strip, x, out),
    }
}

/// Products with one row.
#[inline(always)]
fn vector<G: Group, const FIELDS: usize, const STEPS: usize>(
    group: G,
    strip: &Strip<'_>,
    x: Q8Rows<'_>,
) -> [f32; STRIP] {
    let (none, mut floats) = group.zero();
    let quads = x.values.as_chunks().0.chunks_exact(STEPS);
    for (index, (lines, quads)) in strip.codes.chunks_exact(STEPS / FIELDS).zip(quads).enumerate() {
        let mut sums = none;
        for (line, quads) in lines.iter().zip(quads.chunks_exact(FIELDS)) {
            sums = group.step(sums, group.decode::<0>(line), quads[0]);
            if FIELDS == 2 {
                sums = group.step(sums, group.decode::<1>(line), quads[1]);
            }
        }
        floats = settle::<_, STEPS>(group, strip, x, index, floats, sums);
    }
    group.rows(floats)
}

/// Products with several rows.
#[inline(always)]
fn matrix<G: Group, const FIELDS: usize, const STEPS: usize, const N: usize>(
    group: G,
    strip: &Strip<'_>,
    x: Q8Rows<'_>,
    out: &mut [[f32; STRIP]],
) {
    let mut scratch = [group.decode::<0>(&[0; STRIP_LINE]); SCRATCH];
    let chunk = even_parts(strip.factors.len(), SCRATCH / STEPS);
    out.fill([0.0; STRIP]);
    for (index, lines) in strip.codes.chunks(chunk * STEPS / FIELDS).enumerate() {
        for (line, weights) in lines.iter().zip(scratch.chunks_exact_mut(FIELDS)) {
            weights[0] = group.decode::<0>(line);
            if FIELDS == 2 {
                weights[1] = group.decode::<1>(line);
            }
        }
        let weights = &scratch.as_chunks().0[..lines.len() * FIELDS / STEPS];
        let first = index * chunk;
        let (whole, rest) = out.as_chunks_mut::<N>();
        let count = whole.len() * N;
        for (i, out) in whole.iter_mut().enumerate() {
            add::<_, STEPS, N>(group, strip, weights, first, std::array::from_fn(|n| x.row(i * N + n)), out);
        }
        for (i, out) in rest.as_chunks_mut().0.iter_mut().enumerate() {
            add::<_, STEPS, 1>(group, strip, weights, first, [x.row(count + i)], out);
        }
    }
}

/// Adds products of decoded groups, the first of which is group `first`, with `N` rows.
#[inline(always)]
fn add<G: Group, const STEPS: usize, const N: usize>(
    group: G,
    strip: &Strip<'_>,
    weights: &[[G::Weights; STEPS]],
    first: usize,
    x: [Q8Rows<'_>; N],
    out: &mut [[f32; STRIP]; N],
) {
    let (none, zero) = group.zero();
    let mut floats = [zero; N];
    for n in 0..N {
        floats[n] = group.floats(&out[n]);
    }
    for (i, weights) in weights.iter().enumerate() {
        let index = first + i;
        let quads: [&[Quad]; N] = std::array::from_fn(|n| &x[n].values.as_chunks().0[index * STEPS..][..STEPS]);
        let mut sums = [none; N];
        for step in 0..STEPS {
            for n in 0..N {
                sums[n] = group.step(sums[n], weights[step], quads[n][step]);
            }
        }
        for n in 0..N {
            floats[n] = settle::<_, STEPS>(group, strip, x[n], index, floats[n], sums[n]);
        }
    }
    for n in 0..N {
        out[n] = group.rows(floats[n]);
    }
}

/// `floats` and the sums of group `index` of one row.
#[inline(always)]
fn settle<G: Group, const STEPS: usize>(
    group: G,
    strip: &Strip<'_>,
    x: Q8Rows<'_>,
    index: usize,
    floats: G::Floats,
    sums: G::Sums,
) -> G::Floats {
    let scale = x.scales[index * STEPS / 8];
    let total: i32 = x.totals[index * STEPS / 4..][..STEPS / 4].iter().sum();
    let floats = group.scale(floats, sums, (G::OFFSET + strip.zero) * total, &strip.factors[index], scale);
    match strip.mins {
        Some(mins) => group.lower(floats, total, &mins[index], scale),
        None => floats,
    }
}
