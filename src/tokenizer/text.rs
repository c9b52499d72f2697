//! What each token looks like: its spelling in the vocabulary, and the bytes it adds to a text.
//!
//! Byte-level vocabularies spell every byte as one printable character: the printable bytes of
//! Latin-1 as themselves, the others, in order, as U+0100, U+0101, ... (so a space is `Ġ`).
//! Sentencepiece spells a space `▁` and a raw byte `<0x0A>`.

#![forbid(unsafe_code)]

use super::types::{Model, TokenType};
use super::vocabulary::Vocabulary;

/// Spellings and bytes of all tokens, each in one allocation.
#[derive(Debug)]
pub(super) struct TokenTable {
    raw: String,
    bytes: Vec<u8>,
    /// Ends of token `id` in `raw` and `bytes`.
    ends: Vec<(u32, u32)>,
    types: Vec<TokenType>,
}

impl TokenTable {
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let mut raw = String::new();
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(vocabulary.tokens.len());
        for (_, text, kind) in vocabulary.entries() {
            raw.push_str(text);
            match kind {
                TokenType::Control | TokenType::Unknown | TokenType::Unused => {}
                TokenType::UserDefined => bytes.extend_from_slice(text.as_bytes()),
                TokenType::Byte => match byte_of_name(text) {
                    Some(byte) => bytes.push(byte),
                    None => bytes.extend_from_slice(text.as_bytes()),
                },
                TokenType::Normal => match vocabulary.model {
                    Model::Bpe(_) => push_byte_level(text, &mut bytes),
                    Model::Spm => bytes.extend_from_slice(text.replace('▁', " ").as_bytes()),
                },
            }
            // The vocabulary's own limit keeps both sums far below 2^32.
            ends.push((raw.len() as u32, bytes.len() as u32));
        }
        Self { raw, bytes, ends, types: vocabulary.types.clone() }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Start and end of the token in `raw` and in `bytes`.
    fn span(&self, id: u32) -> Option<((u32, u32), (u32, u32))> {
        let end = *self.ends.get(id as usize)?;
        let start = if id == 0 { (0, 0) } else { self.ends[id as usize - 1] };
        Some((start, end))
    }

    pub(super) fn raw(&self, id: u32) -> Option<&str> {
        let (start, end) = self.span(id)?;
        Some(&self.raw[start.0 as usize..end.0 as usize])
    }

    pub(super) fn bytes(&self, id: u32) -> &[u8] {
        self.span(id).map_or(&[], |(start, end)| &self.bytes[start.1 as usize..end.1 as usize])
    }

    /// The token's type; an id without a token is [`TokenType::Unused`].
    pub(super) fn kind(&self, id: u32) -> TokenType {
        self.types.get(id as usize).copied().unwrap_or(TokenType::Unused)
    }

    /// The token for a person's eyes: text as text, lone bytes in hexadecimal, everything else by
    /// its name.
    pub(super) fn label(&self, id: u32) -> String {
        let bytes = self.bytes(id);
        match (self.raw(id), std::str::from_utf8(bytes)) {
            (None, _) => format!("<{id}>"),
            (Some(raw), _) if bytes.is_empty() => raw.to_owned(),
            (Some(_), Ok(text)) => text.to_owned(),
            (Some(_), Err(_)) => bytes.iter().map(|byte| format!("<0x{byte:02X}>")).collect(),
        }
    }
}

/// The byte of `<0x0A>`.
pub(crate) fn byte_of_name(name: &str) -> Option<u8> {
    let digits = name.strip_prefix("<0x")?.strip_suffix('>')?;
    let plain = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    plain.then(|| u8::from_str_radix(digits, 16).ok())?
}

/// Appends the bytes that a byte-level spelling stands for; a spelling with other characters in it
/// is taken literally.
fn push_byte_level(spelling: &str, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    for c in spelling.chars() {
        let Some(byte) = byte_level(c) else {
            bytes.truncate(start);
            bytes.extend_from_slice(spelling.as_bytes());
            return;
        };
        bytes.push(byte);
    }
}

/// The byte that a byte-level character stands for.
pub(crate) fn byte_level(c: char) -> Option<u8> {
    let shifted = |from: u8, offset: u32| Some(from + (c as u32 - offset) as u8);
    match c as u32 {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => Some(c as u32 as u8),
        0x100..=0x120 => shifted(0x00, 0x100),
        0x121..=0x142 => shifted(0x7f, 0x121),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// The character that stands for a byte in a byte-level vocabulary: [`byte_level`] turned around.
pub(super) fn byte_level_char(byte: u8) -> char {
    let byte = u32::from(byte);
    let c = match byte {
        0x00..=0x20 => byte + 0x100,
        0x7f..=0xa0 => byte - 0x7f + 0x121,
        0xad => 0x143,
        _ => byte,
    };
    char::from_u32(c).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn byte_level_matches_its_definition() {
        let printable = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let mut next = 256;
        for byte in 0..=255u32 {
            let spelt = if printable(byte) {
                byte
            } else {
                next += 1;
                next - 1
            };
            assert_eq!(char::from_u32(spelt).and_then(byte_level), Some(byte as u8), "byte {byte}");
            assert_eq!(byte_level_char(byte as u8) as u32, spelt, "byte {byte}");
        }
        assert_eq!(char::from_u32(next).and_then(byte_level), None);
    }

    #[test]
    fn byte_names_are_two_digits() {
        assert_eq!(byte_of_name("<0x0A>"), Some(10));
        assert_eq!(byte_of_name("<0xff>"), Some(255));
        for name in ["<0x>", "<0x+A>", "<0x100>", "0x0A", "<0xG0>"] {
            assert_eq!(byte_of_name(name), None, "{name}");
        }
    }
}
