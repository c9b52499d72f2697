//! Sentencepiece BPE: of all neighbors whose concatenation is a token, the pair with the best score
//! is merged, leftmost first, until none is left.
//!
//! The `tokenizers` crate ranks merges instead of scoring tokens; the two disagree on ties (`aaa`
//! where `aa` is a token), so the algorithm is here. It keeps the symbols in a linked list and the
//! candidate pairs in a heap. A pair is stale when one of its symbols has been merged since, which
//! the length of its text shows: symbols only grow. That makes n log n of n characters.

#![forbid(unsafe_code)]

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::text::byte_of_name;
use super::types::TokenType;
use super::vocabulary::Vocabulary;
use crate::Result;

/// The encoder of a `llama` vocabulary.
#[derive(Debug)]
pub(super) struct Spm {
    /// Tokens that text can merge into, with their scores. Control, unknown and byte tokens are not
    /// among them.
    tokens: HashMap<String, (u32, f32)>,
    /// The tokens of raw bytes.
    bytes: Box<[Option<u32>; 256]>,
    unknown: Option<u32>,
    remove_extra_whitespaces: bool,
}

/// A stretch of the text that is one token, or one character.
struct Symbol {
    start: usize,
    len: usize,
    /// Neighbours by index, `NONE` at the ends. A symbol that was merged into its left neighbor has
    /// `len` 0.
    prev: usize,
    next: usize,
}

const NONE: usize = usize::MAX;

/// Two neighbors whose concatenation is a token.
#[derive(PartialEq)]
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    len: usize,
}

impl Eq for Pair {}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Spm {
    pub(super) fn new(vocabulary: Vocabulary) -> Result<Self> {
        let mut tokens = HashMap::with_capacity(vocabulary.tokens.len());
        let mut bytes = Box::new([None; 256]);
        let each = vocabulary.tokens.into_iter().zip(vocabulary.types).zip(vocabulary.scores);
        for (id, ((token, kind), score)) in each.enumerate() {
            let id = id as u32;
            match kind {
                TokenType::Control | TokenType::Unknown => {}
                TokenType::Byte => match byte_of_name(&token) {
                    Some(byte) => bytes[usize::from(byte)] = Some(id),
                    None => bail!(Malformed, "tokenizer.ggml.tokens: byte token {id} is {token:?}, not like <0x0A>"),
                },
                // Zero scores of both signs are the same score.
                _ => drop(tokens.insert(token, (id, score + 0.0))),
            }
        }
        let remove_extra_whitespaces = vocabulary.remove_extra_whitespaces;
        Ok(Self { tokens, bytes, unknown: vocabulary.special.unk, remove_extra_whitespaces })
    }

    /// Appends the ids of `text`, as if a space stood before it when `space_prefix`.
    pub(super) fn encode(&self, text: &str, space_prefix: bool, ids: &mut Vec<u32>) -> Result<()> {
        let escaped = self.escape(text, space_prefix);
        let symbols = self.merge(&escaped);
        let (mut at, mut after_unknown) = (0, false);
        while let Some(symbol) = symbols.get(at) {
            let known = self.push(&escaped[symbol.start..symbol.start + symbol.len], ids)?;
            if !known && !after_unknown {
                ids.extend(self.unknown);
            }
            after_unknown = !known;
            at = symbol.next;
        }
        Ok(())
    }

    /// The text with `▁` for spaces, and one in front when `space_prefix`.
    fn escape(&self, text: &str, space_prefix: bool) -> String {
        let mut escaped = String::with_capacity(text.len() + 3);
        let words = text.split(' ').filter(|word| !self.remove_extra_whitespaces || !word.is_empty());
        for (i, word) in words.enumerate() {
            if i > 0 || space_prefix {
                escaped.push('▁');
            }
            escaped.push_str(word);
        }
        if self.remove_extra_whitespaces {
            // Sentencepiece does so after writing blanks as ▁, so those of the text go too.
            escaped.truncate(escaped.trim_end_matches('▁').len());
        }
        escaped
    }

    fn merge(&self, text: &str) -> Vec<Symbol> {
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(i, (start, c))| Symbol { start, len: c.len_utf8(), prev: i.wrapping_sub(1), next: i + 1 })
            .collect();
        if let Some(last) = symbols.last_mut() {
            last.next = NONE;
        }
        let mut pairs = BinaryHeap::new();
        for right in 1..symbols.len() {
            pairs.extend(self.pair(text, &symbols, right - 1, right));
        }
        while let Some(Pair { left, right, len, .. }) = pairs.pop() {
            let stale =
                symbols[left].len == 0 || symbols[right].len == 0 || symbols[left].len + symbols[right].len != len;
            if stale {
                continue;
            }
            let next = symbols[right].next;
            symbols[right].len = 0;
            symbols[left].len = len;
            symbols[left].next = next;
            if next != NONE {
                symbols[next].prev = left;
            }
            pairs.extend(self.pair(text, &symbols, symbols[left].prev, left));
            pairs.extend(self.pair(text, &symbols, left, next));
        }
        symbols
    }

    /// The pair of these neighbors, if there are both and they make a token.
    fn pair(&self, text: &str, symbols: &[Symbol], left: usize, right: usize) -> Option<Pair> {
        let (first, second) = (symbols.get(left)?, symbols.get(right)?);
        let len = first.len + second.len;
        let &(_, score) = self.tokens.get(&text[first.start..first.start + len])?;
        Some(Pair { score, left, right, len })
    }

    /// Appends the token `symbol`; a character that is none is spelt in bytes. False for one that
    /// is unknown: a run of such is one unknown token.
    fn push(&self, symbol: &str, ids: &mut Vec<u32>) -> Result<bool> {
        if let Some(&(id, _)) = self.tokens.get(symbol) {
            ids.push(id);
            return Ok(true);
        }
        let start = ids.len();
        ids.extend(symbol.bytes().map_while(|byte| self.bytes[usize::from(byte)]));
        if ids.len() - start == symbol.len() {
            return Ok(true);
        }
        ids.truncate(start);
        if self.unknown.is_none() {
            bail!(
                Malformed,
                "the vocabulary has no token for {symbol:?}: neither itself, nor its bytes, nor tokenizer.ggml.unknown_token_id"
            );
        }
        Ok(false)
    }
}
