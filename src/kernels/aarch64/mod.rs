//! Backends for aarch64.

mod groups;
pub(super) mod neon;
