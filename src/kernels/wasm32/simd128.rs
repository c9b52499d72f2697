//! The backends of 128-bit SIMD. They differ in how they multiply; what runs in every browser is [`SIMD128`].

use super::dual::Dual;
use super::words::Words;
use crate::kernels::groups::{self, GroupDot};
use crate::kernels::ternary::{self, TernaryDot};
use crate::kernels::{Kernels, Q8Rows};
use crate::tensor::{PANEL_ROWS, RowPanel, TILE};

/// Without the relaxed instructions.
pub(in crate::kernels) static SIMD128: Backend<Dual, Words<false>, Words<true>> =
    Backend { name: "wasm32-simd128", ternary: Dual, bytes: Words, nibbles: Words };

/// A backend that multiplies ternary weights with `S`, codes of 8 bits with `B`, and of 4 bits with `H`.
pub(in crate::kernels) struct Backend<S, B, H> {
    pub(super) name: &'static str,
    pub(super) ternary: S,
    pub(super) bytes: B,
    pub(super) nibbles: H,
}

impl<S: TernaryDot + Sync, B: GroupDot + Sync, H: GroupDot + Sync> Kernels for Backend<S, B, H> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn ternary_tile(&self, tiles: &[u8], x: &[i8], x_sums: &[i32], sums: &mut [[i32; TILE]]) {
        ternary::tile::<_, 2>(self.ternary, tiles, x, x_sums, sums);
    }

    fn group_panel(&self, panel: &RowPanel<'_>, x: &Q8Rows, out: &mut [[f32; PANEL_ROWS]]) {
        groups::group_panel(self.bytes, self.nibbles, panel, x, out);
    }

    fn peak(&self, rounds: usize) -> u64 {
        self.ternary.peak(rounds)
    }
}
