//! Two matrices, told apart by what they do to a random vector.
//!
//! Both results have to point the same way (cosine near 1) and be equally long (ratio near 1). A
//! random vector shows rows out of order, a lost scale or a shifted block whatever the weights are.

#![forbid(unsafe_code)]

use crate::gguf::{GgmlType, TensorInfo};
use rand_pcg::Pcg32;
use rand_pcg::rand_core::Rng as _;
use serde::Serialize;

/// The products of one matrix with the same vector.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Product {
    /// The tensor's name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: &'static str,
    /// Cosine of the angle between the product from the file and that from the checkpoint.
    pub cosine: f64,
    /// What the cosine has to exceed: 0.9999, or less for types that lose something.
    pub least_cosine: f64,
    /// Length of the former over that of the latter.
    pub ratio: f64,
    /// How far from 1 the ratio may be.
    pub ratio_spread: f64,
    /// For ternary types, the share of zeros, from 0 to 1.
    pub zeros: Option<f64>,
}

impl Product {
    /// Multiplies the weights of the tensor `info` of the file and those of the checkpoint.
    pub(super) fn new(info: &TensorInfo, file: &[f32], checkpoint: &[f32], zeros: Option<f64>) -> Self {
        let cols = info.cols() as usize;
        let mut random = Pcg32::new(cols as u64, 0);
        let x: Vec<f64> = (0..cols).map(|_| f64::from(random.next_u32()) / f64::from(u32::MAX) - 0.5).collect();
        let times = |row: &[f32]| -> f64 { row.iter().zip(&x).map(|(weight, x)| f64::from(*weight) * x).sum() };
        let (mut both, mut ours, mut theirs) = (0.0, 0.0, 0.0);
        for (file, checkpoint) in file.chunks_exact(cols).zip(checkpoint.chunks_exact(cols)) {
            let (a, b) = (times(file), times(checkpoint));
            both += a * b;
            ours += a * a;
            theirs += b * b;
        }
        // A matrix of zeros has no direction; it is right when both are.
        let (cosine, ratio) = match (ours, theirs) {
            (0.0, 0.0) => (1.0, 1.0),
            _ => (both / (ours * theirs).sqrt(), (ours / theirs).sqrt()),
        };
        // Four bits lose something; everything else is held to be the same.
        let (least_cosine, ratio_spread) = if info.ty == GgmlType::Q4_0 { (0.98, 0.1) } else { (0.9999, 0.01) };
        Self { name: info.name.clone(), ty: info.ty.name(), cosine, least_cosine, ratio, ratio_spread, zeros }
    }

    /// Whether both products are the same, as far as the type can tell. NaN is not.
    pub fn agrees(&self) -> bool {
        self.cosine > self.least_cosine && (self.ratio - 1.0).abs() < self.ratio_spread
    }
}
