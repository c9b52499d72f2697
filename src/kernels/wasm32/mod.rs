//! Backends for WebAssembly. A module cannot ask at run time which features its engine has: each
//! build is compiled with its own, and the page picks the build.
//!
//! The relaxed dot products multiply 16 pairs of int8 in one instruction. What they compute for
//! operands beyond 7 bits, and how fast they are, depends on the engine and the processor; so there
//! are several backends, and the self-test and autotuning decide.

mod groups;
#[cfg(target_feature = "relaxed-simd")]
mod relaxed_dot;
#[cfg(target_feature = "relaxed-simd")]
mod relaxed_groups;
#[cfg(target_feature = "relaxed-simd")]
mod relaxed_ternary;
mod ternary;
mod vector;

use super::groups::GroupDot;
use super::ternary::TernaryDot;
use super::{Kernels, Q8Rows};
use crate::tensor::{PANEL_ROWS, RowPanel, TILE, TernaryPanel};
use groups::Codes;
use ternary::Swar;

/// The backends of this build, those on relaxed instructions first.
pub(super) fn backends() -> impl Iterator<Item = &'static dyn Kernels> {
    #[cfg(target_feature = "relaxed-simd")]
    let relaxed = RELAXED;
    #[cfg(not(target_feature = "relaxed-simd"))]
    let relaxed: [&dyn Kernels; 0] = [];
    relaxed.into_iter().chain([&SIMD128 as &dyn Kernels])
}

/// Runs in every browser.
const SIMD128: Backend<Swar<14>, Swar<13>, Codes<8>, Codes<4>> =
    Backend { name: "wasm32-simd128", ternary: Swar, ternary_groups: Swar, bytes: Codes, nibbles: Codes };

/// The first three differ in how they multiply codes of 8 bits.
#[cfg(target_feature = "relaxed-simd")]
const RELAXED: [&dyn Kernels; 4] = {
    use relaxed_dot::{DotI16, DotI32};
    use relaxed_groups::{INT8, NIBBLE, RelaxedCodes, UINT8};
    use relaxed_ternary::RelaxedTernary;
    [
        &Backend {
            name: "wasm32-relaxed-u8",
            ternary: RelaxedTernary::new(DotI32),
            ternary_groups: RelaxedTernary::new(DotI32),
            bytes: RelaxedCodes::<_, UINT8>(DotI32),
            nibbles: RelaxedCodes::<_, NIBBLE>(DotI32),
        },
        &Backend {
            name: "wasm32-relaxed-i8",
            ternary: RelaxedTernary::new(DotI32),
            ternary_groups: RelaxedTernary::new(DotI32),
            bytes: RelaxedCodes::<_, INT8>(DotI32),
            nibbles: RelaxedCodes::<_, NIBBLE>(DotI32),
        },
        &Backend {
            name: "wasm32-relaxed-i7",
            ternary: RelaxedTernary::new(DotI32),
            ternary_groups: RelaxedTernary::new(DotI32),
            bytes: Codes::<8>,
            nibbles: RelaxedCodes::<_, NIBBLE>(DotI32),
        },
        &Backend {
            name: "wasm32-relaxed-i7x2",
            ternary: RelaxedTernary::new(DotI16),
            ternary_groups: RelaxedTernary::new(DotI16),
            bytes: Codes::<8>,
            nibbles: RelaxedCodes::<_, NIBBLE>(DotI16),
        },
    ]
};

/// A backend that multiplies ternary weights with `T`, those with a scale per group with `G`, codes
/// of 8 bits with `B`, and codes of 4 bits with `N`.
struct Backend<T, G, B, N> {
    name: &'static str,
    ternary: T,
    ternary_groups: G,
    bytes: B,
    nibbles: N,
}

impl<T: TernaryDot + Sync, G: TernaryDot + Sync, B: GroupDot + Sync, N: GroupDot + Sync> Kernels
    for Backend<T, G, B, N>
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn ternary_tile(&self, tiles: &[u8], x: &[i8], x_sums: &[i32], sums: &mut [[i32; TILE]]) {
        super::ternary::ternary_tile::<_, 2>(self.ternary, tiles, x, x_sums, sums);
    }

    fn group_panel(&self, panel: &RowPanel<'_>, x: &Q8Rows, out: &mut [[f32; PANEL_ROWS]]) {
        super::groups::group_panel(self.bytes, self.nibbles, panel, x, out);
    }

    fn ternary_panel(&self, panel: &TernaryPanel<'_>, x: &Q8Rows, out: &mut [[f32; TILE]]) {
        super::ternary_groups::ternary_panel::<_, 2>(self.ternary_groups, panel, x, out);
    }

    #[cfg(feature = "bench")]
    fn peak(&self, rounds: usize) -> u64 {
        self.ternary.peak(rounds)
    }
}
