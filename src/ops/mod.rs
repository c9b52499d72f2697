//! The operations of a transformer layer, on rows of f32. Their inner loops are calls to
//! [`crate::kernels`]; they split the work into tasks for [`crate::parallel`].

#![forbid(unsafe_code)]

mod activation;
mod activations;
mod attention;
mod column_blocks;
mod exp;
mod head;
mod key_values;
mod linear;
mod norm;
mod reduce;
mod rope;

pub(crate) use activation::Activation;
pub(crate) use activations::Activations;
pub(crate) use attention::{AttentionInput, attention};
pub use head::Argmax;
pub(crate) use head::{NotFinite, argmax, argmax_row};
pub(crate) use key_values::KeyValues;
pub(crate) use linear::{GatedProduct, Linear, Product, Store, multiply, multiply_gated};
pub(crate) use norm::Norm;
pub(crate) use rope::{Rope, RopeStyle, Yarn};
