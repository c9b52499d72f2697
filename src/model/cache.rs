//! Keys and values of one sequence.
//!
//! Positions `0..committed` are final. The rows of uncommitted passes lie behind them: visible to a
//! later pass that recomputes only some of them, gone with the next commit or rollback. Storage
//! grows in every layer at once.

#![forbid(unsafe_code)]

use crate::error::Result;
use crate::ops::KeyValues;

/// The keys and values of one sequence in a model with some number of layers.
pub struct KvCache {
    /// Of each layer each head.
    layers: Vec<Vec<KeyValues>>,
    committed: usize,
    written: usize,
}

impl KvCache {
    /// An empty cache for so many heads with `dim` elements in every layer.
    pub(super) fn new(layers: usize, heads: usize, dim: usize) -> Self {
        let layer = || (0..heads).map(|_| KeyValues::new(dim)).collect();
        Self { layers: (0..layers).map(|_| layer()).collect(), committed: 0, written: 0 }
    }

    pub(super) fn committed(&self) -> usize {
        self.committed
    }

    /// Positions a pass may look at: the committed ones and those written since.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// Makes room for a pass over `rows` rows from `position` on. Rows of earlier uncommitted
    /// passes beyond them stay.
    pub(super) fn begin(&mut self, position: usize, rows: usize) -> Result<()> {
        let end = position + rows;
        self.layers.iter_mut().flatten().try_for_each(|head| head.grow(end))?;
        self.written = end.max(self.written);
        Ok(())
    }

    /// The heads of a layer.
    pub(super) fn layer(&mut self, layer: usize) -> &mut [KeyValues] {
        &mut self.layers[layer]
    }

    /// Declares every written position final.
    pub(super) fn commit(&mut self) {
        self.committed = self.written;
    }

    /// A copy of the first `length` positions, which are committed.
    ///
    /// # Errors
    ///
    /// `out-of-memory`.
    pub(crate) fn copy(&self, length: usize) -> Result<Self> {
        let heads = |heads: &Vec<KeyValues>| heads.iter().map(|head| head.copy(length)).collect();
        let layers = self.layers.iter().map(heads).collect::<Result<_>>()?;
        Ok(Self { layers, committed: length, written: length })
    }

    /// Makes room for the first `length` positions of an empty cache, has `fill` write their keys
    /// and values piece by piece, and commits them.
    ///
    /// # Errors
    ///
    /// `out-of-memory`, and those of `fill`.
    pub(crate) fn fill(&mut self, length: usize, fill: impl FnMut(&mut [f32]) -> Result<()>) -> Result<()> {
        self.begin(0, length)?;
        self.pieces_mut(length).try_for_each(fill)?;
        self.commit();
        Ok(())
    }

    /// The memory of the first `length` positions: layer by layer, head by head.
    pub(crate) fn pieces_mut(&mut self, length: usize) -> impl Iterator<Item = &mut [f32]> {
        self.layers.iter_mut().flatten().flat_map(move |head| head.pieces_mut(length))
    }

    /// How many bytes all pieces of so many positions have, if `usize` holds it.
    pub(crate) fn piece_bytes(&self, length: usize) -> Option<usize> {
        let heads = self.layers.iter().flatten().map(|head| head.piece_len(length));
        heads.sum::<Option<usize>>()?.checked_mul(size_of::<f32>())
    }

    /// Forgets every position from `length` on.
    pub(super) fn truncate(&mut self, length: usize) {
        self.committed = self.committed.min(length);
        self.written = self.committed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn commits_and_rolls_back() {
        let mut cache = KvCache::new(1, 1, 2);
        cache.begin(0, 70).unwrap();
        assert_eq!((cache.committed(), cache.written()), (0, 70));
        cache.commit();
        cache.begin(70, 10).unwrap();
        assert_eq!((cache.committed(), cache.written()), (70, 80));
        cache.begin(74, 2).unwrap();
        assert_eq!(cache.written(), 80, "a pass inside the last one keeps its rows visible");
        cache.truncate(65);
        assert_eq!((cache.committed(), cache.written()), (65, 65));
    }
}
