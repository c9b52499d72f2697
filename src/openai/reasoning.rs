//! Splits an answer that begins with `<think>...</think>` into reasoning and the answer proper, as
//! it streams.

#![forbid(unsafe_code)]

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// The state of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reasoning {
    state: State,
    /// Text that may be the beginning of a tag, or white space that belongs to one.
    held: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but white space yet.
    Start,
    /// Behind the opening tag, where white space is dropped.
    Opened,
    Thinking,
    /// Behind the closing tag, where white space is dropped.
    Gap,
    Answer,
}

/// What is certain: reasoning and answer, either may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) reasoning: String,
    pub(super) content: String,
}

impl Reasoning {
    /// An answer to a model whose template marks reasoning; without marks, text is content at once.
    pub(super) fn new(marked: bool) -> Self {
        Self { state: if marked { State::Start } else { State::Answer }, held: String::new() }
    }

    /// An answer to a prompt that ends with the opening tag.
    pub(super) fn begun() -> Self {
        Self { state: State::Opened, held: String::new() }
    }

    /// Takes more text.
    pub(super) fn push(&mut self, text: &str) -> Split {
        let mut split = Split::default();
        self.held.push_str(text);
        loop {
            match self.state {
                State::Start => {
                    let rest = self.held.trim_start();
                    if let Some(thought) = rest.strip_prefix(OPEN) {
                        self.held = thought.to_owned();
                        self.state = State::Opened;
                    } else if OPEN.starts_with(rest) {
                        return split;
                    } else {
                        self.state = State::Answer;
                    }
                }
                State::Opened | State::Gap => {
                    self.held = self.held.trim_start().to_owned();
                    if self.held.is_empty() {
                        return split;
                    }
                    self.state = if self.state == State::Opened { State::Thinking } else { State::Answer };
                }
                State::Thinking => {
                    if let Some(end) = self.held.find(CLOSE) {
                        split.reasoning.push_str(self.held[..end].trim_end());
                        self.held.drain(..end + CLOSE.len());
                        self.state = State::Gap;
                    } else {
                        let certain = self.certain();
                        split.reasoning.extend(self.held.drain(..certain));
                        return split;
                    }
                }
                State::Answer => {
                    split.content.push_str(&std::mem::take(&mut self.held));
                    return split;
                }
            }
        }
    }

    /// Ends the answer: what was held back was no tag.
    pub(super) fn finish(&mut self) -> Split {
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Thinking => Split { reasoning: held, content: String::new() },
            _ => Split { reasoning: String::new(), content: held },
        }
    }

    /// Bytes of reasoning that neither are white space at the end nor could be the beginning of the
    /// closing tag.
    fn certain(&self) -> usize {
        let could_close = |&start: &usize| CLOSE.starts_with(&self.held[start..]);
        let tag = self.held.char_indices().map(|(start, _)| start).find(could_close).unwrap_or(self.held.len());
        self.held[..tag].trim_end().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    fn split(text: &str, size: usize) -> (String, String) {
        let mut reasoning = Reasoning::new(true);
        let characters: Vec<char> = text.chars().collect();
        let mut splits: Vec<Split> =
            characters.chunks(size).map(|piece| reasoning.push(&String::from_iter(piece))).collect();
        splits.push(reasoning.finish());
        (splits.iter().map(|s| &*s.reasoning).collect(), splits.iter().map(|s| &*s.content).collect())
    }

    #[test]
    fn tags_are_found_however_the_text_is_cut() {
        for (text, thought, content) in [
            ("<think>\nlet me see\n</think>\n\n7", "let me see", "7"),
            ("\n<think></think>7", "", "7"),
            ("7 <think>no</think>", "", "7 <think>no</think>"),
            ("<thin ice", "", "<thin ice"),
            ("<think>a < b and </b>", "a < b and </b>", ""),
            ("<think>cut </thi", "cut </thi", ""),
            ("", "", ""),
            ("<th", "", "<th"),
        ] {
            for size in [1, 2, 3, 5, 100] {
                assert_eq!(split(text, size), (thought.to_owned(), content.to_owned()), "{text:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_prompt_may_have_the_opening_tag() {
        let mut reasoning = Reasoning::begun();
        let split = reasoning.push("\nhm</think>\n7");
        assert_eq!((&*split.reasoning, &*split.content), ("hm", "7"));
    }

    #[test]
    fn without_marks_text_is_content_at_once() {
        let expected = Split { reasoning: String::new(), content: "<think>".to_owned() };
        assert_eq!(Reasoning::new(false).push("<think>"), expected);
    }
}
