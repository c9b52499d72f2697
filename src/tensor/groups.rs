//! Matrices of small integers with a scale for every group of weights, in the order in which the
//! kernels read them.
//!
//! Rows are cut into strips of 8, columns into groups of 16 or 32 that share a scale. A strip is
//! stored group after group, so that a matrix-vector product reads memory forwards. A group is some
//! lines of 32 bytes:
//!
//! ```text
//! first line                                 the factor of each row, f32
//! next line, where the type has minimums     the minimum of each row, f32
//! byte 4 r + k of code line l            =   code of row r, column 4 l + k                8 bits
//! byte 4 r + k of code line l, nibble f  =   code of row r, column 8 l + 4 f + k          4 bits, the low nibble first
//! ```
//!
//! A weight is `factor * (code - zero) - minimum`. Codes of 8 bits are signed, those of 4 are not.
//! Rows beyond the matrix have factors of zero.

#![forbid(unsafe_code)]

use super::aligned::AlignedBytes;
use crate::error::Result;
use crate::gguf::GgmlType;
use crate::quant::{self, Groups};

/// Rows of a strip.
pub(crate) const PANEL_ROWS: usize = 8;

/// Bytes of a line: a f32 or four codes of 8 bits for each row.
pub(crate) const CHUNK_BYTES: usize = 32;

/// How wide codes are, and how many share a factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupLayout {
    /// 8 bits, groups of 32.
    Bytes32,
    /// 8 bits, groups of 16.
    Bytes16,
    /// 4 bits, groups of 32.
    Nibbles32,
}

impl GroupLayout {
    /// Weights that share a factor.
    pub(crate) fn group(self) -> usize {
        match self {
            Self::Bytes32 | Self::Nibbles32 => 32,
            Self::Bytes16 => 16,
        }
    }

    /// Weights in a byte.
    pub(crate) fn per_byte(self) -> usize {
        match self {
            Self::Bytes32 | Self::Bytes16 => 1,
            Self::Nibbles32 => 2,
        }
    }

    /// Lines of codes in a group.
    pub(crate) fn code_chunks(self) -> usize {
        self.group() / self.per_byte() / 4
    }
}

/// Eight rows of a [`PackedGroups`].
#[derive(Clone, Copy)]
pub(crate) struct RowPanel<'a> {
    /// Width of codes and groups.
    pub layout: GroupLayout,
    /// The code of a weight of zero.
    pub zero: i32,
    /// Whether groups have a line of minimums.
    pub mins: bool,
    /// Lines of a group: its head and its codes.
    pub group_chunks: usize,
    /// The groups, one after the other.
    pub chunks: &'a [[u8; CHUNK_BYTES]],
}

/// A `rows` by `cols` matrix of grouped integers.
pub(crate) struct PackedGroups {
    ty: GgmlType,
    layout: GroupLayout,
    zero: i32,
    mins: bool,
    rows: usize,
    cols: usize,
    panels: AlignedBytes,
}

impl PackedGroups {
    /// A matrix whose rows are to be set from whole blocks of type `ty`.
    ///
    /// # Errors
    ///
    /// `out-of-memory` when it cannot be allocated.
    ///
    /// # Panics
    ///
    /// For floats and ternary types, which have no such form.
    pub(super) fn zeros(ty: GgmlType, rows: usize, cols: usize) -> Result<Self> {
        let (layout, zero, mins) = match ty {
            GgmlType::Q4_0 => (GroupLayout::Nibbles32, 8, false),
            GgmlType::Q4_1 | GgmlType::Q4K => (GroupLayout::Nibbles32, 0, true),
            GgmlType::Q5_1 | GgmlType::Q5K => (GroupLayout::Bytes32, 0, true),
            GgmlType::Q2K => (GroupLayout::Bytes16, 0, true),
            GgmlType::Q3K | GgmlType::Q6K | GgmlType::Iq1M | GgmlType::Iq2Xs | GgmlType::Iq2S => {
                (GroupLayout::Bytes16, 0, false)
            }
            GgmlType::Q8_0
            | GgmlType::Q5_0
            | GgmlType::Iq1S
            | GgmlType::Iq2Xxs
            | GgmlType::Iq3Xxs
            | GgmlType::Iq3S
            | GgmlType::Iq4Nl
            | GgmlType::Iq4Xs
            | GgmlType::Mxfp4 => (GroupLayout::Bytes32, 0, false),
            _ => panic!("type {ty} is not made of groups of integers"),
        };
        let mut matrix = Self { ty, layout, zero, mins, rows, cols, panels: AlignedBytes::zeroed(0)? };
        matrix.panels = AlignedBytes::zeroed(rows.div_ceil(PANEL_ROWS) * matrix.panel_chunks() * CHUNK_BYTES)?;
        Ok(matrix)
    }

    /// Packs a tensor of `rows` whole rows of blocks.
    ///
    /// # Errors
    ///
    /// `out-of-memory` when the packed form cannot be allocated.
    #[cfg(any(test, fuzzing, feature = "bench"))]
    pub(crate) fn pack(ty: GgmlType, rows: usize, cols: usize, bytes: &[u8]) -> Result<Self> {
        let mut matrix = Self::zeros(ty, rows, cols)?;
        let rows = bytes.chunks_exact(bytes.len() / rows).enumerate();
        rows.for_each(|(row, blocks)| matrix.set_row(row, blocks));
        Ok(matrix)
    }

    /// Sets a row from its blocks.
    pub(super) fn set_row(&mut self, row: usize, blocks: &[u8]) {
        let mut col = 0;
        quant::groups(self.ty, blocks, |group| {
            self.set(row, col, &group);
            col += group.codes.len();
        });
    }

    /// Lines of a group before its codes.
    fn head_chunks(&self) -> usize {
        1 + usize::from(self.mins)
    }

    fn group_chunks(&self) -> usize {
        self.head_chunks() + self.layout.code_chunks()
    }

    fn panel_chunks(&self) -> usize {
        self.cols / self.layout.group() * self.group_chunks()
    }

    /// The first line of the group of a weight.
    fn group_at(&self, row: usize, col: usize) -> usize {
        row / PANEL_ROWS * self.panel_chunks() + col / self.layout.group() * self.group_chunks()
    }

    fn set(&mut self, row: usize, col: usize, group: &Groups<'_>) {
        let (first, count) = (self.group_at(row, col), self.group_chunks());
        let (head, cell) = (self.head_chunks(), row % PANEL_ROWS * 4);
        let chunks = &mut self.panels.as_chunks_mut::<CHUNK_BYTES>().0[first..][..count];
        let put = |chunk: &mut [u8; CHUNK_BYTES], bytes: [u8; 4]| chunk[cell..][..4].copy_from_slice(&bytes);
        let (head, codes) = chunks.split_at_mut(head);
        for (chunk, value) in head.iter_mut().zip([group.scale, group.min]) {
            put(chunk, value.to_le_bytes());
        }
        let word = |quad: &[i8; 4]| u32::from_le_bytes(quad.map(i8::cast_unsigned));
        let (quads, _) = group.codes.as_chunks::<4>();
        if self.layout.per_byte() == 1 {
            for (chunk, quad) in codes.iter_mut().zip(quads) {
                put(chunk, word(quad).to_le_bytes());
            }
        } else {
            for (chunk, [low, high]) in codes.iter_mut().zip(quads.as_chunks().0) {
                put(chunk, (word(low) | word(high) << 4).to_le_bytes());
            }
        }
    }

    /// Output features.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Input features.
    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// The `index`-th 8 rows.
    pub(crate) fn panel(&self, index: usize) -> RowPanel<'_> {
        let Self { layout, zero, mins, .. } = *self;
        let chunks = &self.panels.as_chunks().0[index * self.panel_chunks()..][..self.panel_chunks()];
        RowPanel { layout, zero, mins, group_chunks: self.group_chunks(), chunks }
    }

    /// Row `row` decoded to f32, in `out` of length [`PackedGroups::cols`]: the same bits as
    /// [`quant::dequantize`].
    pub(crate) fn decode_row(&self, row: usize, out: &mut [f32]) {
        let panel = self.panel(row / PANEL_ROWS);
        let groups = panel.chunks.chunks_exact(panel.group_chunks);
        for (chunks, out) in groups.zip(out.chunks_exact_mut(self.layout.group())) {
            let cell =
                |chunk: usize| *chunks[chunk][row % PANEL_ROWS * 4..].first_chunk::<4>().expect("a chunk has 8 cells");
            let (head, scale) = (self.head_chunks(), f32::from_le_bytes(cell(0)));
            let min = if self.mins { f32::from_le_bytes(cell(1)) } else { 0.0 };
            for (col, out) in out.iter_mut().enumerate() {
                let code = match self.layout {
                    GroupLayout::Nibbles32 => i32::from(cell(head + col / 8)[col % 4] >> (col / 4 % 2 * 4) & 15),
                    _ => i32::from(cell(head + col / 4)[col % 4].cast_signed()),
                };
                *out = (code - self.zero) as f32 * scale;
                if self.mins {
                    *out -= min;
                }
            }
        }
    }
}
