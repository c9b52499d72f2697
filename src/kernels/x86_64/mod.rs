//! Backends for x86-64, chosen when the program runs.

pub(super) mod avx2;
mod groups;
