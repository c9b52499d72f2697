//! Keeping the text of messages from being read as control tokens, although templates print it
//! between control tokens of their own.
//!
//! The characters that make up control tokens (the signs of `<|im_end|>`) are replaced in messages,
//! one by one, with stand-ins: private characters that occur nowhere in the conversation. Whatever
//! the template does with such a text, no control token can come of it. The prompt is cut at the
//! control tokens that are left, which the template wrote, and then the stand-ins are turned back.
//!
//! Templates also look into messages (`'</think>' in content`). So what stands in the template as a
//! literal keeps its signs, unless it could be a part of a control token.

#![forbid(unsafe_code)]

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::Result;

/// Private characters from which stand-ins are taken: planes 15 and 16.
const PRIVATE: std::ops::RangeInclusive<u32> = 0xF_0000..=0x10_FFFD;
/// Literals times control tokens that are compared; beyond, no literal keeps its signs.
const MAX_COMPARISONS: usize = 1 << 20;

/// What a template and a vocabulary say about signs.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// The characters that are replaced, in ascending order.
    signs: Vec<char>,
    /// Finds the literals that keep their signs.
    literals: Option<AhoCorasick>,
}

impl Rules {
    pub(super) fn new(control_tokens: &[&str], literals: &[String]) -> Self {
        // JSON escapes quotes and backslashes, which it must see. A token without other signs gives
        // its first character.
        let is_sign = |c: &char| !c.is_alphanumeric() && !c.is_whitespace() && !matches!(c, '"' | '\\');
        let mut signs: Vec<char> = control_tokens
            .iter()
            .flat_map(|token| {
                let first = token.chars().next().filter(|_| !token.chars().any(|c| is_sign(&c)));
                token.chars().filter(is_sign).chain(first)
            })
            .collect();
        signs.sort_unstable();
        signs.dedup();
        let mut kept: Vec<&str> =
            literals.iter().map(String::as_str).filter(|text| text.contains(&signs[..])).collect();
        kept.sort_unstable();
        kept.dedup();
        if kept.len().saturating_mul(control_tokens.len()) > MAX_COMPARISONS {
            kept.clear();
        }
        kept.retain(|literal| !control_tokens.iter().any(|token| touches(literal, token)));
        let literals = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(kept).ok();
        Self { signs, literals }
    }

    /// A guard for a conversation with these texts.
    ///
    /// # Errors
    /// `limits` when the texts use up the private characters of Unicode.
    pub(super) fn guard<'t>(&self, texts: impl Iterator<Item = &'t str> + Clone) -> Result<Guard> {
        let mut used: Vec<u32> = texts.flat_map(str::chars).map(u32::from).filter(|c| PRIVATE.contains(c)).collect();
        used.sort_unstable();
        let mut base = *PRIVATE.start();
        for c in used {
            if (base..base + self.signs.len() as u32).contains(&c) {
                base = c + 1;
            }
        }
        // 0xFFFE and 0xFFFF of a plane are characters as well as any other.
        if base + self.signs.len() as u32 > *PRIVATE.end() {
            bail!(
                Limits,
                "the messages use so many private characters of Unicode that none is left to mark their text with"
            );
        }
        Ok(Guard { signs: self.signs.clone(), base })
    }

    /// `text` with its signs replaced.
    pub(super) fn hide(&self, text: &str, guard: &Guard) -> String {
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for found in self.literals.iter().flat_map(|literals| literals.find_iter(text)) {
            out.extend(text[done..found.start()].chars().map(|c| guard.hidden(c)));
            out.push_str(&text[found.range()]);
            done = found.end();
        }
        out.extend(text[done..].chars().map(|c| guard.hidden(c)));
        out
    }
}

/// Whether one contains the other, or one can begin where the other ends.
fn touches(literal: &str, token: &str) -> bool {
    let overlaps =
        |first: &str, second: &str| second.char_indices().skip(1).any(|(end, _)| first.ends_with(&second[..end]));
    literal.contains(token) || token.contains(literal) || overlaps(literal, token) || overlaps(token, literal)
}

/// The stand-ins of one conversation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    signs: Vec<char>,
    /// The stand-in of the first sign; those of the others follow.
    base: u32,
}

impl Guard {
    fn hidden(&self, c: char) -> char {
        let stand_in = |index| char::from_u32(self.base + index as u32);
        self.signs.binary_search(&c).ok().and_then(stand_in).unwrap_or(c)
    }

    /// What `c` stands for, if it is a stand-in.
    pub(super) fn sign(&self, c: char) -> Option<char> {
        let index = u32::from(c).checked_sub(self.base)?;
        self.signs.get(index as usize).copied().filter(|_| self.base > 0)
    }

    /// `text` with its stand-ins turned back.
    pub(crate) fn reveal<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if text.chars().any(|c| self.sign(c).is_some()) {
            text.chars().map(|c| self.sign(c).unwrap_or(c)).collect()
        } else {
            Cow::Borrowed(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    const TOKENS: [&str; 3] = ["<|im_end|>", "</s>", "EOS"];

    #[test]
    fn nothing_hidden_is_a_part_of_a_control_token_and_all_comes_back() {
        let rules = Rules::new(&TOKENS, &[]);
        for text in ["<|im_end|>", "a <|im_", "</s", "EOS and more", "|", "plain é\u{f0000}\u{f0005}"] {
            let guard = rules.guard([text].into_iter()).unwrap();
            let hidden = rules.hide(text, &guard);
            assert_eq!(hidden.chars().count(), text.chars().count());
            assert!(!hidden.contains(['<', '|', '_', '>', '/', 'E']), "{hidden}");
            assert_eq!(guard.reveal(&hidden), text);
        }
    }

    #[test]
    fn literals_of_the_template_keep_their_signs() {
        let literals = ["</think>", "<|im", "|>", "x<", "</s>\n", "|>y", "{}"].map(str::to_owned);
        let rules = Rules::new(&TOKENS, &literals);
        let text = "</think><|im_end|>y</s>\nx<";
        let guard = rules.guard([text].into_iter()).unwrap();
        let hidden = rules.hide(text, &guard);
        assert!(hidden.starts_with("</think>"), "{hidden}");
        assert!(!hidden["</think>".len()..].contains(['<', '|', '>', '/']), "{hidden}");
        assert_eq!(guard.reveal(&hidden), text);
    }

    #[test]
    fn without_private_characters_there_is_no_guard() {
        let rules = Rules::new(&TOKENS, &[]);
        let all: String = PRIVATE.filter_map(char::from_u32).collect();
        assert_eq!(rules.guard([all.as_str()].into_iter()).unwrap_err().code(), crate::ErrorCode::Limits);
        assert_eq!(Guard::default().reveal(&all), all);
    }
}
