//! What the loop nests need of an instruction set's registers.

#![forbid(unsafe_code)]

use crate::tensor::{CHUNK_BYTES, PANEL_ROWS, TILE_BYTES};

/// The vector registers of an instruction set. A value of the type proves that the processor has
/// the instructions.
pub(super) trait Isa: Copy {
    /// [`TILE_BYTES`] bytes in registers.
    type Tile: Copy;
    /// One i32 for each row of a panel.
    type Ints;
    /// One f32 for each row of a panel.
    type Floats;

    fn load(self, bytes: &[u8; TILE_BYTES]) -> Self::Tile;
    fn store(self, tile: Self::Tile, bytes: &mut [u8; TILE_BYTES]);
    fn load_floats(self, floats: &[f32; PANEL_ROWS]) -> Self::Floats;
    fn store_floats(self, floats: Self::Floats) -> [f32; PANEL_ROWS];
    /// `floats + (sums - offset) * (weight_scales * scale)`, with one weight scale per row.
    fn add_scaled(
        self,
        floats: Self::Floats,
        sums: Self::Ints,
        offset: i32,
        weight_scales: &[u8; CHUNK_BYTES],
        scale: f32,
    ) -> Self::Floats;
    /// `floats - x_sum * (mins * scale)`, with one minimum per row.
    fn sub_min(self, floats: Self::Floats, x_sum: i32, mins: &[u8; CHUNK_BYTES], scale: f32) -> Self::Floats;
}
