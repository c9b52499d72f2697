//! How text is cut into words before byte pairs are merged: `tokenizer.ggml.pre`.
//!
//! Pre-tokenizers are published as regular expressions, which take turns: each cuts the words of
//! the one before, and what lies between two matches is a word, too. There are few of them, and all
//! ask the same: which kinds of characters stand next to each other. So each is written here as a
//! function that measures the first word of a text. The expressions stand beside them; a test holds
//! both together. An engine for any expression would be a third of what a page downloads.

#![forbid(unsafe_code)]

use crate::Result;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Contractions, then words with the character before them, digits, punctuation, line ends, blanks.
/// The two differ in how many digits are kept together.
pub(crate) const LLAMA_BPE_PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// See [`LLAMA_BPE_PATTERN`].
pub(crate) const QWEN2_PATTERN: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How text is cut into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PreTokenizer {
    /// llama.cpp's own.
    Default,
    Gpt2,
    LlamaBpe,
    Qwen2,
    /// `smollm`, `starcoder`, `refact` and `command-r` are one: single digits, then GPT-2's.
    Smollm,
    Falcon,
}

impl PreTokenizer {
    /// The pre-tokenizer that `tokenizer.ggml.pre` names.
    pub(crate) fn from_name(name: &str) -> Result<Self> {
        Ok(match name {
            "default" => Self::Default,
            "gpt-2" | "phi-2" | "mpt" | "olmo" | "gigachat" | "mellum" | "a.x-4.0" => Self::Gpt2,
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "falcon_e" | "falcon-h1" | "pixtral" | "lfm2"
            | "midm-2.0" => Self::LlamaBpe,
            "qwen2" | "deepseek-r1-qwen" | "kormo" => Self::Qwen2,
            "smollm" | "starcoder" | "refact" | "command-r" => Self::Smollm,
            "falcon" => Self::Falcon,
            other => bail!(
                UnsupportedArchitecture,
                "tokenizer.ggml.pre \"{other}\" is not supported; supported are default, gpt-2, llama-bpe, qwen2, smollm, falcon and \
                 those that are one of these under another name"
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
            Self::Falcon => "falcon",
        }
    }

    /// Whether a word that is a token is that token, whatever the merges make of it.
    pub(crate) fn ignores_merges(self) -> bool {
        self == Self::LlamaBpe
    }

    /// Hands the words of `text` to `each`, in order.
    pub(super) fn words<'a>(self, text: &'a str, each: &mut dyn FnMut(&'a str) -> Result<()>) -> Result<()> {
        let steps: &[fn(&str) -> usize] = match self {
            Self::Default => &[punctuation, gpt2, numbers, three_digits],
            Self::Gpt2 => &[gpt2],
            Self::LlamaBpe => &[llama_bpe],
            Self::Qwen2 => &[qwen2],
            Self::Smollm => &[single_digits, gpt2],
            Self::Falcon => &[falcon_punctuation, gpt2, three_digits],
        };
        cut(text, steps, each)
    }
}

/// Cuts by the first step, and what that gives by the others.
fn cut<'a>(mut text: &'a str, steps: &[fn(&str) -> usize], each: &mut dyn FnMut(&'a str) -> Result<()>) -> Result<()> {
    let [step, others @ ..] = steps else { return each(text) };
    while !text.is_empty() {
        let (word, rest) = text.split_at(step(text));
        cut(word, others, each)?;
        text = rest;
    }
    Ok(())
}

// Each function below takes a text that is not empty, and returns the bytes of its first word.

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
///
/// llama.cpp's default leaves the last alternative out, and so has the same blanks between its
/// words.
fn gpt2(text: &str) -> usize {
    if let Some(length) = contraction(text, |c| c) {
        return length;
    }
    let word = text.strip_prefix(' ').unwrap_or(text);
    match word.chars().next().map(Kind::of) {
        Some(kind) if kind != Kind::Space => text.len() - word.len() + run(word, |c| Kind::of(c) == kind),
        _ => blanks(text),
    }
}

/// [`LLAMA_BPE_PATTERN`]
fn llama_bpe(text: &str) -> usize {
    llama(text, 3)
}

/// [`QWEN2_PATTERN`]
fn qwen2(text: &str) -> usize {
    llama(text, 1)
}

/// With so many digits at most in a word.
fn llama(text: &str, digits: usize) -> usize {
    // Of all letters, these are the ones that have another case in ASCII.
    let fold = |c: char| if c == 'ſ' { 's' } else { c.to_ascii_lowercase() };
    if let Some(length) = contraction(text, fold) {
        return length;
    }
    let letters = |text| run(text, |c| Kind::of(c) == Kind::Letter);
    let mut chars = text.chars();
    let first = chars.next().unwrap_or_default();
    match Kind::of(first) {
        Kind::Letter => return letters(text),
        Kind::Number => return text.chars().take(digits).take_while(|c| c.is_numeric()).map(char::len_utf8).sum(),
        _ if is_line_end(first) => {}
        _ => match letters(chars.as_str()) {
            0 => {}
            length => return first.len_utf8() + length,
        },
    }
    let mark = text.strip_prefix(' ').unwrap_or(text);
    match run(mark, |c| Kind::of(c) == Kind::Other) {
        0 => {}
        marks => return text.len() - mark.len() + marks + run(&mark[marks..], is_line_end),
    }
    let space = &text[..run(text, char::is_whitespace)];
    space.rfind(is_line_end).map_or_else(|| blanks(text), |last| last + 1)
}

/// `[\p{P}\$\+<=>\^~\|]+`
fn punctuation(text: &str) -> usize {
    in_or_out(text, is_punctuation)
}

/// ``[\p{P}\$\+<=>\^~\|`]+``
fn falcon_punctuation(text: &str) -> usize {
    in_or_out(text, |c| c == '`' || is_punctuation(c))
}

fn is_punctuation(c: char) -> bool {
    matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '~' | '|')
        || c.general_category_group() == GeneralCategoryGroup::Punctuation
}

/// `\p{N}+`
fn numbers(text: &str) -> usize {
    in_or_out(text, char::is_numeric)
}

/// `\p{N}`
fn single_digits(text: &str) -> usize {
    let first = text.chars().next().unwrap_or_default();
    if first.is_numeric() { first.len_utf8() } else { numbers(text) }
}

/// `[0-9][0-9][0-9]`
fn three_digits(text: &str) -> usize {
    match text.as_bytes().windows(3).position(|digits| digits.iter().all(u8::is_ascii_digit)) {
        Some(0) => 3,
        Some(start) => start,
        None => text.len(),
    }
}

/// `'s|'t|'re|'ve|'m|'ll|'d` in whatever `fold` makes of characters.
fn contraction(text: &str, fold: impl Fn(char) -> char) -> Option<usize> {
    let mut chars = text.strip_prefix('\'')?.chars();
    let (first, second) = (chars.next()?, chars.next());
    let length = 1 + first.len_utf8();
    match (fold(first), second.map(&fold)) {
        ('s' | 't' | 'm' | 'd', _) => Some(length),
        ('r' | 'v', Some('e')) | ('l', Some('l')) => Some(length + 1),
        _ => None,
    }
}

/// `\s+(?!\S)|\s+`: blanks up to the one that goes with the next word.
fn blanks(text: &str) -> usize {
    let length = run(text, char::is_whitespace);
    let last = text[..length].chars().next_back().map_or(0, char::len_utf8);
    if length == text.len() || length == last { length } else { length - last }
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\r' | '\n')
}

/// The bytes of the characters in front that are `of_kind`.
fn run(text: &str, of_kind: impl Fn(char) -> bool) -> usize {
    text.find(|c| !of_kind(c)).unwrap_or(text.len())
}

/// The bytes of the characters in front that are as the first one.
fn in_or_out(text: &str, is_in: impl Fn(char) -> bool) -> usize {
    let first = text.chars().next().is_some_and(&is_in);
    run(text, |c| is_in(c) == first)
}

/// What all expressions tell apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `\p{L}`
    Letter,
    /// `\p{N}`
    Number,
    /// `\s`
    Space,
    Other,
}

impl Kind {
    fn of(c: char) -> Self {
        if c.is_ascii_alphabetic() {
            Self::Letter
        } else if c.is_whitespace() {
            Self::Space
        } else if c.is_numeric() {
            Self::Number
        } else if !c.is_ascii() && c.general_category_group() == GeneralCategoryGroup::Letter {
            Self::Letter
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;
    use rand_pcg::Pcg32;
    use rand_pcg::rand_core::Rng;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;
    use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _, SplitDelimiterBehavior};

    /// The expressions of each, as they are published.
    const PUBLISHED: [(PreTokenizer, &[&str]); 6] = [
        (
            PreTokenizer::Default,
            &[
                r"[\p{P}\$\+<=>\^~\|]+",
                r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
                r"\p{N}+",
                r"[0-9][0-9][0-9]",
            ],
        ),
        (PreTokenizer::Gpt2, &[GPT2]),
        (PreTokenizer::LlamaBpe, &[LLAMA_BPE_PATTERN]),
        (PreTokenizer::Qwen2, &[QWEN2_PATTERN]),
        (PreTokenizer::Smollm, &[r"\p{N}", GPT2]),
        (
            PreTokenizer::Falcon,
            &[
                r"[\p{P}\$\+<=>\^~\|`]+",
                r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
                r"[0-9][0-9][0-9]",
            ],
        ),
    ];
    const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    /// Characters that any of the expressions treats in its own way, and neighbors of those.
    const ALPHABET: &[char] = &[
        'a', 'Z', 's', 'S', 't', 'r', 'e', 'E', 'v', 'm', 'l', 'L', 'd', 'ſ', 'é', 'ß', 'ǅ', '漢', 'ʰ', 'ª', '\u{301}',
        '\u{903}', '0', '1', '9', '٣', '½', 'Ⅷ', '一', ' ', ' ', '\t', '\n', '\n', '\r', '\u{a0}', '\u{85}',
        '\u{2028}', '\u{3000}', '\u{200b}', '\'', '\'', '’', '.', ',', '!', '-', '$', '+', '<', '=', '>', '^', '~',
        '|', '`', '"', '_', '«', '€', '🙂', '\u{0}', '\u{378}',
    ];

    fn words(pre: PreTokenizer, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        pre.words(text, &mut |word| {
            words.push(word.to_owned());
            Ok(())
        })
        .unwrap();
        words
    }

    #[test]
    fn words_are_those_of_the_expressions() {
        let mut random = Pcg32::new(1, 1);
        for (pre, patterns) in PUBLISHED {
            let steps: Vec<Split> = patterns
                .iter()
                .map(|&pattern| {
                    Split::new(SplitPattern::Regex(pattern.into()), SplitDelimiterBehavior::Isolated, false).unwrap()
                })
                .collect();
            for _ in 0..4000 {
                let length = random.next_u32() % 12;
                let text: String = (0..length).map(|_| ALPHABET[random.next_u32() as usize % ALPHABET.len()]).collect();
                let mut published = PreTokenizedString::from(text.as_str());
                steps.iter().for_each(|step| step.pre_tokenize(&mut published).unwrap());
                let published = published.get_splits(OffsetReferential::Normalized, OffsetType::None);
                let published: Vec<&str> =
                    published.iter().map(|(word, ..)| *word).filter(|word| !word.is_empty()).collect();
                assert_eq!(words(pre, &text), published, "{pre:?}: {text:?}");
            }
        }
    }

    #[test]
    fn gpt2_is_the_expression_of_the_package() {
        let text = "It's  100's\n\n of\tthings, isn't it? ";
        let mut published = PreTokenizedString::from(text);
        ByteLevel::new(false, true, true).pre_tokenize(&mut published).unwrap();
        let published = published.get_splits(OffsetReferential::Original, OffsetType::Byte);
        let published: Vec<&str> = published.iter().map(|(_, (start, end), _)| &text[*start..*end]).collect();
        assert_eq!(words(PreTokenizer::Gpt2, text), published);
    }
}
