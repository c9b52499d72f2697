//! Byte-level byte-pair encoding: a regular expression cuts the text into words, each word's bytes are merged by rank.
//!
//! Both halves are the `tokenizers` crate's. This file says which regular expressions a GGUF pre-tokenizer name stands for.

#![forbid(unsafe_code)]

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    Model as _, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _, SplitDelimiterBehavior,
};

use super::vocabulary::Vocabulary;
use crate::Result;

/// Contractions, then words with the character before them, digits, punctuation, line ends, blanks. The two differ in how many
/// digits are kept together.
pub(crate) const LLAMA_BPE_PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// See [`LLAMA_BPE_PATTERN`].
pub(crate) const QWEN2_PATTERN: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// llama.cpp's own default, applied one after the other.
const DEFAULT_PATTERNS: [&str; 4] = [
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
];

/// How text is cut into words: `tokenizer.ggml.pre`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PreTokenizer {
    Default,
    Gpt2,
    LlamaBpe,
    Qwen2,
    /// `smollm`, `starcoder` and `refact` are one: single digits, then GPT-2's.
    Smollm,
}

impl PreTokenizer {
    /// The pre-tokenizer that `tokenizer.ggml.pre` names.
    pub(crate) fn from_name(name: &str) -> Result<Self> {
        Ok(match name {
            "default" => Self::Default,
            "gpt-2" => Self::Gpt2,
            "llama-bpe" | "llama3" | "llama-v3" => Self::LlamaBpe,
            "qwen2" | "deepseek-r1-qwen" => Self::Qwen2,
            "smollm" | "starcoder" | "refact" => Self::Smollm,
            other => bail!(
                UnsupportedArchitecture,
                "tokenizer.ggml.pre \"{other}\" is not supported; supported are default, gpt-2, llama-bpe, qwen2, smollm, starcoder and refact"
            ),
        })
    }

    /// The name that converters write.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Gpt2 => "gpt-2",
            Self::LlamaBpe => "llama-bpe",
            Self::Qwen2 => "qwen2",
            Self::Smollm => "smollm",
        }
    }

    /// Whether a word that is a token is that token, whatever the merges make of it.
    pub(crate) fn ignores_merges(self) -> bool {
        self == Self::LlamaBpe
    }

    fn steps(self) -> Result<Vec<Step>> {
        let split = |pattern: &str| -> Result<Step> {
            let pattern = SplitPattern::Regex(pattern.to_owned());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false);
            let refused = |error| err!(Crashed, "a built-in pre-tokenizer pattern was refused: {error}");
            split.map(Step::Split).map_err(refused)
        };
        let bytes = |use_regex| Step::Bytes(ByteLevel::new(false, true, use_regex));
        Ok(match self {
            Self::Gpt2 => vec![bytes(true)],
            Self::Smollm => vec![Step::Digits(Digits::new(true)), bytes(true)],
            Self::LlamaBpe => vec![split(LLAMA_BPE_PATTERN)?, bytes(false)],
            Self::Qwen2 => vec![split(QWEN2_PATTERN)?, bytes(false)],
            Self::Default => {
                let mut steps = DEFAULT_PATTERNS.iter().map(|pattern| split(pattern)).collect::<Result<Vec<_>>>()?;
                steps.push(bytes(false));
                steps
            }
        })
    }
}

/// One way to cut. The crate's own list of all there are would bring them all into the WebAssembly files.
#[derive(Debug)]
enum Step {
    Bytes(ByteLevel),
    Digits(Digits),
    Split(Split),
}

impl Step {
    fn cut(&self, words: &mut PreTokenizedString) -> tokenizers::Result<()> {
        match self {
            Self::Bytes(step) => step.pre_tokenize(words),
            Self::Digits(step) => step.pre_tokenize(words),
            Self::Split(step) => step.pre_tokenize(words),
        }
    }
}

/// The encoder of a `gpt2` vocabulary.
#[derive(Debug)]
pub(super) struct Bpe {
    steps: Vec<Step>,
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
        Ok(Self { steps: pre.steps()?, model })
    }

    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        let failed = |error| err!(Crashed, "the tokenizer failed: {error}");
        let mut words = PreTokenizedString::from(text);
        for step in &self.steps {
            step.cut(&mut words).map_err(failed)?;
        }
        for (word, ..) in words.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            ids.extend(self.model.tokenize(word).map_err(failed)?.iter().map(|token| token.id));
        }
        Ok(())
    }
}
