//! Text from tokens that arrive one at a time.
//!
//! A token holds bytes, not characters: one emoji may be four tokens. [`Utf8Stream`] keeps the
//! bytes of an unfinished character until the rest arrives, so that no piece of text handed out
//! ever contains half of one. However the bytes are cut, the pieces joined are
//! `String::from_utf8_lossy` of all of them.

#![forbid(unsafe_code)]

use std::str;

/// What decoding needs of a tokenizer.
pub trait TokenText {
    /// Bytes that the token adds to text; empty for control tokens and unknown ids.
    fn token_bytes(&self, id: u32) -> &[u8];

    /// The token as a person should see it in a block view, control tokens included.
    fn token_label(&self, id: u32) -> String;
}

/// Joins bytes to text and holds back the start of a character whose end has not arrived.
#[derive(Clone, Debug, Default)]
pub struct Utf8Stream {
    /// The start of one character: at most three bytes between calls.
    pending: Vec<u8>,
}

impl Utf8Stream {
    /// Appends to `out` every character that `bytes` completes. Bytes that no continuation could
    /// make valid become U+FFFD.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        self.pending.extend_from_slice(bytes);
        let mut rest = self.pending.as_slice();
        loop {
            match str::from_utf8(rest) {
                Ok(valid) => {
                    out.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    out.push_str(&String::from_utf8_lossy(valid));
                    rest = after;
                    let Some(invalid) = error.error_len() else { break };
                    out.push(char::REPLACEMENT_CHARACTER);
                    rest = &rest[invalid..];
                }
            }
        }
        self.pending.drain(..self.pending.len() - rest.len());
    }

    /// Bytes of a character that is not complete.
    pub fn held(&self) -> usize {
        self.pending.len()
    }

    /// Ends the text: an unfinished character becomes U+FFFD.
    pub fn finish(&mut self, out: &mut String) {
        if !self.pending.is_empty() {
            self.pending.clear();
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;
    use rand_pcg::Pcg64;
    use rand_pcg::rand_core::{Rng, SeedableRng};

    #[test]
    fn a_character_is_held_until_its_last_byte() {
        let mut stream = Utf8Stream::default();
        let mut out = String::new();
        let bytes = "é🙂".as_bytes();
        let lengths: Vec<usize> = bytes
            .iter()
            .map(|byte| {
                stream.push(&[*byte], &mut out);
                out.len()
            })
            .collect();
        assert_eq!(lengths, [0, 2, 2, 2, 2, 6]);
        stream.finish(&mut out);
        assert_eq!(out, "é🙂");
    }

    #[test]
    fn pieces_joined_matches_from_utf8_lossy() {
        let mut rng = Pcg64::seed_from_u64(1);
        let alphabet: &[&[u8]] =
            &[b"a", "é".as_bytes(), "漢".as_bytes(), "🙂".as_bytes(), &[0x80], &[0xff], &[0xf0, 0x9f], &[0xe6]];
        for _ in 0..2000 {
            let bytes: Vec<u8> = (0..rng.next_u32() % 12)
                .flat_map(|_| alphabet[rng.next_u32() as usize % alphabet.len()])
                .copied()
                .collect();
            let (mut stream, mut out) = (Utf8Stream::default(), String::new());
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(1 + rng.next_u32() as usize % rest.len());
                stream.push(piece, &mut out);
                rest = after;
            }
            stream.finish(&mut out);
            assert_eq!(out, String::from_utf8_lossy(&bytes), "{bytes:x?}");
        }
    }
}
