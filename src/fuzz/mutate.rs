//! Inputs from seeds: a few random changes of the kinds that find bugs in readers.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// Longer inputs are cut.
const MAX_BYTES: usize = 1 << 17;

/// Numbers at the edges of what fields hold.
const EDGES: [u64; 12] = [
    0,
    1,
    2,
    0x7f,
    0xff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 40,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];

/// Words of the formats that are text.
const WORDS: [&str; 24] = [
    "null",
    "-1",
    "1e999",
    "18446744073709551616",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "{{",
    "}}",
    "{%",
    "%}",
    "\\ud83d",
    "\u{1f642}",
    "<|im_end|>",
    "range(10**9)",
    " * 1000000",
    "for x in range(99999)",
    "{% for a in messages %}",
    "{% endfor %}",
    ".format(",
    "|tojson",
    "\0",
];

/// Changes inputs, always in the same way for the same seed.
pub(super) struct Mutator {
    rng: Pcg64,
}

impl Mutator {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: Pcg64::seed_from_u64(seed) }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.rng.next_u64() as usize % limit.max(1)
    }

    /// One of the seeds with one to eight changes.
    pub(super) fn next(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..1 << self.below(4) {
            self.change(&mut input, seeds);
        }
        input.truncate(MAX_BYTES);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let end = (at + 1 + self.below(64)).min(input.len());
        match self.below(9) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..end.max(at))),
            2 => {
                let piece = input[at..end.max(at)].to_vec();
                let place = self.below(input.len() + 1);
                input.splice(place..place, piece);
            }
            3 => {
                let word = WORDS[self.below(WORDS.len())];
                input.splice(at..at, word.bytes());
            }
            4 => {
                let edge = EDGES[self.below(EDGES.len())].wrapping_add(self.below(3) as u64).wrapping_sub(1);
                let width = 1 << self.below(4);
                let end = (at + width).min(input.len());
                input[at..end].copy_from_slice(&edge.to_le_bytes()[..end - at]);
            }
            5 => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            // Digits, which are numbers in text.
            6 => {
                let number = EDGES[self.below(EDGES.len())].to_string();
                let digits = input[at..].iter().position(u8::is_ascii_digit).map_or(input.len(), |first| at + first);
                let behind = input[digits..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                input.splice(digits..digits + behind, number.bytes());
            }
            7 if at < input.len() => input[at] = self.below(256) as u8,
            _ if at < input.len() => input[at] ^= 1 << self.below(8),
            _ => {}
        }
    }
}
