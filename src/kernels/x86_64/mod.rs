//! Backends for x86-64, detected at run time.

mod groups;
mod ternary;
mod vector;

use super::{Kernels, LANES, Q8Part, Q8Rows, Rows, RowsMut, float};
use crate::tensor::{PANEL_ROWS, RowPanel, TILE, TernaryPanel};
use groups::Codes;
use std::sync::LazyLock;
use vector::Avx2;

/// The backends that this processor can run.
pub(super) fn backends() -> impl Iterator<Item = &'static dyn Kernels> {
    static AVX2: LazyLock<Option<Avx2>> = LazyLock::new(Avx2::detect);
    AVX2.iter().map(|backend| backend as &dyn Kernels)
}

/// Defines methods that are compiled for AVX2, whatever the rest of the program is compiled for.
macro_rules! compile_for_avx2 {
    ($($(#[$attribute:meta])* fn $name:ident($avx2:ident $(, $argument:ident: $type:ty)*) $(-> $result:ty)? $body:block)*) => { $(
        $(#[$attribute])*
        fn $name(&self $(, $argument: $type)*) $(-> $result)? {
            #[target_feature(enable = "avx2")]
            fn compiled($avx2: Avx2 $(, $argument: $type)*) $(-> $result)? $body
            // SAFETY: `self` proves that the processor has AVX2.
            unsafe { compiled(*self $(, $argument)*) }
        }
    )* };
}

impl Kernels for Avx2 {
    fn name(&self) -> &'static str {
        "x86_64-avx2"
    }

    compile_for_avx2! {
        fn ternary_tile(avx2, tiles: &[u8], x: &[i8], x_sums: &[i32], sums: &mut [[i32; TILE]]) {
            super::ternary::ternary_tile::<_, 4>(avx2, tiles, x, x_sums, sums);
        }

        fn group_panel(avx2, panel: &RowPanel<'_>, x: &Q8Rows, out: &mut [[f32; PANEL_ROWS]]) {
            super::groups::group_panel(Codes::<8>(avx2), Codes::<4>(avx2), panel, x, out);
        }

        fn ternary_panel(avx2, panel: &TernaryPanel<'_>, x: &Q8Rows, out: &mut [[f32; TILE]]) {
            super::ternary_groups::ternary_panel::<_, 4>(avx2, panel, x, out);
        }

        fn quantize_row(_avx2, x: &[f32], out: &mut [i8]) -> (f32, i32) {
            float::quantize_row(x, out)
        }

        fn quantize_q8(_avx2, x: &[f32], out: Q8Part<'_>) {
            float::quantize_q8(x, out);
        }

        fn dot_f32(_avx2, a: &[f32], b: &[f32]) -> f32 {
            float::dot(a, b)
        }

        fn panel_f32(_avx2, a: Rows<'_>, b: &[[f32; LANES]], out: RowsMut<'_>) {
            float::panel_f32::<8>(a, b, out);
        }

        #[cfg(feature = "bench")]
        fn peak(avx2, rounds: usize) -> u64 {
            super::ternary::TernaryDot::peak(avx2, rounds)
        }
    }
}
