//! Backends for aarch64.

mod groups;
mod ternary;
mod vector;

use super::{Kernels, Q8Rows};
use crate::tensor::{PANEL_ROWS, RowPanel, TILE, TernaryPanel};
use groups::Codes;
use vector::Neon;

/// The backends that this processor can run.
pub(super) fn backends() -> impl Iterator<Item = &'static dyn Kernels> {
    std::iter::once(&Neon as &dyn Kernels)
}

impl Kernels for Neon {
    fn name(&self) -> &'static str {
        "aarch64-neon"
    }

    fn ternary_tile(&self, tiles: &[u8], x: &[i8], x_sums: &[i32], sums: &mut [[i32; TILE]]) {
        super::ternary::ternary_tile::<_, 2>(*self, tiles, x, x_sums, sums);
    }

    fn group_panel(&self, panel: &RowPanel<'_>, x: &Q8Rows, out: &mut [[f32; PANEL_ROWS]]) {
        super::groups::group_panel(Codes::<8>, Codes::<4>, panel, x, out);
    }

    fn ternary_panel(&self, panel: &TernaryPanel<'_>, x: &Q8Rows, out: &mut [[f32; TILE]]) {
        super::ternary_groups::ternary_panel::<_, 2>(*self, panel, x, out);
    }

    #[cfg(feature = "bench")]
    fn peak(&self, rounds: usize) -> u64 {
        super::ternary::TernaryDot::peak(*self, rounds)
    }
}
