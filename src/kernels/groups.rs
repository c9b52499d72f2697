//! Products of 8 rows of grouped integer weights with rows of int8 activations, written once for every instruction set.
//!
//! The codes of a group are multiplied as integers, exactly, by a [`Group`], 8 rows by 4 columns at a step; then
//! `sum * (factor * scale)` is added to one f32 a row, in the order of the groups. A lane is a row, so nothing is added across
//! lanes and the order is the same on every instruction set.
//!
//! One row of activations takes weights that are decoded in registers. Several rows share what is decoded: some groups at a time
//! go past all of them, four rows at a time, whose sums fit the vector registers.
//!
//! There the steps of a group are written out, and between any two of them is an exit that is never taken, which the compiler does
//! not know. Without it, it puts the additions in another order, and then V8, which keeps the order it is given, needs more
//! registers than there are.

#![forbid(unsafe_code)]

use super::q8::{Q8_BLOCK, Q8_ROWS, Q8Block, Q8Rows};
use crate::tensor::{GroupLayout, STRIP, STRIP_LINE, Strip};
use std::hint::black_box;

/// Steps in a block of activations.
const BLOCK_STEPS: usize = Q8_BLOCK / 4;

/// Groups that are decoded before all rows go past them.
const PART: usize = 8;

type Line = [u8; STRIP_LINE];

/// How an instruction set multiplies 8 rows by 4 columns. A value of the type is proof that the instructions are there.
pub(super) trait Group: Copy {
    /// 32 weights in registers.
    type Weights: Copy;
    /// Integer sums of one group and one activation row.
    type Sums: Copy;
    /// What its sums are added to.
    type Floats: Floats;
    /// Four adjacent activations.
    type Quad: Copy;
    /// What multiplies several rows.
    type Several: Group;
    /// What [`Group::decode`] adds to each weight.
    const OFFSET: i32;
    /// Whether [`Group::step`] is only half of one, for want of registers.
    const REST: bool = false;

    fn several(self) -> Self::Several;
    /// Step `F` of those in a line.
    fn decode<const F: usize>(self, line: &Line) -> Self::Weights;
    fn quads<const N: usize>(x: &Q8Block<N>) -> &[[Self::Quad; N]; BLOCK_STEPS];
    fn zero(self) -> Self::Sums;
    /// `sums + weights x`.
    fn step(self, sums: Self::Sums, weights: Self::Weights, x: &Self::Quad) -> Self::Sums;
    /// The other half.
    fn rest(self, sums: Self::Sums, _weights: Self::Weights, _x: &Self::Quad) -> Self::Sums {
        sums
    }
    /// One sum for each of the 8 rows.
    fn fold(self, sums: Self::Sums) -> <Self::Floats as Floats>::Sums;
    fn floats(self, rows: &[f32; STRIP]) -> Self::Floats;
}

/// A float for each of the 8 rows, the same for every [`Group`] of an instruction set.
pub(super) trait Floats: Copy {
    /// An i32 for each of them.
    type Sums;

    /// `self + (sums - offset) * (factors * scale)`.
    fn add(self, sums: Self::Sums, offset: i32, factors: &Line, scale: f32) -> Self;
    /// `self - total * (mins * scale)`.
    fn lower(self, total: i32, mins: &Line, scale: f32) -> Self;
    /// [`Group::floats`] turned around.
    fn rows(self) -> [f32; STRIP];
}

/// [`super::Kernels::strip`] with `bytes` for layouts of 8 bits, and `nibbles` for those of 4.
#[inline(always)]
pub(super) fn strip<B: Group, H: Group>(bytes: B, nibbles: H, strip: &Strip<'_>, x: &Q8Rows, out: &mut [[f32; STRIP]]) {
    match strip.layout {
        GroupLayout::Bytes32 => multiply::<_, 1, 8>(bytes, 0, strip, x, out),
        GroupLayout::Bytes16 => multiply::<_, 1, 4>(bytes, 0, strip, x, out),
        GroupLayout::Nibbles32 => multiply::<_, 2, 8>(nibbles, strip.zero, strip, x, out),
    }
}

/// Groups of `STEPS` steps, `FIELDS` of them in a line.
#[inline(always)]
fn multiply<G: Group, const FIELDS: usize, const STEPS: usize>(
    group: G,
    zero: i32,
    strip: &Strip<'_>,
    x: &Q8Rows,
    out: &mut [[f32; STRIP]],
) {
    match out {
        [] => {}
        [out] => *out = vector::<_, FIELDS, STEPS>(group, zero, strip, &x.ones),
        out => matrix::<_, FIELDS, STEPS>(group.several(), zero, strip, x, out),
    }
}

/// Products with one row.
#[inline(always)]
fn vector<G: Group, const FIELDS: usize, const STEPS: usize>(
    group: G,
    zero: i32,
    strip: &Strip<'_>,
    x: &[Q8Block<1>],
) -> [f32; STRIP] {
    let step = |sums, weights, x: &G::Quad| group.rest(group.step(sums, weights, x), weights, x);
    let mut floats = group.floats(&[0.0; STRIP]);
    for (index, lines) in strip.lines.chunks_exact(strip.group_lines).enumerate() {
        let (head, codes) = lines.split_at(1 + usize::from(strip.mins));
        let part = Part::of::<STEPS>(index);
        let x = &x[part.block];
        let mut sums = group.zero();
        for (line, quads) in codes.iter().zip(G::quads(x)[part.step..].chunks_exact(FIELDS)) {
            sums = step(sums, group.decode::<0>(line), &quads[0][0]);
            if FIELDS == 2 {
                sums = step(sums, group.decode::<1>(line), &quads[1][0]);
            }
        }
        floats = settle::<_, STEPS, 1>(group, zero, head, (x, 0, part), floats, sums);
    }
    floats.rows()
}

/// Products with several rows.
#[inline(always)]
fn matrix<G: Group, const FIELDS: usize, const STEPS: usize>(
    group: G,
    zero: i32,
    strip: &Strip<'_>,
    x: &Q8Rows,
    out: &mut [[f32; STRIP]],
) {
    let width = x.blocks();
    let mut decoded = [[group.decode::<0>(&[0; STRIP_LINE]); STEPS]; PART];
    out.fill([0.0; STRIP]);
    for (part, lines) in strip.lines.chunks(PART * strip.group_lines).enumerate() {
        for (lines, weights) in lines.chunks_exact(strip.group_lines).zip(&mut decoded) {
            let codes = &lines[1 + usize::from(strip.mins)..];
            for (line, weights) in codes.iter().zip(weights.chunks_exact_mut(FIELDS)) {
                weights[0] = group.decode::<0>(line);
                if FIELDS == 2 {
                    weights[1] = group.decode::<1>(line);
                }
            }
        }
        let first = part * PART * STEPS / BLOCK_STEPS;
        let (fours, ones) = out.as_chunks_mut::<Q8_ROWS>();
        for (x, out) in x.fours.chunks_exact(width).zip(fours) {
            add::<_, FIELDS, STEPS, _>(group, zero, (strip, lines), &decoded, &x[first..], out);
        }
        for (x, out) in x.ones.chunks_exact(width).zip(ones.as_chunks_mut().0) {
            add::<_, FIELDS, STEPS, _>(group, zero, (strip, lines), &decoded, &x[first..], out);
        }
    }
}

/// Where the activations of a group are.
#[derive(Clone, Copy)]
struct Part {
    block: usize,
    /// In the block.
    step: usize,
}

impl Part {
    /// Of group `index` of those with `STEPS` steps.
    #[inline(always)]
    fn of<const STEPS: usize>(index: usize) -> Self {
        Self { block: index * STEPS / BLOCK_STEPS, step: index * STEPS % BLOCK_STEPS }
    }
}

/// Adds products of decoded groups with `N` rows.
#[inline(always)]
fn add<G: Group, const FIELDS: usize, const STEPS: usize, const N: usize>(
    group: G,
    zero: i32,
    (strip, lines): (&Strip<'_>, &[Line]),
    decoded: &[[G::Weights; STEPS]; PART],
    x: &[Q8Block<N>],
    out: &mut [[f32; STRIP]; N],
) {
    let heads = 1 + usize::from(strip.mins);
    let end = black_box(2 * STEPS);
    for (index, lines) in lines.chunks_exact(strip.group_lines).enumerate() {
        let part = Part::of::<STEPS>(index);
        let x = &x[part.block];
        let weights = &decoded[index];
        let quads = G::quads(x)[part.step..].first_chunk::<STEPS>().expect("a block is whole groups");
        let mut sums = [group.zero(); N];
        macro_rules! steps {
            ($($step:literal)*) => { 'steps: { $(
                if $step == STEPS || ($step > 0 && 2 * $step == end) {
                    break 'steps;
                }
                for n in 0..N {
                    sums[n] = group.step(sums[n], weights[$step], &quads[$step][n]);
                }
                if G::REST {
                    if 2 * $step + 1 == end {
                        break 'steps;
                    }
                    for n in 0..N {
                        sums[n] = group.rest(sums[n], weights[$step], &quads[$step][n]);
                    }
                }
            )* } };
        }
        steps!(0 1 2 3 4 5 6 7);
        for n in 0..N {
            let floats = group.floats(&out[n]);
            out[n] = settle::<_, STEPS, N>(group, zero, &lines[..heads], (x, n, part), floats, sums[n]).rows();
        }
    }
}

/// `floats` and the sums of one group and row.
#[inline(always)]
fn settle<G: Group, const STEPS: usize, const N: usize>(
    group: G,
    zero: i32,
    head: &[Line],
    (x, n, part): (&Q8Block<N>, usize, Part),
    floats: G::Floats,
    sums: G::Sums,
) -> G::Floats {
    let total: i32 = x.totals[part.step / 4..][..STEPS / 4].iter().map(|totals| totals[n]).sum();
    let floats = floats.add(group.fold(sums), (G::OFFSET + zero) * total, &head[0], x.scales[n]);
    match head.get(1) {
        Some(mins) => floats.lower(total, mins, x.scales[n]),
        None => floats,
    }
}
