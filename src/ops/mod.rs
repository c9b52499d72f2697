//! The operations a transformer layer is made of, on rows of f32. Everything hot inside them is a call to
//! [`crate::kernels`].

#![forbid(unsafe_code)]

mod activation;
mod attention;
mod exp;
mod linear;
mod norm;
mod rope;

pub use activation::Activation;
pub use attention::{KeyValues, attend};
pub use linear::{Input, block_linear, linear};
pub use norm::rms_norm;
pub use rope::{Rope, RopeStyle, Yarn};
