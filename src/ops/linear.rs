//! Linear layers: `out = x W^T`.
//!
//! A task is a block of the columns of the products, which are rows of `W`. The epilogue (scale,
//! bias, the residual addition, the gate) runs on a block while it is in the L1 cache.

#![forbid(unsafe_code)]

use super::activation::Activation;
use super::activations::Activations;
use super::column_blocks::ColumnBlocks;
use crate::kernels::{Kernels, LANES};
use crate::parallel::Scope;
use crate::tensor::{FloatMatrix, GroupedTernary, Matrix, PANEL_ROWS, PackedGroups, PackedTernary, TILE};
use std::cell::RefCell;
use std::ops::Range;

/// `scale * (weights * input) + bias`.
#[derive(Clone, Copy)]
pub(crate) struct Linear<'a> {
    /// The weights.
    pub weights: &'a Matrix,
    /// The scale of all products.
    pub scale: Option<f32>,
    /// Added to the products, one value per output feature.
    pub bias: Option<&'a [f32]>,
}

/// What a layer does with its products.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// Replaces the values of the output.
    Set,
    /// Adds to the values of the output, such as the residual stream.
    Add,
}

/// A linear layer with its input and output.
pub(crate) struct Product<'a> {
    /// The layer.
    pub linear: Linear<'a>,
    /// The activations that it multiplies.
    pub input: &'a Activations,
    /// Rows of output features.
    pub out: &'a mut [f32],
    /// How the products are written.
    pub store: Store,
}

/// `activation(gate * gate_input) * (up * up_input)`, elementwise.
pub(crate) struct GatedProduct<'a> {
    /// The gate projection.
    pub gate: Linear<'a>,
    /// Its input.
    pub gate_input: &'a Activations,
    /// The up projection.
    pub up: Linear<'a>,
    /// Its input.
    pub up_input: &'a Activations,
    /// The function that is applied to the gate.
    pub activation: Activation,
    /// Rows of output features.
    pub out: &'a mut [f32],
}

/// What a thread keeps from one task to the next, to avoid allocator contention.
#[derive(Default)]
struct Buffers {
    tile: TileBuffers,
    /// Products of a block, row after row, of up to two layers.
    products: [Vec<f32>; 2],
}

#[derive(Default)]
struct TileBuffers {
    /// Sums of a ternary tile with every row.
    sums: Vec<[i32; TILE]>,
    /// Products of 16 group-wise ternary rows with every row.
    panels: Vec<[f32; TILE]>,
    /// Products of [`LANES`] columns with every row.
    products: Vec<[f32; LANES]>,
    /// A row of weights in f32.
    weights: Vec<f32>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// Products of a block that stay in the L1 cache during the epilogue.
const BLOCK_PRODUCTS: usize = 4096;

/// Blocks per thread, so that a thread that is slower or arrives late does fewer.
const BLOCKS_PER_THREAD: usize = 4;

/// The same for a single row, whose blocks are so short that claiming one costs as much as it
/// saves.
const ROW_BLOCKS_PER_THREAD: usize = 2;

/// Computes all of `products`, whose inputs have equally many rows, in one parallel region.
pub(crate) fn multiply<const N: usize>(scope: &Scope<'_>, kernels: &dyn Kernels, products: [Product<'_>; N]) {
    let cols = products.iter().map(|product| product.linear.weights.rows()).sum();
    let width = block_width(scope, cols, products.iter().map(|product| product.input.rows()).max().unwrap_or(1));
    let blocks = products.into_iter().flat_map(|Product { linear, input, out, store }| {
        linear.check(input, out);
        ColumnBlocks::new(out, linear.weights.rows(), width).map(move |block| (linear, input, store, block))
    });
    scope.for_each(blocks, |(linear, input, store, mut block)| {
        let columns = block.first..block.first + block.width();
        BUFFERS.with_borrow_mut(|Buffers { tile, .. }| {
            linear.for_each_lanes(kernels, input, columns, tile, |at, products| {
                for (out, products) in block.rows.iter_mut().zip(products) {
                    store_lanes(&mut out[at..], products, store);
                }
            });
        });
    });
}

/// Computes a gated product in one parallel region.
pub(crate) fn multiply_gated(scope: &Scope<'_>, kernels: &dyn Kernels, product: GatedProduct<'_>) {
    let GatedProduct { gate, gate_input, up, up_input, activation, out } = product;
    gate.check(gate_input, out);
    up.check(up_input, out);
    let cols = gate.weights.rows();
    let blocks = ColumnBlocks::new(out, cols, block_width(scope, cols, gate_input.rows()));
    scope.for_each(blocks, |block| {
        let width = block.width();
        let columns = block.first..block.first + width;
        BUFFERS.with_borrow_mut(|Buffers { tile, products: [gates, ups] }| {
            gate.products(kernels, gate_input, columns.clone(), tile, gates);
            up.products(kernels, up_input, columns, tile, ups);
            let inputs = gates.chunks_exact(width).zip(ups.chunks_exact(width));
            activation.gate(inputs.zip(block.rows).map(|((gate, up), out)| (gate, up, out)));
        });
    });
}

/// Writes products to the first columns of `out`, which has fewer than [`LANES`] at the end of a
/// row.
#[inline(always)]
fn store_lanes(out: &mut [f32], products: &[f32; LANES], store: Store) {
    // The common length is a constant, because a copy of variable length is a call.
    match (out.first_chunk_mut::<LANES>(), store) {
        (Some(out), Store::Set) => *out = *products,
        (Some(out), Store::Add) => out.iter_mut().zip(products).for_each(|(out, product)| *out += product),
        (None, Store::Set) => out.iter_mut().zip(products).for_each(|(out, product)| *out = *product),
        (None, Store::Add) => out.iter_mut().zip(products).for_each(|(out, product)| *out += product),
    }
}

/// The columns of a block when `cols` columns of `rows` products are computed.
fn block_width(scope: &Scope<'_>, cols: usize, rows: usize) -> usize {
    let blocks = match (scope.threads(), rows) {
        (1, _) => 1,
        (threads, 1) => threads * ROW_BLOCKS_PER_THREAD,
        (threads, _) => threads * BLOCKS_PER_THREAD,
    };
    cols.div_ceil(blocks).min(BLOCK_PRODUCTS / rows.max(1)).next_multiple_of(TILE)
}

impl Linear<'_> {
    fn check(&self, input: &Activations, out: &[f32]) {
        assert_eq!(input.cols(), self.weights.cols(), "the input is as wide as the matrix");
        assert_eq!(out.len(), input.rows() * self.weights.rows(), "one output per row and output feature");
    }

    /// Calls `take` with the output features `columns` of every row, row after row. The first
    /// column is a multiple of [`TILE`].
    pub(super) fn with_products<R>(
        &self,
        kernels: &dyn Kernels,
        input: &Activations,
        columns: Range<usize>,
        take: impl FnOnce(&mut [f32]) -> R,
    ) -> R {
        BUFFERS.with_borrow_mut(|Buffers { tile, products: [products, _] }| {
            self.products(kernels, input, columns, tile, products);
            take(products)
        })
    }

    fn products(
        &self,
        kernels: &dyn Kernels,
        input: &Activations,
        columns: Range<usize>,
        tile: &mut TileBuffers,
        out: &mut Vec<f32>,
    ) {
        let width = columns.len();
        out.resize(input.rows() * width, 0.0);
        self.for_each_lanes(kernels, input, columns, tile, |at, products| {
            for (out, products) in out.chunks_exact_mut(width).zip(products) {
                store_lanes(&mut out[at..], products, Store::Set);
            }
        });
    }

    /// Calls `take` for every [`LANES`] of `columns`, with their distance from the first column and
    /// the products of every row. The last of them may lie beyond `columns`.
    fn for_each_lanes(
        &self,
        kernels: &dyn Kernels,
        input: &Activations,
        columns: Range<usize>,
        tile: &mut TileBuffers,
        mut take: impl FnMut(usize, &[[f32; LANES]]),
    ) {
        tile.products.resize(input.rows(), [0.0; LANES]);
        let take = |column: usize, products: &mut [[f32; LANES]]| {
            if let Some(scale) = self.scale {
                products.as_flattened_mut().iter_mut().for_each(|x| *x *= scale);
            }
            if let Some(bias) = self.bias {
                for products in &mut *products {
                    products.iter_mut().zip(&bias[column..]).for_each(|(x, bias)| *x += bias);
                }
            }
            take(column - columns.start, products);
        };
        match self.weights {
            Matrix::Ternary(matrix) => ternary(kernels, matrix, input, columns.clone(), tile, take),
            Matrix::TernaryGroups(matrix) => ternary_groups(kernels, matrix, input, columns.clone(), tile, take),
            Matrix::Groups(matrix) => grouped(kernels, matrix, input, columns.clone(), tile, take),
            Matrix::Floats(matrix) => decoded(kernels, matrix, input, columns.clone(), tile, take),
        }
    }
}

/// BitLinear: integer sums over the whole row, scaled once at the end.
fn ternary(
    kernels: &dyn Kernels,
    matrix: &PackedTernary,
    input: &Activations,
    columns: Range<usize>,
    TileBuffers { sums, products, .. }: &mut TileBuffers,
    mut take: impl FnMut(usize, &mut [[f32; LANES]]),
) {
    let (x, scales, x_sums) = input.int8();
    sums.resize(input.rows(), [0; TILE]);
    for tile in columns.clone().step_by(TILE) {
        kernels.ternary_tile(matrix.row_tile(tile / TILE), x, x_sums, sums);
        for (half, column) in (tile..columns.end).step_by(LANES).take(TILE / LANES).enumerate() {
            for (products, (sums, scale)) in products.iter_mut().zip(sums.iter().zip(scales)) {
                let scale = matrix.scale() / scale;
                *products = sums.as_chunks().0[half].map(|sum| sum as f32 * scale);
            }
            take(column, products);
        }
    }
}

/// Ternary weights with a scale per group of columns.
fn ternary_groups(
    kernels: &dyn Kernels,
    matrix: &GroupedTernary,
    input: &Activations,
    columns: Range<usize>,
    TileBuffers { panels, products, .. }: &mut TileBuffers,
    mut take: impl FnMut(usize, &mut [[f32; LANES]]),
) {
    panels.resize(input.rows(), [0.0; TILE]);
    for tile in columns.clone().step_by(TILE) {
        kernels.ternary_panel(&matrix.panel(tile / TILE), input.q8(), panels);
        for (half, column) in (tile..columns.end).step_by(LANES).take(TILE / LANES).enumerate() {
            for (products, panel) in products.iter_mut().zip(&*panels) {
                *products = panel.as_chunks().0[half];
            }
            take(column, products);
        }
    }
}

/// Integer sums over groups, each with its own scale.
fn grouped(
    kernels: &dyn Kernels,
    matrix: &PackedGroups,
    input: &Activations,
    columns: Range<usize>,
    TileBuffers { products, .. }: &mut TileBuffers,
    mut take: impl FnMut(usize, &mut [[f32; LANES]]),
) {
    for column in columns.step_by(PANEL_ROWS) {
        kernels.group_panel(&matrix.panel(column / PANEL_ROWS), input.q8(), products);
        take(column, products);
    }
}

/// All other types: decodes each weight row to f32 once and multiplies it by all rows of the input.
fn decoded(
    kernels: &dyn Kernels,
    matrix: &FloatMatrix,
    input: &Activations,
    columns: Range<usize>,
    TileBuffers { products, weights, .. }: &mut TileBuffers,
    mut take: impl FnMut(usize, &mut [[f32; LANES]]),
) {
    weights.resize(input.cols(), 0.0);
    for column in columns.clone().step_by(LANES) {
        for at in column..columns.end.min(column + LANES) {
            matrix.decode_row(at, weights);
            for (x, products) in input.values().chunks_exact(input.cols()).zip(&mut *products) {
                products[at - column] = kernels.dot_f32(weights, x);
            }
        }
        take(column, products);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::GgmlType;
    use crate::kernels::{KernelSelection, Rows};
    use crate::parallel::pool;
    use crate::quant;
    use crate::tensor::MatrixBuilder;
    use crate::testing::test;

    const SHAPE: (usize, usize, usize) = (20, 256, 3);

    fn matrix(ty: GgmlType, values: usize) -> (Matrix, Vec<f32>) {
        let (rows, cols, _) = SHAPE;
        let weights: Vec<f32> = (0..rows * cols).map(|i| ((i * 31 % 17 % values) as f32 - 1.0) * 0.25).collect();
        let mut bytes = Vec::new();
        quant::quantize(ty, &weights, &mut bytes).unwrap();
        let mut builder = MatrixBuilder::linear(ty, rows, cols).unwrap();
        builder.push(&bytes).unwrap();
        let matrix = builder.finish().unwrap();
        assert_eq!(matches!(matrix, Matrix::Ternary(_)), values == 3 && ty != GgmlType::Q8_0, "{ty}");
        (matrix, weights)
    }

    fn activations() -> Vec<f32> {
        let (_, cols, count) = SHAPE;
        (0..count * cols).map(|i| ((i * 13 % 29) as f32 - 14.0) / 7.0).collect()
    }

    /// Products with `values` different weights, among them `-0.25`, 0 and 0.25.
    fn check(ty: GgmlType, values: usize) {
        let (rows, cols, count) = SHAPE;
        let (x, (matrix, weights)) = (activations(), matrix(ty, values));
        let bias: Vec<f32> = (0..rows).map(|row| row as f32).collect();
        let linear = Linear { weights: &matrix, scale: Some(2.0), bias: Some(&bias) };
        let (scope, kernels) = (pool().scope(0), KernelSelection::autotune().kernels());
        let x_rows = Rows { values: &x, stride: cols };
        let input = Activations::new(&scope, kernels, x_rows, None, [&matrix]);
        let (mut set, mut added) = (vec![f32::NAN; count * rows], vec![100.0; count * rows]);
        let product = |out, store| Product { linear, input: &input, out, store };
        multiply(&scope, kernels, [product(&mut set, Store::Set), product(&mut added, Store::Add)]);
        for (i, (set, added)) in set.into_iter().zip(added).enumerate() {
            let (x, w) = (&x[i / rows * cols..][..cols], &weights[i % rows * cols..][..cols]);
            let expected: f32 = x.iter().zip(w).map(|(x, w)| x * w).sum::<f32>() * 2.0 + bias[i % rows];
            assert!((set - expected).abs() < 0.3, "{ty} {i}: {set} {expected}");
            assert_eq!(added, 100.0 + set, "{ty} {i}");
        }
    }

    #[test]
    fn every_weight_form_gives_the_product() {
        let floats = [GgmlType::F32, GgmlType::F16, GgmlType::Bf16];
        floats.into_iter().chain([GgmlType::Q8_0]).for_each(|ty| check(ty, 4));
        floats.into_iter().chain([GgmlType::Q8_0, GgmlType::Q2_0, GgmlType::Tq1_0]).for_each(|ty| check(ty, 3));
    }

    #[test]
    fn a_gate_is_applied_to_its_own_column() {
        let (rows, cols, count) = SHAPE;
        let (x, (gate, _), (up, _)) = (activations(), matrix(GgmlType::Q2_0, 3), matrix(GgmlType::Q8_0, 4));
        let [gate, up] = [&gate, &up].map(|matrix| Linear { weights: matrix, scale: None, bias: None });
        let (scope, kernels) = (pool().scope(0), KernelSelection::autotune().kernels());
        let x = Rows { values: &x, stride: cols };
        let input = Activations::new(&scope, kernels, x, None, [gate.weights, up.weights]);
        let [mut gates, mut ups, mut gated] = [(); 3].map(|()| vec![0.0; count * rows]);
        let product = |linear, out| Product { linear, input: &input, out, store: Store::Set };
        multiply(&scope, kernels, [product(gate, &mut gates), product(up, &mut ups)]);
        let activation = Activation::Relu2;
        let product = GatedProduct { gate, gate_input: &input, up, up_input: &input, activation, out: &mut gated };
        multiply_gated(&scope, kernels, product);
        let mut expected = vec![0.0; count * rows];
        Activation::Relu2.gate([(&gates[..], &ups[..], &mut expected[..])].into_iter());
        assert_eq!(gated, expected);
    }
}
