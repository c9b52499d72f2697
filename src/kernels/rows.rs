//! Views of rows of f32.

#![forbid(unsafe_code)]

/// Rows of a row-major matrix, or some of their columns: row `i` starts at `values[i * stride]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    /// From the first value of the first row to the last value of the last row, at least.
    pub values: &'a [f32],
    /// Values from the start of a row to the start of the next one.
    pub stride: usize,
}

impl<'a> Rows<'a> {
    /// The number of rows, the last of which may be shorter than the stride.
    #[inline(always)]
    pub(crate) fn count(self) -> usize {
        self.values.len().div_ceil(self.stride)
    }

    /// The values of a row, up to the next one.
    ///
    /// # Panics
    ///
    /// If the view ends before.
    #[inline(always)]
    pub(crate) fn row(self, index: usize) -> &'a [f32] {
        &self.values[index * self.stride..][..self.stride]
    }
}

/// [`Rows`] to write to.
#[derive(Debug)]
pub(crate) struct RowsMut<'a> {
    /// As in [`Rows`].
    pub values: &'a mut [f32],
    /// As in [`Rows`].
    pub stride: usize,
}

impl RowsMut<'_> {
    /// The first `N` values of a row.
    ///
    /// # Panics
    ///
    /// If fewer than `N` values are left from the start of the row.
    #[inline(always)]
    pub(crate) fn row<const N: usize>(&mut self, index: usize) -> &mut [f32; N] {
        self.values[index * self.stride..].first_chunk_mut().expect("a view covers its rows")
    }
}
