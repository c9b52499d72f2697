//! Stop strings, found across token borders in text that arrives in pieces.
//!
//! Text that could be the start of a stop string is held back until it is known not to be. Of
//! several matches the one that is complete first wins, and of those the longest, so that the
//! result does not depend on how the text was cut.

#![forbid(unsafe_code)]

/// Watches text for stop strings.
#[derive(Clone, Debug)]
pub(crate) struct StopStrings {
    strings: Vec<String>,
    /// The end of the text so far, when it is the start of a stop string.
    held: String,
}

impl StopStrings {
    /// `strings` must not hold an empty one.
    pub(crate) fn new(strings: Vec<String>) -> Self {
        Self { strings, held: String::new() }
    }

    /// Takes more text and appends to `out` what is certain. True when a stop string is complete:
    /// the text ends before it.
    pub(crate) fn push(&mut self, text: &str, out: &mut String) -> bool {
        self.held.push_str(text);
        let found =
            self.strings.iter().filter_map(|s| self.held.find(s.as_str()).map(|start| (start + s.len(), start))).min();
        let release = match found {
            Some((_, start)) => start,
            None => self.held.char_indices().map(|(i, _)| i).find(|&i| self.could_start(i)).unwrap_or(self.held.len()),
        };
        out.push_str(&self.held[..release]);
        self.held.drain(..release);
        found.is_some()
    }

    /// Bytes that are held back.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    fn could_start(&self, from: usize) -> bool {
        self.strings.iter().any(|s| s.starts_with(&self.held[from..]))
    }

    /// Ends the text: what was held back was no stop string.
    pub(crate) fn finish(&mut self, out: &mut String) {
        out.push_str(&self.held);
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;
    use rand_pcg::Pcg64;
    use rand_pcg::rand_core::{Rng, SeedableRng};

    fn strings(list: &[&str]) -> StopStrings {
        StopStrings::new(list.iter().map(|&s| s.to_owned()).collect())
    }

    #[test]
    fn holds_back_only_what_could_be_a_stop_string() {
        let mut stop = strings(&["\nUser:"]);
        let mut out = String::new();
        assert!(!stop.push("Hi.\nUs", &mut out));
        assert_eq!(out, "Hi.");
        assert!(!stop.push("ual", &mut out));
        assert_eq!(out, "Hi.\nUsual");
        assert!(!stop.push(" \nUser", &mut out));
        assert!(stop.push(": more", &mut out));
        assert_eq!(out, "Hi.\nUsual ");
    }

    #[test]
    fn the_end_releases_what_was_held() {
        let mut stop = strings(&["abc"]);
        let mut out = String::new();
        assert!(!stop.push("xab", &mut out));
        stop.finish(&mut out);
        assert_eq!(out, "xab");
    }

    /// Against the definition: the shortest prefix that ends in a stop string, without the longest
    /// such ending.
    #[test]
    fn pieces_matches_the_definition() {
        let mut rng = Pcg64::seed_from_u64(2);
        let mut word = |longest: u32, letters: u32| -> String {
            let length = 1 + rng.next_u32() % longest;
            (0..length).map(|_| ['a', 'b', 'é'][(rng.next_u32() % letters) as usize]).collect()
        };
        for round in 0..3000u32 {
            let list: Vec<String> = (0..1 + round % 3).map(|_| word(4, 3)).collect();
            let text = word(20, 3);
            let mut expected = (text.clone(), false);
            for end in (0..=text.len()).filter(|&i| text.is_char_boundary(i)) {
                if let Some(longest) = list.iter().filter(|s| text[..end].ends_with(s.as_str())).map(String::len).max()
                {
                    expected = (text[..end - longest].to_owned(), true);
                    break;
                }
            }
            let (mut stop, mut out, mut stopped) = (StopStrings::new(list.clone()), String::new(), false);
            let pieces: Vec<char> = text.chars().collect();
            for piece in pieces.chunks(1 + round as usize % 7) {
                stopped = stop.push(&String::from_iter(piece), &mut out);
                if stopped {
                    break;
                }
            }
            if !stopped {
                stop.finish(&mut out);
            }
            assert_eq!((out, stopped), expected, "{list:?} in {text:?}");
        }
    }
}
