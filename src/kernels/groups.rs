//! Matrix of grouped integers times int8 activations, written once for every instruction set.
//!
//! A [`GroupDot`] step multiplies the codes of 8 rows and 4 columns, exactly, in integers. At the
//! end of a group `sum * (weight_scale * scale)` is added to one f32 per row, group after group. A
//! lane is a row: nothing is added across lanes, so the order of additions is the same on every
//! instruction set.
//!
//! - **One activation row** (matrix-vector): weights are decoded in registers and used once.
//! - **Several rows** (matrix-matrix): [`DECODED_GROUPS`] groups are decoded at a time. Four rows
//!   at a time pass over them; their accumulators fit the vector registers.
//!
//! The matrix-matrix loop writes out the steps of a group, and between any two of them there is an
//! exit that is never taken, of which the compiler must not know. Without it LLVM reorders the
//! additions, and V8, which keeps that order, runs out of registers.

#![forbid(unsafe_code)]

use super::isa::Isa;
use super::opaque::opaque;
use super::q8::{BLOCK_STEPS, Q8_ROWS, Q8Block, Q8Rows, Quad};
use crate::tensor::{CHUNK_BYTES, GroupLayout, PANEL_ROWS, RowPanel};
use bytemuck::Zeroable;

/// Groups that are decoded before all activation rows pass over them.
const DECODED_GROUPS: usize = 8;

/// A chunk of a panel: 4 bytes of each row.
type Chunk = [u8; CHUNK_BYTES];

/// The f32 accumulators of a [`GroupDot`].
type Floats<D> = <<D as GroupDot>::Isa as Isa>::Floats;

/// How an instruction set multiplies 8 rows by 4 columns.
pub(super) trait GroupDot: Copy {
    /// The registers of the f32 accumulators.
    type Isa: Isa;
    /// 32 weights in registers.
    type Weights: Copy + Zeroable;
    /// Integer accumulators of one group and one activation row.
    type Sums: Copy + Zeroable;
    /// Four adjacent activations.
    type Quad: Quad;
    /// What multiplies several activation rows.
    type Batched: GroupDot + From<Self>;
    /// What [`GroupDot::decode`] adds to each weight.
    const OFFSET: i32 = 0;
    /// Whether [`GroupDot::step`] does only half of the columns, because the accumulators of four
    /// rows and all weights of a step do not fit the registers.
    const HAS_STEP_HI: bool = false;

    /// The proof that the instructions exist.
    fn isa(self) -> Self::Isa;
    /// Step `F` of those in a chunk.
    fn decode<const F: usize>(self, chunk: &Chunk) -> Self::Weights;
    /// `sums + weights x`.
    fn step(self, sums: Self::Sums, weights: Self::Weights, x: &Self::Quad) -> Self::Sums;
    /// The other half of the columns, see [`GroupDot::HAS_STEP_HI`].
    #[inline(always)]
    fn step_hi(self, sums: Self::Sums, _weights: Self::Weights, _x: &Self::Quad) -> Self::Sums {
        sums
    }
    /// One sum for each of the 8 rows.
    fn reduce(self, sums: Self::Sums) -> <Self::Isa as Isa>::Ints;
}

/// [`super::Kernels::group_panel`] with `bytes` for codes of 8 bits, and `nibbles` for those of 4.
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

/// Multiplies groups of `STEPS` steps, `PER_CHUNK` of them in a chunk.
#[inline(always)]
fn multiply<D: GroupDot, const PER_CHUNK: usize, const STEPS: usize>(
    dot: D,
    zero: i32,
    panel: &RowPanel<'_>,
    x: &Q8Rows,
    out: &mut [[f32; PANEL_ROWS]],
) {
    match out {
        [] => {}
        [out] => *out = matrix_vector::<_, PER_CHUNK, STEPS>(dot, zero, panel, &x.x1),
        out => matrix_matrix::<_, PER_CHUNK, STEPS>(D::Batched::from(dot), zero, panel, x, out),
    }
}

/// Products with one activation row.
#[inline(always)]
fn matrix_vector<D: GroupDot, const PER_CHUNK: usize, const STEPS: usize>(
    dot: D,
    zero: i32,
    panel: &RowPanel<'_>,
    x: &[Q8Block<1>],
) -> [f32; PANEL_ROWS] {
    let mut floats = dot.isa().load_floats(&[0.0; PANEL_ROWS]);
    for (index, chunks) in panel.chunks.chunks_exact(panel.group_chunks).enumerate() {
        let (head, codes) = chunks.split_at(1 + usize::from(panel.mins));
        let at = GroupPosition::new::<STEPS>(index);
        let x = &x[at.block];
        let mut sums = D::Sums::zeroed();
        for (chunk, quads) in codes.iter().zip(D::Quad::of(x)[at.step..].chunks_exact(PER_CHUNK)) {
            sums = whole_step(dot, sums, dot.decode::<0>(chunk), &quads[0][0]);
            if PER_CHUNK == 2 {
                sums = whole_step(dot, sums, dot.decode::<1>(chunk), &quads[1][0]);
            }
        }
        let (x_sum, scale) = (at.x_sum::<STEPS, 1>(x, 0), x.scales[0]);
        floats = apply_scales(dot, floats, sums, head, zero, x_sum, scale);
    }
    dot.isa().store_floats(floats)
}

/// Both halves of a step.
#[inline(always)]
fn whole_step<D: GroupDot>(dot: D, sums: D::Sums, weights: D::Weights, x: &D::Quad) -> D::Sums {
    dot.step_hi(dot.step(sums, weights, x), weights, x)
}

/// Products with several activation rows.
#[inline(always)]
fn matrix_matrix<D: GroupDot, const PER_CHUNK: usize, const STEPS: usize>(
    dot: D,
    zero: i32,
    panel: &RowPanel<'_>,
    x: &Q8Rows,
    out: &mut [[f32; PANEL_ROWS]],
) {
    let width = x.blocks();
    let mut decoded = [[D::Weights::zeroed(); STEPS]; DECODED_GROUPS];
    out.fill([0.0; PANEL_ROWS]);
    for (index, chunks) in panel.chunks.chunks(DECODED_GROUPS * panel.group_chunks).enumerate() {
        for (chunks, weights) in chunks.chunks_exact(panel.group_chunks).zip(&mut decoded) {
            let codes = &chunks[1 + usize::from(panel.mins)..];
            for (chunk, weights) in codes.iter().zip(weights.chunks_exact_mut(PER_CHUNK)) {
                weights[0] = dot.decode::<0>(chunk);
                if PER_CHUNK == 2 {
                    weights[1] = dot.decode::<1>(chunk);
                }
            }
        }
        let panel = &RowPanel { chunks, ..*panel };
        let first = index * DECODED_GROUPS * STEPS / BLOCK_STEPS;
        let (x4, x1) = out.as_chunks_mut::<Q8_ROWS>();
        for (x, out) in x.x4.chunks_exact(width).zip(x4) {
            add_groups(dot, zero, panel, &decoded, &x[first..], out);
        }
        for (x, out) in x.x1.chunks_exact(width).zip(x1.as_chunks_mut().0) {
            add_groups(dot, zero, panel, &decoded, &x[first..], out);
        }
    }
}

/// Where the activations of a group are.
#[derive(Clone, Copy)]
struct GroupPosition {
    /// The block of a row.
    block: usize,
    /// The first step in the block.
    step: usize,
}

impl GroupPosition {
    /// The position of group `index` of those with `STEPS` steps.
    #[inline(always)]
    fn new<const STEPS: usize>(index: usize) -> Self {
        Self { block: index * STEPS / BLOCK_STEPS, step: index * STEPS % BLOCK_STEPS }
    }

    /// The sum of the group's activations in row `n` of `x`, its block.
    #[inline(always)]
    fn x_sum<const STEPS: usize, const N: usize>(self, x: &Q8Block<N>, n: usize) -> i32 {
        x.x_sums[self.step / 4..][..STEPS / 4].iter().map(|x_sums| x_sums[n]).sum()
    }
}

/// Adds the products of decoded groups and `N` activation rows to `out`.
#[inline(always)]
fn add_groups<D: GroupDot, const STEPS: usize, const N: usize>(
    dot: D,
    zero: i32,
    panel: &RowPanel<'_>,
    decoded: &[[D::Weights; STEPS]; DECODED_GROUPS],
    x: &[Q8Block<N>],
    out: &mut [[f32; PANEL_ROWS]; N],
) {
    let heads = 1 + usize::from(panel.mins);
    let end = opaque(2 * STEPS);
    for (index, chunks) in panel.chunks.chunks_exact(panel.group_chunks).enumerate() {
        let at = GroupPosition::new::<STEPS>(index);
        let x = &x[at.block];
        let weights = &decoded[index];
        let quads = D::Quad::of(x)[at.step..].first_chunk::<STEPS>().expect("a block is whole groups");
        let mut sums = [D::Sums::zeroed(); N];
        macro_rules! steps {
            ($($step:literal)*) => { 'steps: { $(
                if $step == STEPS || ($step > 0 && 2 * $step == end) {
                    break 'steps;
                }
                for n in 0..N {
                    sums[n] = dot.step(sums[n], weights[$step], &quads[$step][n]);
                }
                if D::HAS_STEP_HI {
                    if 2 * $step + 1 == end {
                        break 'steps;
                    }
                    for n in 0..N {
                        sums[n] = dot.step_hi(sums[n], weights[$step], &quads[$step][n]);
                    }
                }
            )* } };
        }
        steps!(0 1 2 3 4 5 6 7);
        for n in 0..N {
            let floats = dot.isa().load_floats(&out[n]);
            let (x_sum, scale) = (at.x_sum::<STEPS, N>(x, n), x.scales[n]);
            let floats = apply_scales(dot, floats, sums[n], &chunks[..heads], zero, x_sum, scale);
            out[n] = dot.isa().store_floats(floats);
        }
    }
}

/// `floats` plus the scaled sums of one group and row. `head` has the weight scales and, where the
/// type has minimums, those.
#[inline(always)]
fn apply_scales<D: GroupDot>(
    dot: D,
    floats: Floats<D>,
    sums: D::Sums,
    head: &[Chunk],
    zero: i32,
    x_sum: i32,
    scale: f32,
) -> Floats<D> {
    let isa = dot.isa();
    let floats = isa.add_scaled(floats, dot.reduce(sums), (D::OFFSET + zero) * x_sum, &head[0], scale);
    match head.get(1) {
        Some(mins) => isa.sub_min(floats, x_sum, mins, scale),
        None => floats,
    }
}
