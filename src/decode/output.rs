//! The unmasked prefix as it grows: tokens, text, and when it ends.

#![forbid(unsafe_code)]

use super::event::{Event, FinishReason};
use super::logprobs::{Logprobs, Pending, TokenLogprob};
use super::stop::StopStrings;
use crate::tokenizer::{TokenText, Utf8Stream};

/// New tokens in order, and their text.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) tokens: Vec<u32>,
    pub(super) text: String,
    /// How much of `text` events have told.
    emitted: usize,
    stop_ids: Vec<u32>,
    max_tokens: usize,
    utf8: Utf8Stream,
    stop_strings: StopStrings,
    /// Tokens whose text `emitted` does not reach.
    pending: Pending,
    /// Tokens whose text is told with the next event.
    logprobs: Vec<TokenLogprob>,
    finished: Option<FinishReason>,
}

impl Output {
    pub(super) fn new(stop_ids: Vec<u32>, stop_strings: Vec<String>, max_tokens: usize) -> Self {
        Self {
            tokens: Vec::new(),
            text: String::new(),
            emitted: 0,
            stop_ids,
            max_tokens,
            utf8: Utf8Stream::default(),
            stop_strings: StopStrings::new(stop_strings),
            pending: Pending::default(),
            logprobs: Vec::new(),
            finished: None,
        }
    }

    /// Takes the next token, unless the output is finished. A stop token adds no text. An answer
    /// that is `complete` with it was not cut by the limit.
    pub(super) fn push<T: TokenText + ?Sized>(
        &mut self,
        id: u32,
        logprobs: Option<&Logprobs>,
        complete: bool,
        text: &T,
    ) {
        if self.finished.is_some() {
            return;
        }
        self.tokens.push(id);
        if self.stop_ids.contains(&id) {
            return self.finish(FinishReason::Stop);
        }
        let start = self.length();
        let mut piece = String::new();
        self.utf8.push(text.token_bytes(id), &mut piece);
        let stopped = self.stop_strings.push(&piece, &mut self.text);
        if let Some(logprobs) = logprobs {
            // A stop string is cut off the text, not off its tokens.
            let end = if stopped { start + text.token_bytes(id).len() } else { self.length() };
            self.pending.push(id, logprobs, (start, end), text);
        }
        if stopped {
            self.end(FinishReason::Stop);
        } else if complete {
            self.finish(FinishReason::Stop);
        } else if self.tokens.len() == self.max_tokens {
            self.finish(FinishReason::Length);
        }
    }

    /// Ends the output here, unless it is finished; text held back is released.
    pub(super) fn finish(&mut self, reason: FinishReason) {
        if self.finished.is_none() {
            let mut piece = String::new();
            self.utf8.finish(&mut piece);
            if !self.stop_strings.push(&piece, &mut self.text) {
                self.stop_strings.finish(&mut self.text);
            }
            self.end(reason);
        }
    }

    fn end(&mut self, reason: FinishReason) {
        self.finished = Some(reason);
        self.logprobs.extend(self.pending.end(self.text.len()));
    }

    /// Bytes of text so far, with those that are held back.
    fn length(&self) -> usize {
        self.text.len() + self.stop_strings.held() + self.utf8.held()
    }

    /// Why the output ended, once it has.
    pub(super) fn finished(&self) -> Option<FinishReason> {
        self.finished
    }

    /// The event for text that no event has told yet.
    pub(super) fn text_event(&mut self) -> Option<Event> {
        let text = self.text[self.emitted..].to_owned();
        self.emitted = self.text.len();
        let mut logprobs = std::mem::take(&mut self.logprobs);
        logprobs.extend(self.pending.release(self.emitted));
        (!text.is_empty() || !logprobs.is_empty()).then_some(Event::Text { text, logprobs })
    }
}
