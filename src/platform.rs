//! What differs between a web page and a native process: the clocks.

#![forbid(unsafe_code)]

/// Milliseconds since a fixed but unspecified moment, by a clock that never runs backwards.
pub fn now_ms() -> f64 {
    clock::now_ms()
}

/// Seconds since 1970-01-01 00:00 UTC, by the system's clock.
pub fn unix_seconds() -> u64 {
    clock::unix_seconds()
}

#[cfg(not(target_arch = "wasm32"))]
mod clock {
    use std::sync::LazyLock;
    use std::time::{Instant, UNIX_EPOCH};

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);

    pub(super) fn now_ms() -> f64 {
        START.elapsed().as_secs_f64() * 1e3
    }

    pub(super) fn unix_seconds() -> u64 {
        UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs())
    }
}

#[cfg(target_arch = "wasm32")]
mod clock {
    use js_sys::Date;
    use wasm_bindgen::prelude::*;
    use web_sys::Performance;

    #[wasm_bindgen]
    extern "C" {
        /// Pages, workers and Node have it.
        #[wasm_bindgen(thread_local_v2, js_name = performance)]
        static PERFORMANCE: Option<Performance>;
    }

    /// `performance.now()`; `Date.now()` where a host has no such clock.
    pub(super) fn now_ms() -> f64 {
        PERFORMANCE.with(|clock| clock.as_ref().map_or_else(Date::now, Performance::now))
    }

    pub(super) fn unix_seconds() -> u64 {
        (Date::now() / 1e3) as u64
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::test;

    #[test]
    fn the_clock_moves_forward() {
        let start = super::now_ms();
        while super::now_ms() == start {}
        assert!(super::now_ms() > start);
    }
}
