//! The tokenizer as llguidance wants it: a trie of the bytes of all tokens, and text to tokens.

#![forbid(unsafe_code)]

use std::sync::Arc;
use toktrie::{INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

/// Text that continues text, as tokens.
pub(super) type Tokenize = dyn Fn(&str) -> Vec<u32> + Send + Sync;

/// See the module documentation.
pub(super) struct Vocabulary {
    trie: TokTrie,
    tokenize: Box<Tokenize>,
}

impl Vocabulary {
    /// A vocabulary whose tokens have these bytes: see
    /// [`Tokenizer::words`](crate::tokenizer::Tokenizer::words). None ends an answer: where one may
    /// is decoding's business.
    pub(super) fn environment(words: &[Vec<u8>], tokenize: Box<Tokenize>) -> TokEnv {
        let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, INVALID_TOKEN), words);
        Arc::new(Self { trie, tokenize })
    }
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.trie.tokenize_with_greedy_fallback(bytes, |text| {
            let ids = (self.tokenize)(text);
            // Normalization may have changed the text.
            let written = ids.iter().flat_map(|&id| self.trie.token(id));
            if written.eq(text.as_bytes()) { ids } else { self.trie.greedy_tokenize(text.as_bytes()) }
        })
    }
}
