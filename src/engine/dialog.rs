//! A session as applications hold it: what was said so far, beside the keys and values that were
//! computed for it.
//!
//! A dialog is about messages, or about plain text or tokens; what comes first decides. Messages
//! are rendered anew with every request, because templates treat the last ones differently, and
//! what the tokens share with those of the cache is not computed again. Text and tokens go behind
//! what is there.

#![forbid(unsafe_code)]

use super::{Engine, ParseSpecial, Prompt, Request, Run, Session};
use crate::chat::Message;
use crate::decode::{Event, Mode};
use crate::error::Result;
use crate::tokenizer::EncodeOptions;

/// See the module documentation.
pub struct Dialog {
    pub(super) session: Session,
    /// Nothing when it is about text or tokens, or has not begun.
    pub(super) messages: Option<Vec<Message>>,
    /// The context: all tokens so far.
    pub(super) tokens: Vec<u32>,
    run: Option<Active>,
}

/// What a request wants of a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An answer, which becomes part of the dialog.
    Answer,
    /// That the prompt be read and kept.
    Append,
}

/// A request under way.
struct Active {
    run: Run,
    purpose: Purpose,
    /// What the dialog is without the answer.
    prompt: Vec<u32>,
    messages: Option<Vec<Message>>,
}

impl Dialog {
    /// One about `messages` or, without them, about `tokens`, whose cache is that of `session`.
    pub(super) fn new(session: Session, messages: Option<Vec<Message>>, tokens: Vec<u32>) -> Self {
        Self { session, messages, tokens, run: None }
    }

    /// The tokens of the context: what was appended and answered.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// What was said, in a dialog of messages.
    pub fn messages(&self) -> &[Message] {
        self.messages.as_deref().unwrap_or_default()
    }

    /// A copy that goes its own way. Of a request under way it has nothing.
    ///
    /// # Errors
    ///
    /// `out-of-memory`.
    pub fn fork(&self) -> Result<Self> {
        Ok(Self::new(self.session.fork(self.tokens.len())?, self.messages.clone(), self.tokens.clone()))
    }

    /// Drops the request under way but for the keys and values that it computed.
    fn drop_run(&mut self) {
        if let Some(active) = self.run.take() {
            self.session = active.run.into_session();
        }
    }

    /// Takes in what came of a request.
    fn conclude(&mut self, active: Active, events: &[Event]) {
        let Active { run, prompt, messages, .. } = active;
        self.session = run.into_session();
        (self.tokens, self.messages) = (prompt, messages);
        if let Some(Event::Done { result }) = events.last() {
            self.tokens.extend_from_slice(&result.tokens);
            self.messages.iter_mut().for_each(|messages| messages.push(Message::new("assistant", &*result.text)));
        }
    }
}

impl Engine {
    /// A dialog in which nothing was said.
    pub fn new_dialog(&self) -> Dialog {
        Dialog::new(self.new_session(), None, Vec::new())
    }

    /// Begins a request in a dialog; one that is under way there is dropped. An empty prompt adds
    /// nothing to what was said.
    ///
    /// # Errors
    ///
    /// As [`Engine::start`], and `bad-option` for messages in a dialog of text and the other way
    /// round.
    pub fn start_dialog(&mut self, dialog: &mut Dialog, request: &Request, purpose: Purpose) -> Result<()> {
        dialog.drop_run();
        let (prompt, messages) = self.continued(dialog, request, purpose)?;
        if request.options.mode == Mode::Auto {
            self.choose_mode()?;
        }
        let run = self.start_in(&mut dialog.session, &prompt, &request.options)?;
        dialog.run = Some(Active { run, purpose, prompt, messages });
        Ok(())
    }

    /// The tokens of a dialog with the prompt of a request, and its messages.
    fn continued(
        &self,
        dialog: &Dialog,
        request: &Request,
        purpose: Purpose,
    ) -> Result<(Vec<u32>, Option<Vec<Message>>)> {
        let Request { prompt, parse_special, .. } = request;
        let no_args = Default::default();
        let (new, args) = match (&dialog.messages, prompt) {
            (Some(_), prompt) if prompt.is_empty() => (&[][..], &no_args),
            (Some(_), Prompt::Messages(new, args)) => (&new[..], args),
            (Some(_), _) => bail!(BadOption, "the session holds messages: give it more of them, not text or tokens"),
            (None, Prompt::Messages(new, args)) if dialog.tokens.is_empty() => (&new[..], args),
            (None, Prompt::Messages(new, _)) if !new.is_empty() => {
                bail!(BadOption, "the session holds text: give it more text or tokens, not messages")
            }
            (None, prompt) => {
                let mut tokens = dialog.tokens.clone();
                match prompt {
                    Prompt::Text(text) => {
                        let parse_special = *parse_special == ParseSpecial::Everywhere;
                        let options = EncodeOptions { add_special: tokens.is_empty(), parse_special };
                        tokens.extend(self.tokenizer().encode(text, options)?);
                    }
                    Prompt::Tokens(ids) => tokens.extend_from_slice(ids),
                    Prompt::Messages(..) => {}
                }
                return Ok((tokens, None));
            }
        };
        let messages = [dialog.messages(), new].concat();
        let tokens = self.frontend.encode_messages(&messages, args, purpose == Purpose::Answer, *parse_special)?;
        Ok((tokens, Some(messages)))
    }

    /// Forward passes for the request under way in a dialog, at least one, until `milliseconds`
    /// have passed. Appends the events they caused; false when the request is over.
    ///
    /// # Errors
    ///
    /// `bad-option` when none is under way, and what a pass may fail with; the dialog is then what
    /// it was before the request.
    pub fn step_dialog(&mut self, dialog: &mut Dialog, milliseconds: f64, events: &mut Vec<Event>) -> Result<bool> {
        let Some(mut active) = dialog.run.take() else {
            bail!(BadOption, "no request is under way in this session: start one first");
        };
        let from = events.len();
        let append = active.purpose == Purpose::Append;
        // The pass that ends a prompt may begin an answer, which is not wanted here.
        let milliseconds = if append { 0.0 } else { milliseconds };
        let more = self.advance(&mut active.run, milliseconds, events);
        if append {
            let read = events.split_off(from).into_iter().filter(|event| matches!(event, Event::Prefill { .. }));
            events.extend(read);
        }
        let over = match &more {
            Ok(more) => !more || (append && !active.run.is_prefilling()),
            Err(_) => false,
        };
        if over {
            if let Some(Event::Done { result }) = events[from..].last() {
                self.learn(&result.stats);
            }
            dialog.conclude(active, &events[from..]);
            return Ok(false);
        }
        dialog.run = Some(active);
        more.inspect_err(|_| dialog.drop_run())
    }

    /// Ends the request under way in a dialog, if there is one. An answer keeps what there is of
    /// it; what was to be appended is not.
    pub fn cancel_dialog(&mut self, dialog: &mut Dialog, events: &mut Vec<Event>) {
        match dialog.run.take() {
            Some(mut active) if active.purpose == Purpose::Answer => {
                active.run.cancel(events);
                dialog.conclude(active, events);
            }
            run => {
                dialog.run = run;
                dialog.drop_run();
            }
        }
    }
}

impl Prompt {
    fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Messages(messages, _) => messages.is_empty(),
            Self::Tokens(tokens) => tokens.is_empty(),
        }
    }
}

/// Runs the request under way to its end.
#[cfg(test)]
pub(super) fn finish(engine: &mut Engine, dialog: &mut Dialog) -> Result<Option<crate::decode::Outcome>> {
    let mut events = Vec::new();
    while engine.step_dialog(dialog, 0.0, &mut events)? {}
    Ok(events.pop().and_then(|event| match event {
        Event::Done { result } => Some(result),
        _ => None,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::tests::tiny;
    use super::*;
    use crate::ErrorCode;
    use crate::decode::Options;
    use crate::testing::test;

    fn ask(text: &str, mode: Mode) -> Request {
        let options = Options { mode, max_tokens: Some(40), ..Options::default() };
        Request::new(Prompt::Messages(vec![Message::new("user", text)], Default::default()), options)
    }

    fn answer(engine: &mut Engine, dialog: &mut Dialog, request: &Request) -> Result<String> {
        engine.start_dialog(dialog, request, Purpose::Answer)?;
        Ok(finish(engine, dialog)?.expect("an answer").text)
    }

    #[test]
    fn a_dialog_answers_as_a_lone_request_with_all_messages_does() {
        let mut engine = tiny();
        for mode in [Mode::Ar, Mode::Adaptive] {
            let mut dialog = engine.new_dialog();
            let mut said = Vec::new();
            for text in ["What is 24 + 64?", "Spell the word house."] {
                let request = ask(text, mode);
                let text = answer(&mut engine, &mut dialog, &request).unwrap();
                let Prompt::Messages(messages, _) = &request.prompt else { panic!() };
                said.extend_from_slice(messages);
                let lone = Request { prompt: Prompt::Messages(said.clone(), Default::default()), ..request };
                let mut alone = engine.new_dialog();
                assert_eq!(answer(&mut engine, &mut alone, &lone), Ok(text.clone()));
                said.push(Message::new("assistant", text));
                assert_eq!((dialog.messages(), dialog.tokens()), (&said[..], alone.tokens()));
            }
            assert!(dialog.tokens().len() > 40);
        }
    }

    #[test]
    fn what_was_appended_is_not_read_again() {
        let mut engine = tiny();
        let long = "Once upon a time there was a house. ".repeat(8);
        let mut dialog = engine.new_dialog();
        engine.start_dialog(&mut dialog, &ask(&long, Mode::Ar), Purpose::Append).unwrap();
        assert_eq!(finish(&mut engine, &mut dialog).unwrap(), None);
        let read = dialog.tokens().len();
        assert_eq!((read > 64, dialog.messages().len()), (true, 1));
        let mut other = dialog.fork().unwrap();
        let request = ask("What is 5 + 8?", Mode::Ar);
        engine.start_dialog(&mut dialog, &request, Purpose::Answer).unwrap();
        let first = finish(&mut engine, &mut dialog).unwrap().unwrap();
        assert!(first.stats.reused_tokens >= read - 1, "{} of {read}", first.stats.reused_tokens);
        assert_eq!(answer(&mut engine, &mut other, &request), Ok(first.text));
        assert_eq!(other.messages(), dialog.messages());
        let nothing = Request { prompt: Prompt::Tokens(Vec::new()), ..request };
        assert!(answer(&mut engine, &mut other, &nothing).is_ok(), "goes on with what there is");
        assert_eq!((other.messages().len(), dialog.messages().len()), (4, 3));
    }

    #[test]
    fn text_and_tokens_go_behind_what_is_there() {
        let mut engine = tiny();
        let mut dialog = engine.new_dialog();
        let options = Options { mode: Mode::Ar, max_tokens: Some(3), ..Options::default() };
        let text = |text: &str| Request::new(Prompt::Text(text.to_owned()), options.clone());
        answer(&mut engine, &mut dialog, &text("What")).unwrap();
        let before = dialog.tokens().to_vec();
        let more = Request::new(Prompt::Tokens(vec![5, 6]), options.clone());
        answer(&mut engine, &mut dialog, &more).unwrap();
        let shared = [&before[..], &[5, 6]].concat();
        assert_eq!((&dialog.tokens()[..shared.len()], dialog.tokens().len()), (&shared[..], shared.len() + 3));
        let error = answer(&mut engine, &mut dialog, &ask("hi", Mode::Ar)).unwrap_err();
        assert!(error.code() == ErrorCode::BadOption && error.message().contains("holds text"), "{error}");
        let mut conversation = engine.new_dialog();
        answer(&mut engine, &mut conversation, &ask("hi", Mode::Ar)).unwrap();
        let error = answer(&mut engine, &mut conversation, &text("What")).unwrap_err();
        assert!(error.message().contains("holds messages"), "{error}");
    }

    #[test]
    fn a_request_that_ends_early_leaves_the_dialog_sound() {
        let mut engine = tiny();
        let mut dialog = engine.new_dialog();
        let request = ask("Count from 3 to 9.", Mode::Ar);
        let whole = answer(&mut engine, &mut dialog.fork().unwrap(), &request).unwrap();
        engine.start_dialog(&mut dialog, &request, Purpose::Answer).unwrap();
        let mut events = Vec::new();
        (0..4).for_each(|_| _ = engine.step_dialog(&mut dialog, 0.0, &mut events).unwrap());
        engine.cancel_dialog(&mut dialog, &mut events);
        let said = dialog.messages().last().unwrap().content.clone();
        assert!(!said.is_empty() && whole.starts_with(&said), "{said} {whole}");
        assert!(matches!(events.last(), Some(Event::Done { .. })));
        assert!(engine.step_dialog(&mut dialog, 0.0, &mut events).is_err());
        let before = dialog.tokens().to_vec();
        engine.start_dialog(&mut dialog, &request, Purpose::Append).unwrap();
        engine.cancel_dialog(&mut dialog, &mut events);
        assert_eq!(dialog.tokens(), before);
        let long = ask(&"house ".repeat(3000), Mode::Ar);
        assert_eq!(answer(&mut engine, &mut dialog, &long).unwrap_err().code(), ErrorCode::ContextFull);
        assert_eq!((dialog.tokens(), dialog.messages().len()), (&before[..], 2));
        assert!(answer(&mut engine, &mut dialog, &request).is_ok());
    }
}
