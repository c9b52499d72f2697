//! Every backend against the scalar specification, with shapes and values that the input chooses:
//! bit patterns of floats as they come, so that infinities, NaN and denormals are among them.

use crate::kernels::scalar::Scalar;
use crate::kernels::{Kernels, LANES, Q8_BLOCK, Q8Rows, Rows, RowsMut, passing};
use crate::quant::Ternary;
use crate::tensor::{CHUNK_BYTES, GroupLayout, PANEL_ROWS, PackedTernary, RowPanel, TILE};
use std::sync::LazyLock;

/// Those that are never selected may do as they like.
static PASSING: LazyLock<Vec<&'static dyn Kernels>> = LazyLock::new(passing);

/// Deals out the bytes of an input, over and over again.
struct Dealer<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Dealer<'_> {
    fn byte(&mut self) -> u8 {
        self.at += 1;
        let round = (self.at / self.bytes.len()) as u8;
        self.bytes[self.at % self.bytes.len()].wrapping_add(round.wrapping_mul(37))
    }

    /// A number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()])) % limit
    }

    /// Half of them of an ordinary size.
    fn float(&mut self) -> f32 {
        let bits = u32::from_le_bytes([(); 4].map(|()| self.byte()));
        let ordinary = f32::from_bits(bits & 0x807f_ffff | 0x3f80_0000);
        if self.byte().is_multiple_of(2) { ordinary } else { f32::from_bits(bits) }
    }

    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.float()).collect()
    }

    fn int8s(&mut self, count: usize) -> Vec<i8> {
        (0..count).map(|_| (self.byte() as i8).max(-127)).collect()
    }
}

/// The bits, all NaN being one: which of two NaN an addition returns is the processor's affair.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

pub(super) fn match_scalar(input: &[u8]) {
    if input.is_empty() {
        return;
    }
    for &kernels in PASSING.iter() {
        let mut dealer = Dealer { bytes: input, at: 0 };
        match dealer.byte() % 5 {
            0 => rows(kernels, &mut dealer),
            1 => blocks(kernels, &mut dealer),
            2 => ternary(kernels, &mut dealer),
            3 => groups(kernels, &mut dealer),
            _ => floats(kernels, &mut dealer),
        }
    }
}

fn rows(kernels: &dyn Kernels, dealer: &mut Dealer<'_>) {
    let len = dealer.below(200);
    let x = dealer.floats(len);
    let run = |kernels: &dyn Kernels| {
        let mut out = vec![1; x.len().next_multiple_of(TILE)];
        let (scale, sum) = kernels.quantize_row(&x, &mut out);
        (bits(&[scale]), sum, out)
    };
    let expected = run(&Scalar);
    // A scale that is no number is enough to know; the integers beside it mean nothing.
    if expected.0 == bits(&[f32::NAN]) {
        assert_eq!(run(kernels).0, expected.0, "{}", kernels.name());
    } else {
        assert_eq!(run(kernels), expected, "{}", kernels.name());
    }
}

fn blocks(kernels: &dyn Kernels, dealer: &mut Dealer<'_>) {
    let (rows, blocks) = (1 + dealer.below(6), 1 + dealer.below(4));
    let x = dealer.floats(rows * blocks * Q8_BLOCK);
    let run = |kernels: &dyn Kernels| {
        let mut out = Q8Rows::zeroed(rows, blocks * Q8_BLOCK);
        let rows_of_part = crate::kernels::Q8_ROWS * blocks * Q8_BLOCK;
        out.parts_mut().zip(x.chunks(rows_of_part)).for_each(|(part, x)| kernels.quantize_q8(x, part));
        (0..rows)
            .flat_map(|n| (0..blocks).map(move |block| (n, block)))
            .map(|(n, block)| format!("{:?}", out.get(n, block)))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(kernels), run(&Scalar), "{}", kernels.name());
}

fn ternary(kernels: &dyn Kernels, dealer: &mut Dealer<'_>) {
    let (out, cols, rows) = (1 + dealer.below(40), 1 + dealer.below(600), dealer.below(9));
    let codes: Vec<u8> = (0..out * cols).map(|_| dealer.byte() % 3).collect();
    let packed = PackedTernary::pack(&Ternary { codes, scale: 1.0 }, out, cols).expect("a small matrix");
    let x = dealer.int8s(rows * packed.padded_cols());
    let sums: Vec<i32> =
        x.chunks_exact(packed.padded_cols()).map(|row| row.iter().map(|&x| i32::from(x)).sum()).collect();
    for tile in 0..out.div_ceil(TILE) {
        let run = |kernels: &dyn Kernels| {
            let mut out = vec![[0; TILE]; rows];
            kernels.ternary_tile(packed.row_tile(tile), &x, &sums, &mut out);
            out
        };
        assert_eq!(run(kernels), run(&Scalar), "{}", kernels.name());
    }
}

fn groups(kernels: &dyn Kernels, dealer: &mut Dealer<'_>) {
    let layout = [GroupLayout::Bytes32, GroupLayout::Bytes16, GroupLayout::Nibbles32][dealer.below(3)];
    let mins = dealer.byte().is_multiple_of(2);
    let zero = if layout == GroupLayout::Nibbles32 && !mins { 8 } else { 0 };
    let (blocks, rows) = (1 + dealer.below(5), dealer.below(7));
    let cols = blocks * Q8_BLOCK;
    let mut chunks = Vec::<[u8; CHUNK_BYTES]>::new();
    for _ in 0..cols / layout.group() {
        for _ in 0..1 + usize::from(mins) {
            let scales: [f32; PANEL_ROWS] = std::array::from_fn(|_| dealer.float());
            chunks.push(bytemuck::cast(scales));
        }
        chunks.extend((0..layout.code_chunks()).map(|_| std::array::from_fn(|_| dealer.byte())));
    }
    let panel =
        RowPanel { layout, zero, mins, group_chunks: 1 + usize::from(mins) + layout.code_chunks(), chunks: &chunks };
    let (values, scales) = (dealer.int8s(rows * cols), dealer.floats(rows * blocks));
    let x = Q8Rows::new(cols, &values, &scales);
    let run = |kernels: &dyn Kernels| {
        let mut out = vec![[0.0; PANEL_ROWS]; rows];
        kernels.group_panel(&panel, &x, &mut out);
        bits(out.as_flattened())
    };
    assert_eq!(run(kernels), run(&Scalar), "{} {layout:?} {rows} rows of {cols}", kernels.name());
}

fn floats(kernels: &dyn Kernels, dealer: &mut Dealer<'_>) {
    let (len, rows) = (1 + dealer.below(150), 1 + dealer.below(9));
    let (a, b) = (dealer.floats(rows * len), dealer.floats(len * LANES));
    let run = |kernels: &dyn Kernels| {
        let panel: Vec<[f32; LANES]> = b.as_chunks().0.to_vec();
        let mut out = vec![0.0; rows * LANES];
        let rows = Rows { values: &a, stride: len };
        kernels.panel_f32(rows, &panel, RowsMut { values: &mut out, stride: LANES });
        out.push(kernels.dot_f32(&a[..len], &b[..len]));
        bits(&out)
    };
    assert_eq!(run(kernels), run(&Scalar), "{} {rows} rows of {len}", kernels.name());
}
