//! A row-major matrix split into blocks of columns, so that several threads can write to it.

#![forbid(unsafe_code)]

use smallvec::SmallVec;

/// A slice of each row. One row, as in autoregressive decoding, needs no allocation.
type RowSlices<'a> = SmallVec<[&'a mut [f32]; 1]>;

/// The same columns of every row.
pub(super) struct ColumnBlock<'a> {
    /// The first column.
    pub(super) first: usize,
    /// These columns of each row.
    pub(super) rows: RowSlices<'a>,
}

impl ColumnBlock<'_> {
    /// The number of columns.
    pub(super) fn width(&self) -> usize {
        self.rows.first().map_or(0, |row| row.len())
    }
}

/// An iterator over blocks from left to right.
pub(super) struct ColumnBlocks<'a> {
    rest: RowSlices<'a>,
    next: usize,
    width: usize,
}

impl<'a> ColumnBlocks<'a> {
    /// Splits a matrix with rows of `cols` into blocks of `width` columns; the last may be
    /// narrower.
    pub(super) fn new(values: &'a mut [f32], cols: usize, width: usize) -> Self {
        Self { rest: values.chunks_exact_mut(cols).collect(), next: 0, width }
    }
}

impl<'a> Iterator for ColumnBlocks<'a> {
    type Item = ColumnBlock<'a>;

    fn next(&mut self) -> Option<ColumnBlock<'a>> {
        let width = self.width.min(self.rest.first()?.len());
        if width == 0 {
            return None;
        }
        let rows = self.rest.iter_mut().filter_map(|row| row.split_off_mut(..width)).collect();
        let first = self.next;
        self.next += width;
        Some(ColumnBlock { first, rows })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let blocks = self.rest.first().map_or(0, |row| row.len().div_ceil(self.width));
        (blocks, Some(blocks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn blocks_cover_every_row_once() {
        let mut values = vec![0.0; 3 * 10];
        let blocks = ColumnBlocks::new(&mut values, 10, 4);
        assert_eq!(blocks.size_hint(), (3, Some(3)));
        for (index, mut block) in blocks.enumerate() {
            assert_eq!((block.first, block.width()), (index * 4, if index == 2 { 2 } else { 4 }));
            for (row, slice) in block.rows.iter_mut().enumerate() {
                slice.iter_mut().enumerate().for_each(|(i, x)| *x += (row * 10 + block.first + i) as f32);
            }
        }
        assert_eq!(values, (0..30).map(|i| i as f32).collect::<Vec<_>>());
        assert_eq!(ColumnBlocks::new(&mut [], 10, 4).count(), 0);
    }
}
