//! The operations a transformer layer is made of, on rows of f32. Everything hot inside them is a call to
//! [`crate::kernels`].

#![forbid(unsafe_code)]

mod activation;
mod attention;
mod bands;
mod exp;
mod head;
mod input;
mod key_values;
mod linear;
mod norm;
mod reduce;
mod rope;

pub use activation::Activation;
pub use attention::{Qkv, attend};
pub use head::{Best, NotFinite, best, best_of};
pub use input::Input;
pub use key_values::KeyValues;
pub use linear::{Linear, Product, Store, multiply, multiply_gated};
pub use norm::Norm;
pub use rope::{Rope, RopeStyle, Yarn};
