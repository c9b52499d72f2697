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

pub use activation::Activation;
pub use activations::Activations;
pub use attention::{AttentionInput, attention};
pub use head::{Argmax, NotFinite, argmax, argmax_row};
pub use key_values::KeyValues;
pub use linear::{GatedProduct, Linear, Product, Store, multiply, multiply_gated};
pub use norm::Norm;
pub use rope::{Rope, RopeStyle, Yarn};
