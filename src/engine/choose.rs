//! Choosing between given answers by their probability.

#![forbid(unsafe_code)]

use super::session::Session;
use super::{Engine, Frontend, Prompt};
use crate::decode::{Candidates, Comparison};
use crate::error::Result;
use crate::model::KvCache;
use crate::tokenizer::EncodeOptions;
use std::borrow::Cow;

impl Frontend {
    /// The token sequences of `prompt` with each of `options` behind it. Text is tokenized whole,
    /// so that an option may change the last tokens of the prompt; what all sequences share is then
    /// the prompt.
    ///
    /// # Errors
    ///
    /// As [`Frontend::encode`]; `bad-option` for an empty option, `context-full` when a sequence is
    /// longer than the context.
    pub fn candidates(&self, prompt: &Prompt, options: &[String]) -> Result<Candidates> {
        if let Some(index) = options.iter().position(String::is_empty) {
            bail!(BadOption, "option {index} is empty");
        }
        let base = self.encode(prompt)?;
        let rendered = match prompt {
            Prompt::Messages(messages, args) => self.apply_chat_template(messages, args, true)?,
            _ => String::new(),
        };
        let joined = |option: &String| match prompt {
            Prompt::Text(text) => self.encode(&Prompt::Text(format!("{text}{option}"))),
            Prompt::Messages(..) => {
                self.tokenizer.encode_prompt(&format!("{rendered}{option}"), true, |text| Cow::Borrowed(text))
            }
            Prompt::Tokens(_) => self.behind(&base, option),
        };
        let mut sequences = options.iter().map(joined).collect::<Result<Vec<_>>>()?;
        let common = |tokens: &Vec<u32>| {
            let shared = tokens.iter().zip(&base).take_while(|(a, b)| a == b).count();
            shared.min(tokens.len().saturating_sub(1))
        };
        let mut prompt = sequences.iter().map(common).min().unwrap_or_default();
        if prompt == 0 {
            // The options change even the first token.
            sequences = options.iter().map(|option| self.behind(&base, option)).collect::<Result<Vec<_>>>()?;
            prompt = base.len();
        }
        let candidates = Candidates::new(sequences, prompt)?;
        let (longest, context) = (candidates.longest(), self.size.context_length);
        if longest > context {
            bail!(ContextFull, "prompt and option have {longest} tokens, but the context holds {context}");
        }
        Ok(candidates)
    }

    fn behind(&self, base: &[u32], option: &str) -> Result<Vec<u32>> {
        let mut tokens = base.to_vec();
        tokens.extend(self.tokenizer.encode(option, EncodeOptions { add_special: false, parse_special: false })?);
        Ok(tokens)
    }
}

/// A comparison in a session of its own.
pub struct Choosing {
    cache: KvCache,
    comparison: Comparison,
    by_length: bool,
}

impl Choosing {
    /// Ends the comparison, wherever it is, and gives back its session.
    pub fn into_session(self) -> Session {
        Session::new(self.cache, self.comparison.into_session())
    }
}

impl Engine {
    /// The probabilities of `options` as answers to `prompt`: see [`Comparison::probabilities`]. A
    /// generation that is under way is dropped.
    ///
    /// # Errors
    ///
    /// As [`Frontend::candidates`] and [`Comparison::step`].
    pub fn choose(&mut self, prompt: &Prompt, options: &[String], by_length: bool) -> Result<Vec<f64>> {
        let candidates = self.frontend.candidates(prompt, options)?;
        self.drop_run();
        let Self { transformer, session, config, .. } = self;
        let mut comparison = Comparison::start(transformer, session, candidates, config);
        let finished = loop {
            match comparison.step(transformer) {
                Ok(false) => {}
                Ok(true) => break Ok(comparison.probabilities(by_length)),
                Err(error) => break Err(error),
            }
        };
        *session = comparison.into_session();
        finished
    }

    /// Begins to compare `candidates` in `session`.
    pub fn choose_in(&mut self, session: Session, candidates: Candidates, by_length: bool) -> Choosing {
        let (mut cache, mut state) = session.into_parts();
        self.transformer.swap_cache(&mut cache);
        let comparison = Comparison::start(&mut self.transformer, &mut state, candidates, &self.config);
        self.transformer.swap_cache(&mut cache);
        Choosing { cache, comparison, by_length }
    }

    /// One forward pass of a comparison; the probabilities at its end.
    ///
    /// # Errors
    ///
    /// As [`Comparison::step`].
    pub fn advance_choice(&mut self, choosing: &mut Choosing) -> Result<Option<Vec<f64>>> {
        self.transformer.swap_cache(&mut choosing.cache);
        let done = choosing.comparison.step(&mut self.transformer);
        self.transformer.swap_cache(&mut choosing.cache);
        Ok(done?.then(|| choosing.comparison.probabilities(choosing.by_length)))
    }
}
