//! Storage that starts on a cache line and whose allocation can fail with an error instead of an
//! abort.

#![forbid(unsafe_code)]

use crate::error::Result;
use bytemuck::{Pod, Zeroable};
use std::ops::{Deref, DerefMut};

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A fixed number of bytes, the first of them on a 64-byte boundary.
pub(super) struct AlignedBytes {
    chunks: Vec<Line>,
    len: usize,
}

impl AlignedBytes {
    /// `len` zero bytes.
    ///
    /// # Errors
    ///
    /// `out-of-memory` when they cannot be had.
    pub(super) fn zeroed(len: usize) -> Result<Self> {
        let mut chunks = Vec::new();
        let count = len.div_ceil(size_of::<Line>());
        chunks.try_reserve_exact(count).map_err(|_| no_memory(len))?;
        chunks.resize(count, Line::zeroed());
        Ok(Self { chunks, len })
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.chunks)[..self.len]
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.chunks)[..self.len]
    }
}

/// Room for `len` bytes.
///
/// # Errors
///
/// `out-of-memory` when it cannot be had.
pub(crate) fn try_with_capacity(len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| no_memory(len))?;
    Ok(bytes)
}

/// `len` zeros.
///
/// # Errors
///
/// `out-of-memory` when they cannot be had.
pub(crate) fn try_zeroed(len: usize) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).map_err(|_| no_memory(len.saturating_mul(4)))?;
    values.resize(len, 0.0);
    Ok(values)
}

/// Changes the length of `values`; new ones are zero.
///
/// # Errors
///
/// `out-of-memory` when they cannot be allocated.
pub(crate) fn try_resize(values: &mut Vec<f32>, len: usize) -> Result<()> {
    let more = len.saturating_sub(values.len());
    values.try_reserve_exact(more).map_err(|_| no_memory(more.saturating_mul(4)))?;
    values.resize(len, 0.0);
    Ok(())
}

fn no_memory(bytes: usize) -> crate::Error {
    err!(OutOfMemory, "{bytes} more bytes of memory cannot be had; use a smaller model or a shorter context")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn starts_on_a_cache_line() {
        for len in [0, 1, 63, 64, 65, 1000] {
            let mut bytes = AlignedBytes::zeroed(len).unwrap();
            assert_eq!(bytes.len(), len);
            assert_eq!(bytes.as_ptr() as usize % 64, 0, "{len}");
            bytes.fill(7);
            assert!(bytes.iter().all(|&b| b == 7), "{len}");
        }
    }

    /// Natively only: a page may have the largest size that 32 bits allow.
    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn rejects_more_than_there_is() {
        // Not the largest size: the allocator of the tests sums what it was asked for.
        let bytes = isize::MAX as usize / 4;
        assert_eq!(AlignedBytes::zeroed(bytes).err().unwrap().code(), crate::ErrorCode::OutOfMemory);
        assert_eq!(try_zeroed(bytes / 4).unwrap_err().code(), crate::ErrorCode::OutOfMemory);
        let mut values = vec![1.0; 3];
        let error = try_resize(&mut values, bytes / 4).unwrap_err();
        assert_eq!((error.code(), values.len()), (crate::ErrorCode::OutOfMemory, 3));
        try_resize(&mut values, 4).unwrap();
        assert_eq!(values, [1.0, 1.0, 1.0, 0.0]);
    }
}
