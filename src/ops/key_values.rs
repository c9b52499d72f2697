//! The cached keys and values of one key/value head.
//!
//! They are stored in panels of 8 lanes: a panel of keys is 8 positions, a panel of values 8
//! elements (`attention.rs` has the reason). Memory is allocated in pages of [`PAGE`] positions, so
//! that a long context costs nothing before it is used.

#![forbid(unsafe_code)]

use crate::error::Result;
use crate::kernels::LANES;
use crate::tensor::try_zeroed;
use std::ops::Range;

/// Positions of a page, a multiple of [`LANES`].
pub(super) const PAGE: usize = 64;

/// Keys and values of one key/value head.
pub(crate) struct KeyValues {
    /// Elements of a head.
    dim: usize,
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
}

impl KeyValues {
    /// An empty cache of a head with `dim` elements.
    pub(crate) fn new(dim: usize) -> Self {
        Self { dim, keys: Vec::new(), values: Vec::new() }
    }

    /// Allocates memory for so many positions.
    ///
    /// # Errors
    ///
    /// `out-of-memory`; the cache keeps what it has.
    pub(crate) fn grow(&mut self, positions: usize) -> Result<()> {
        while self.values.len() * PAGE < positions {
            if self.keys.len() == self.values.len() {
                self.keys.push(try_zeroed(self.dim * PAGE)?);
            }
            self.values.push(try_zeroed(self.panels() * LANES * PAGE)?);
        }
        Ok(())
    }

    /// Stores the key and the value of an allocated position.
    pub(super) fn store(&mut self, position: usize, key: &[f32], value: &[f32]) {
        let (page, slot, panels) = (position / PAGE, position % PAGE, self.panels());
        let start = slot / LANES * self.dim * LANES + slot % LANES;
        self.keys[page][start..].iter_mut().step_by(LANES).zip(key).for_each(|(cell, x)| *cell = *x);
        let cells = self.values[page].as_chunks_mut::<LANES>().0.iter_mut().skip(slot).step_by(PAGE);
        for (cells, value) in cells.zip(value.chunks(LANES)).take(panels) {
            match value.first_chunk() {
                Some(value) => *cells = *value,
                None => cells[..value.len()].copy_from_slice(value),
            }
        }
    }

    /// A copy with memory for the first `positions`, which are allocated.
    ///
    /// # Errors
    ///
    /// `out-of-memory`.
    pub(crate) fn copy(&self, positions: usize) -> Result<Self> {
        let mut copy = Self::new(self.dim);
        copy.grow(positions)?;
        let keys = copy.keys.iter_mut().zip(&self.keys);
        keys.chain(copy.values.iter_mut().zip(&self.values)).for_each(|(to, from)| to.copy_from_slice(from));
        Ok(copy)
    }

    /// The memory of the first `positions`, which are allocated, in pieces: page by page, first
    /// keys, then values. What lies behind the last position in its panel becomes zero.
    pub(crate) fn pieces_mut(&mut self, positions: usize) -> impl Iterator<Item = &mut [f32]> {
        let (dim, zeros) = (self.dim, vec![0.0; self.dim]);
        (positions..positions.next_multiple_of(LANES)).for_each(|position| self.store(position, &zeros, &zeros));
        let pages = self.keys.iter_mut().zip(&mut self.values).take(positions.div_ceil(PAGE)).enumerate();
        pages.flat_map(move |(page, (keys, values))| {
            let count = (positions - page * PAGE).min(PAGE).next_multiple_of(LANES);
            let values = values.chunks_mut(PAGE * LANES).map(move |panel| &mut panel[..count * LANES]);
            std::iter::once(&mut keys[..count * dim]).chain(values)
        })
    }

    /// How many numbers all pieces of so many positions have, if `usize` holds it.
    pub(crate) fn piece_len(&self, positions: usize) -> Option<usize> {
        positions.checked_next_multiple_of(LANES)?.checked_mul(self.dim + self.panels() * LANES)
    }

    /// Elements of a head.
    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// The number of panels of values.
    pub(super) fn panels(&self) -> usize {
        self.dim.div_ceil(LANES)
    }

    /// The panel of keys whose first position is `position`.
    pub(super) fn keys(&self, position: usize) -> &[[f32; LANES]] {
        let (page, panel) = (position / PAGE, position % PAGE / LANES);
        &self.keys[page].as_chunks().0[panel * self.dim..][..self.dim]
    }

    /// A panel of the values at some positions of a page.
    pub(super) fn values(&self, page: usize, panel: usize, positions: Range<usize>) -> &[[f32; LANES]] {
        &self.values[page].as_chunks().0[panel * PAGE..][positions]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn panels_of_positions_and_of_elements() {
        let (dim, positions) = (12, PAGE + 10);
        let of = |position: usize, element: usize| (100 * position + element) as f32;
        let mut head = KeyValues::new(dim);
        head.grow(positions).unwrap();
        for position in 0..positions {
            let key: Vec<f32> = (0..dim).map(|element| of(position, element)).collect();
            let value: Vec<f32> = key.iter().map(|x| -x).collect();
            head.store(position, &key, &value);
        }
        for position in 0..positions {
            let keys = head.keys(position / LANES * LANES);
            let (page, slot) = (position / PAGE, position % PAGE);
            for (element, key) in keys.iter().enumerate() {
                assert_eq!(key[position % LANES], of(position, element));
                let value = head.values(page, element / LANES, slot..slot + 1);
                assert_eq!(value[0][element % LANES], -of(position, element));
            }
        }
        assert_eq!((head.keys(0).len(), head.panels(), head.values(1, 1, 3..10).len()), (12, 2, 7));
    }

    #[test]
    fn pieces_hold_what_was_stored_and_zeros() {
        let (dim, positions) = (12, PAGE + 10);
        let mut head = KeyValues::new(dim);
        head.grow(positions).unwrap();
        (0..positions).for_each(|position| head.store(position, &[1.0; 12], &[1.0; 12]));
        for kept in [1, 8, PAGE, PAGE + 3] {
            let mut copy = head.copy(positions).unwrap();
            let pieces: Vec<f32> = copy.pieces_mut(kept).flat_map(|piece| piece.to_vec()).collect();
            assert_eq!(Some(pieces.len()), head.piece_len(kept));
            assert_eq!(pieces.iter().sum::<f32>(), (2 * dim * kept) as f32);
        }
    }
}
