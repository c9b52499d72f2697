//! However a file is cut, the decoder says the same of it, errors included.
//!
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz gguf_splits`. The first three bytes choose the
//! cuts and whether the length of the file is known; the rest is the file.

#![no_main]

#[path = "../../it/common/cuts.rs"]
mod cuts;
#[path = "../../it/outcome.rs"]
mod outcome;

use cuts::random_cuts;
use libfuzzer_sys::fuzz_target;
use outcome::Outcome;

fuzz_target!(|input: &[u8]| {
    let Some((&[a, b, known], file)) = input.split_first_chunk() else { return };
    let total = (known % 2 == 1).then_some(file.len() as u64);
    let whole = Outcome::of([file], total);
    assert_eq!(Outcome::of(file.chunks(1), total), whole, "byte by byte");
    let seed = u64::from(u16::from_le_bytes([a, b]));
    assert_eq!(Outcome::of(random_cuts(file, seed), total), whole, "cut at random, seed {seed}");
});
