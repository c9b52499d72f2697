//! Keys and values of one sequence.
//!
//! Positions `0..committed` are final. The rows of uncommitted passes lie behind them: visible to a later pass that recomputes
//! only some of them, gone with the next commit or rollback. Storage grows a page of positions at a time, in
//! every layer at once, so that a long context costs nothing before it is used.

#![forbid(unsafe_code)]

use crate::error::Result;
use crate::ops::{Heads, KeyValues, PAGE};
use crate::tensor::zeroed_f32;

struct Layer {
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
}

/// The cache of a model with some number of layers.
pub(super) struct KvCache {
    layers: Vec<Layer>,
    heads: Heads,
    committed: usize,
    written: usize,
}

impl KvCache {
    /// An empty cache for keys and values of this shape.
    pub(super) fn new(layers: usize, heads: Heads) -> Self {
        let layers = (0..layers).map(|_| Layer { keys: Vec::new(), values: Vec::new() }).collect();
        Self { layers, heads, committed: 0, written: 0 }
    }

    pub(super) fn committed(&self) -> usize {
        self.committed
    }

    /// Positions a pass may look at: the committed ones and those written since.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// Makes room for a pass over `rows` rows from `position` on. Rows of earlier uncommitted passes beyond them stay.
    pub(super) fn begin(&mut self, position: usize, rows: usize) -> Result<()> {
        let end = position + rows;
        for layer in &mut self.layers {
            while layer.values.len() * PAGE < end {
                if layer.keys.len() == layer.values.len() {
                    layer.keys.push(zeroed_f32(self.heads.key_page())?);
                }
                layer.values.push(zeroed_f32(self.heads.value_page())?);
            }
        }
        self.written = end.max(self.written);
        Ok(())
    }

    /// Stores the key and value rows of a layer from `position` on.
    pub(super) fn store(&mut self, layer: usize, position: usize, keys: &[f32], values: &[f32]) {
        let Layer { keys: key_pages, values: value_pages } = &mut self.layers[layer];
        let width = self.heads.kv_heads * self.heads.dim;
        let rows = keys.chunks_exact(width).zip(values.chunks_exact(width));
        for (position, (key, value)) in (position..).zip(rows) {
            self.heads.put_key(&mut key_pages[position / PAGE], position % PAGE, key);
            self.heads.put_value(&mut value_pages[position / PAGE], position % PAGE, value);
        }
    }

    pub(super) fn layer(&self, layer: usize) -> KeyValues<'_> {
        let Layer { keys, values } = &self.layers[layer];
        KeyValues { heads: self.heads, keys, values }
    }

    /// Declares every written position final.
    pub(super) fn commit(&mut self) {
        self.committed = self.written;
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

    #[test]
    fn commits_and_rolls_back() {
        let mut cache = KvCache::new(1, Heads { kv_heads: 1, dim: 2 });
        cache.begin(0, 70).unwrap();
        let rows: Vec<f32> = (0..140).map(|i| i as f32).collect();
        cache.store(0, 0, &rows, &rows);
        assert_eq!((cache.committed(), cache.written()), (0, 70));
        cache.commit();
        cache.begin(70, 10).unwrap();
        assert_eq!((cache.committed(), cache.written()), (70, 80));
        cache.begin(74, 2).unwrap();
        assert_eq!(cache.written(), 80, "a pass inside the last one keeps its rows visible");
        cache.truncate(65);
        assert_eq!((cache.committed(), cache.written()), (65, 65));
        assert_eq!(cache.layer(0).values[1][..2], [128.0, 129.0], "position 64 is the first of the second page");
    }
}
