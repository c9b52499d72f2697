//! Products of 8 rows of grouped integer weights with rows of int8 activations, written once for every instruction set.
//!
//! The codes of a group are multiplied as integers, exactly, by a [`Group`], 8 rows by 4 columns at a step; then
//! `sum * (factor * scale)` is added to one f32 a row, in the order of the groups. A lane is a row, so nothing is added across
//! lanes and the order is the same on every instruction set.

#![forbid(unsafe_code)]

use super::Q8Rows;
use crate::tensor::{GroupLayout, STRIP, STRIP_LINE, Strip};

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
    fn rows(self, floats: Self::Floats) -> [f32; STRIP];
}

/// [`super::Kernels::strip`] with `bytes` for layouts of 8 bits and `nibbles` for those of 4, `N` activation rows at a time.
#[inline(always)]
pub(super) fn strip<B: Group, H: Group, const N: usize>(
    bytes: B,
    nibbles: H,
    strip: &Strip<'_>,
    x: Q8Rows<'_>,
    out: &mut [[f32; STRIP]],
) {
    match strip.layout {
        GroupLayout::Bytes32 => multiply::<_, 1, 8, N>(bytes, strip, x, out),
        GroupLayout::Bytes16 => multiply::<_, 1, 4, N>(bytes, strip, x, out),
        GroupLayout::Nibbles32 => multiply::<_, 2, 8, N>(nibbles, strip, x, out),
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
    let (whole, rest) = out.as_chunks_mut::<N>();
    let count = whole.len() * N;
    for (i, out) in whole.iter_mut().enumerate() {
        *out = products::<G, FIELDS, STEPS, N>(group, strip, std::array::from_fn(|n| x.row(i * N + n)));
    }
    for (i, out) in rest.iter_mut().enumerate() {
        [*out] = products::<G, FIELDS, STEPS, 1>(group, strip, [x.row(count + i)]);
    }
}

#[inline(always)]
fn products<G: Group, const FIELDS: usize, const STEPS: usize, const N: usize>(
    group: G,
    strip: &Strip<'_>,
    x: [Q8Rows<'_>; N],
) -> [[f32; STRIP]; N] {
    let (none, zero) = group.zero();
    let mut floats = [zero; N];
    for (index, (lines, factors)) in strip.codes.chunks_exact(STEPS / FIELDS).zip(strip.factors).enumerate() {
        let quads: [&[Quad]; N] = std::array::from_fn(|n| &x[n].values.as_chunks().0[index * STEPS..][..STEPS]);
        let mut sums = [none; N];
        for (i, line) in lines.iter().enumerate() {
            let weights = group.decode::<0>(line);
            for n in 0..N {
                sums[n] = group.step(sums[n], weights, quads[n][i * FIELDS]);
            }
            if FIELDS == 2 {
                let weights = group.decode::<1>(line);
                for n in 0..N {
                    sums[n] = group.step(sums[n], weights, quads[n][i * FIELDS + 1]);
                }
            }
        }
        for n in 0..N {
            let scale = x[n].scales[index * STEPS / 8];
            let total: i32 = x[n].totals[index * STEPS / 4..][..STEPS / 4].iter().sum();
            floats[n] = group.scale(floats[n], sums[n], (G::OFFSET + strip.zero) * total, factors, scale);
            if let Some(mins) = strip.mins {
                floats[n] = group.lower(floats[n], total, &mins[index], scale);
            }
        }
    }
    let mut out = [[0.0; STRIP]; N];
    for n in 0..N {
        out[n] = group.rows(floats[n]);
    }
    out
}
