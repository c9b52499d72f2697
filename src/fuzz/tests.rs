//! Every target with changed seeds: `WEBTERN_FUZZ_INPUTS` of them, and more for as long as
//! `WEBTERN_FUZZ_SECONDS` says.

use super::mutate::Mutator;
use super::seeds::seeds;
use super::{TARGETS, Target};
use crate::testing::test;

/// Inputs of each target, at least.
const INPUTS: u64 = 2000;

/// What one input may cost.
#[cfg(not(target_arch = "wasm32"))]
mod limits {
    /// Bytes beside four for each byte of the input.
    pub(super) const BYTES: u64 = 64 << 20;
    /// Seconds of the processor for each begun megabyte.
    pub(super) const SECONDS: f64 = 2.0;
}

/// Names the input when a target panics.
struct Named<'a> {
    target: &'a Target,
    number: u64,
    input: &'a [u8],
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Named { target, number, input } = self;
            let text = String::from_utf8_lossy(&input[..input.len().min(2000)]);
            eprintln!("target {}, input {number} of {} bytes:\n{text:?}", target.name, input.len());
            #[cfg(not(target_arch = "wasm32"))]
            {
                let path = std::env::temp_dir().join(format!("webtern-fuzz-{}-{number}", target.name));
                if std::fs::write(&path, input).is_ok() {
                    eprintln!("it is in {}", path.display());
                }
            }
        }
    }
}

/// A number in the environment, of which a page has none.
fn setting(name: &str) -> Option<f64> {
    std::env::var(name).ok()?.parse().ok()
}

fn check(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = seeds(name);
    assert!(!seeds.is_empty());
    let inputs = setting("WEBTERN_FUZZ_INPUTS").map_or(INPUTS, |inputs| inputs as u64);
    let end = crate::platform::now_ms() + 1e3 * setting("WEBTERN_FUZZ_SECONDS").unwrap_or_default();
    for (number, seed) in (0..).zip(&seeds) {
        run(target, number, seed);
    }
    let mut mutator = Mutator::new(1);
    for number in 0.. {
        if number >= inputs && crate::platform::now_ms() >= end {
            break;
        }
        run(target, number, &mutator.next(&seeds));
    }
}

#[cfg(target_arch = "wasm32")]
fn run(target: &Target, number: u64, input: &[u8]) {
    let _named = Named { target, number, input };
    (target.run)(input);
}

#[cfg(not(target_arch = "wasm32"))]
fn run(target: &Target, number: u64, input: &[u8]) {
    let _named = Named { target, number, input };
    let cost = super::cost::cost(|| (target.run)(input));
    let bytes = limits::BYTES + 4 * input.len() as u64;
    let seconds = limits::SECONDS * (1 + input.len() / 1_000_000) as f64;
    assert!(cost.bytes <= bytes && cost.seconds <= seconds, "{cost:?}; {bytes} bytes and {seconds} s are allowed");
}

macro_rules! targets {
    ($($name:ident),+) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })+

        #[test]
        fn every_target_has_a_test() {
            assert_eq!(TARGETS.map(|target| target.name), [$(stringify!($name)),+]);
        }
    };
}

targets!(gguf, safetensors, zip, pickle, config, protobuf, tokenizer, template, request, options, session, kernels);
