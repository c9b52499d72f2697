//! Byte-level byte-pair encoding: text is cut into words, each word's bytes are merged by rank.
//!
//! The merges are the `tokenizers` crate's, without its pre-tokenizers: see `words`.

#![forbid(unsafe_code)]

use tokenizers::Model as _;
use tokenizers::models::bpe::{BPE, Vocab};

use super::text::byte_level_char;
use super::vocabulary::Vocabulary;
use super::words::PreTokenizer;
use crate::Result;

/// The encoder of a `gpt2` vocabulary.
#[derive(Debug)]
pub(super) struct Bpe {
    pre: PreTokenizer,
    model: BPE,
}

impl Bpe {
    pub(super) fn new(pre: PreTokenizer, vocabulary: Vocabulary) -> Result<Self> {
        let ids: Vocab = vocabulary.tokens.into_iter().enumerate().map(|(id, token)| (token, id as u32)).collect();
        let model = BPE::builder()
            .vocab_and_merges(ids, vocabulary.merges)
            .ignore_merges(pre.ignores_merges())
            .build()
            .map_err(|error| err!(Malformed, "tokenizer.ggml.merges: {error}"))?;
        Ok(Self { pre, model })
    }

    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let mut spelling = String::new();
        self.pre.words(text, &mut |word| {
            spelling.clear();
            spelling.extend(word.bytes().map(byte_level_char));
            let tokens =
                self.model.tokenize(&spelling).map_err(|error| err!(Crashed, "the tokenizer failed: {error}"))?;
            ids.extend(tokens.iter().map(|token| token.id));
            Ok(())
        })
    }
}
