//! Backends for WebAssembly, one file per feature. A module cannot ask at run time which features its engine has: each
//! build is compiled with its own, and the page picks the build.

#[cfg(target_feature = "relaxed-simd")]
mod dots;
mod dual;
#[cfg(target_feature = "relaxed-simd")]
pub(super) mod relaxed;
pub(super) mod simd128;
mod vector;
mod words;
