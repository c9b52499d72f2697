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
use crate::tensor::{CHUNK_BYTES, GroupLayout, PANEL_ROWS, RowPanel};
use std::hint::black_box;

/// Steps in a block of activations.
const BLOCK_STEPS: usize = Q8_BLOCK / 4;

/// Groups that are decoded before all rows go past them.
const PART: usize = 8;

type Chunk = [u8; CHUNK_BYTES];

/// How an instruction set multiplies 8 rows by 4 columns. A value of the type is proof that the instructions are there.
pub(super) trait GroupDot: Copy {
    /// 32 weights in registers.
    type Weights: Copy;
    /// Integer sums of one group and one activation row.
    type Sums: Copy;
    /// What its sums are added to.
    type Accumulators: Accumulators;
    /// Four adjacent activations.
    type Quad: Copy;
    /// What multiplies several rows.
    type Batched: GroupDot;
    /// What [`Group::decode`] adds to each weight.
    const OFFSET: i32;
    /// Whether [`Group::step`] is only half of one, for want of registers.
    const HAS_STEP_HI: bool = false;

    fn batched(self) -> Self::Batched;
    /// Step `F` of those in a line.
    fn decode<const F: usize>(self, chunk: &Chunk) -> Self::Weights;
    fn quads<const N: usize>(x: &Q8Block<N>) -> &[[Self::Quad; N]; BLOCK_STEPS];
    fn zero(self) -> Self::Sums;
    /// `sums + weights x`.
    fn step(self, sums: Self::Sums, weights: Self::Weights, x: &Self::Quad) -> Self::Sums;
    /// The other half.
    fn step_hi(self, sums: Self::Sums, _weights: Self::Weights, _x: &Self::Quad) -> Self::Sums {
        sums
    }
    /// One sum for each of the 8 rows.
    fn fold(self, sums: Self::Sums) -> <Self::Accumulators as Accumulators>::Sums;
    fn floats(self, rows: &[f32; PANEL_ROWS]) -> Self::Accumulators;
}

/// A float for each of the 8 rows, the same for every [`Group`] of an instruction set.
pub(super) trait Accumulators: Copy {
    /// An i32 for each of them.
    type Sums;

    /// `self + (sums - offset) * (factors * scale)`.
    fn add(self, sums: Self::Sums, offset: i32, weight_scales: &Chunk, scale: f32) -> Self;
    /// `self - total * (mins * scale)`.
    fn sub_min(self, sum_of: i32, mins: &Chunk, scale: f32) -> Self;
    /// [`Group::floats`] turned around.
    fn rows(self) -> [f32; PANEL_ROWS];
}

/// [`super::Kernels::strip`] with `bytes` for layouts of 8 bits, and `nibbles` for those of 4.
#[inline(always)]
pub(super) fn group_panel<B: GroupDot, H: GroupDot>(
    bytes: B,
    nibbles: H,
    panel: &RowPanel<'_>,
    x: &Q8Rows,
    out: &mut [[f32; PANEL_ROWS]],
) {
    match panel.layout {
        GroupLayout::Bytes32 => multiply::<_, 1, 8>(bytes, 0, panel, x, out),
        GroupLayout::Bytes16 => multiply::<_, 1, 4>(bytes, 0, panel, x, out),
        GroupLayout::Nibbles32 => multiply::<_, 2, 8>(nibbles, panel.zero, panel, x, out),
    }
}

/// Groups of `STEPS` steps, `FIELDS` of them in a line.
#[inline(always)]
fn multiply<G: GroupDot, const FIELDS: usize, const STEPS: usize>(
    group: G,
    zero: i32,
    panel: &RowPanel<'_>,
    x: &Q8Rows,
    out: &mut [[f32; PANEL_ROWS]],
) {
    match out {
        [] => {}
        [out] => *out = vector::<_, FIELDS, STEPS>(group, zero, panel, &x.x1),
        out => matrix::<_, FIELDS, STEPS>(group.batched(), zero, panel, x, out),
    }
}

/// Products with one row.
#[inline(always)]
fn vector<G: GroupDot, const FIELDS: usize, const STEPS: usize>(
    group: G,
    zero: i32,
    panel: &RowPanel<'_>,
    x: &[Q8Block<1>],
) -> [f32; PANEL_ROWS] {
    let step = |sums, weights, x: &G::Quad| group.step_hi(group.step(sums, weights, x), weights, x);
    let mut floats = group.floats(&[0.0; PANEL_ROWS]);
    for (index, chunks) in panel.chunks.chunks_exact(panel.group_chunks).enumerate() {
        let (head, codes) = chunks.split_at(1 + usize::from(panel.mins));
        let part = Part::of::<STEPS>(index);
        let x = &x[part.block];
        let mut sums = group.zero();
        for (chunk, quads) in codes.iter().zip(G::quads(x)[part.step..].chunks_exact(FIELDS)) {
            sums = step(sums, group.decode::<0>(chunk), &quads[0][0]);
            if FIELDS == 2 {
                sums = step(sums, group.decode::<1>(chunk), &quads[1][0]);
            }
        }
        floats = apply_scales::<_, STEPS, 1>(group, zero, head, (x, 0, part), floats, sums);
    }
    floats.rows()
}

/// Products with several rows.
#[inline(always)]
fn matrix<G: GroupDot, const FIELDS: usize, const STEPS: usize>(
    group: G,
    zero: i32,
    panel: &RowPanel<'_>,
    x: &Q8Rows,
    out: &mut [[f32; PANEL_ROWS]],
) {
    let width = x.blocks();
    let mut decoded = [[group.decode::<0>(&[0; CHUNK_BYTES]); STEPS]; PART];
    out.fill([0.0; PANEL_ROWS]);
    for (part, chunks) in panel.chunks.chunks(PART * panel.group_chunks).enumerate() {
        for (chunks, weights) in chunks.chunks_exact(panel.group_chunks).zip(&mut decoded) {
            let codes = &chunks[1 + usize::from(panel.mins)..];
            for (chunk, weights) in codes.iter().zip(weights.chunks_exact_mut(FIELDS)) {
                weights[0] = group.decode::<0>(chunk);
                if FIELDS == 2 {
                    weights[1] = group.decode::<1>(chunk);
                }
            }
        }
        let first = part * PART * STEPS / BLOCK_STEPS;
        let (x4, x1) = out.as_chunks_mut::<Q8_ROWS>();
        for (x, out) in x.x4.chunks_exact(width).zip(x4) {
            add::<_, FIELDS, STEPS, _>(group, zero, (panel, chunks), &decoded, &x[first..], out);
        }
        for (x, out) in x.x1.chunks_exact(width).zip(x1.as_chunks_mut().0) {
            add::<_, FIELDS, STEPS, _>(group, zero, (panel, chunks), &decoded, &x[first..], out);
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
fn add<G: GroupDot, const FIELDS: usize, const STEPS: usize, const N: usize>(
    group: G,
    zero: i32,
    (panel, chunks): (&RowPanel<'_>, &[Chunk]),
    decoded: &[[G::Weights; STEPS]; PART],
    x: &[Q8Block<N>],
    out: &mut [[f32; PANEL_ROWS]; N],
) {
    let heads = 1 + usize::from(panel.mins);
    let end = black_box(2 * STEPS);
    for (index, chunks) in chunks.chunks_exact(panel.group_chunks).enumerate() {
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
                if G::HAS_STEP_HI {
                    if 2 * $step + 1 == end {
                        break 'steps;
                    }
                    for n in 0..N {
                        sums[n] = group.step_hi(sums[n], weights[$step], &quads[$step][n]);
                    }
                }
            )* } };
        }
        steps!(0 1 2 3 4 5 6 7);
        for n in 0..N {
            let floats = group.floats(&out[n]);
            out[n] = apply_scales::<_, STEPS, N>(group, zero, &chunks[..heads], (x, n, part), floats, sums[n]).rows();
        }
    }
}

/// `floats` and the sums of one group and row.
#[inline(always)]
fn apply_scales<G: GroupDot, const STEPS: usize, const N: usize>(
    group: G,
    zero: i32,
    head: &[Chunk],
    (x, n, part): (&Q8Block<N>, usize, Part),
    floats: G::Accumulators,
    sums: G::Sums,
) -> G::Accumulators {
    let sum_of: i32 = x.x_sums[part.step / 4..][..STEPS / 4].iter().map(|x_sums| x_sums[n]).sum();
    let floats = floats.add(group.fold(sums), (G::OFFSET + zero) * sum_of, &head[0], x.scales[n]);
    match head.get(1) {
        Some(mins) => floats.sub_min(sum_of, mins, x.scales[n]),
        None => floats,
    }
}
