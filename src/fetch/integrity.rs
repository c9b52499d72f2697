//! Checksums of files and of their blocks.
//!
//! Two with different jobs. SHA-256 says that a file is the one that was published; it is as slow
//! as loading itself, so it is computed once, while the file arrives. XXH3 guards each stored block
//! against a disk or a write that went wrong, at a speed that no load notices, so that every later
//! load checks every byte it reads.

#![forbid(unsafe_code)]

use crate::error::Result;
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// A SHA-256 checksum.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum([u8; 32]);

impl Checksum {
    /// The checksum of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads 64 hexadecimal digits, in either case; `sha256:` before them is allowed.
    ///
    /// # Errors
    ///
    /// `bad-option` for any other text.
    pub fn parse(text: &str) -> Result<Self> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let bytes = digits.as_bytes();
        let mut checksum = [0; 32];
        let good = bytes.len() == 64
            && bytes.chunks_exact(2).zip(&mut checksum).all(|(pair, byte)| {
                let digit = |digit: u8| char::from(digit).to_digit(16);
                let Some((high, low)) = digit(pair[0]).zip(digit(pair[1])) else { return false };
                *byte = (high << 4 | low) as u8;
                true
            });
        if !good {
            bail!(BadOption, "a sha256 checksum has 64 hexadecimal digits, not \"{text}\"");
        }
        Ok(Self(checksum))
    }
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// A SHA-256 checksum being computed.
#[derive(Clone, Default)]
pub(super) struct RunningChecksum(Sha256);

impl RunningChecksum {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> Checksum {
        Checksum(self.0.finalize().into())
    }
}

/// The checksum that guards a stored block.
pub(super) fn block_checksum(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// [`block_checksum`] of a block that arrives in parts.
#[derive(Clone, Default)]
pub(super) struct RunningBlock(Xxh3Default);

impl RunningBlock {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum, and a fresh start.
    pub(super) fn take(&mut self) -> u64 {
        let checksum = self.0.digest();
        self.0.reset();
        checksum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    /// The example of FIPS 180-2, appendix B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_checksum_of_abc() {
        assert_eq!(Checksum::of(b"abc").to_string(), ABC);
        let mut running = RunningChecksum::default();
        running.update(b"a");
        running.update(b"");
        running.update(b"bc");
        assert_eq!(running.finish(), Checksum::parse(&format!("sha256:{}", ABC.to_uppercase())).unwrap());
    }

    #[test]
    fn refuses_what_is_no_checksum() {
        let wrong = ABC.replace('b', "g");
        for text in ["", "abc", &ABC[1..], &format!("{ABC}0"), &wrong, "é".repeat(32).as_str()] {
            let error = Checksum::parse(text).unwrap_err();
            assert!(error.message().contains("64 hexadecimal digits"), "{text}: {error}");
        }
    }

    #[test]
    fn a_block_in_parts_has_the_checksum_of_the_whole() {
        let bytes: Vec<u8> = (0..1000u32).map(|index| (index * 7) as u8).collect();
        let mut running = RunningBlock::default();
        for part in bytes.chunks(33) {
            running.update(part);
        }
        assert_eq!(running.take(), block_checksum(&bytes));
        running.update(b"x");
        assert_eq!(running.take(), block_checksum(b"x"));
    }
}
