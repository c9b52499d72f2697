//! Several conversations with one model: each has keys and values of its own, and they take turns
//! in the one transformer.

#![forbid(unsafe_code)]

use super::Engine;
use crate::decode::{self, Event, Generation, Options};
use crate::error::Result;
use crate::model::KvCache;
use std::mem;

/// A conversation between two runs: tokens, and their keys and values.
pub struct Session {
    pub(super) cache: KvCache,
    pub(super) state: decode::Session,
}

impl Session {
    pub(super) fn new(cache: KvCache, state: decode::Session) -> Self {
        Self { cache, state }
    }

    pub(super) fn into_parts(self) -> (KvCache, decode::Session) {
        (self.cache, self.state)
    }

    /// The tokens whose keys and values are kept.
    pub fn tokens(&self) -> &[u32] {
        self.state.tokens()
    }

    /// A copy of what other runs can use of its first `length` tokens.
    ///
    /// # Errors
    ///
    /// `out-of-memory`.
    pub fn fork(&self, length: usize) -> Result<Self> {
        let length = self.state.final_tokens(length);
        let state = decode::Session::holding(self.tokens()[..length].to_vec(), self.state.attention());
        Ok(Self { cache: self.cache.copy(length)?, state })
    }

    /// How many tokens at the start of `prompt` are those of the session.
    pub fn common_prefix(&self, prompt: &[u32]) -> usize {
        self.tokens().iter().zip(prompt).take_while(|(a, b)| a == b).count()
    }
}

/// A generation in a session of its own.
pub struct Run {
    cache: KvCache,
    generation: Generation,
}

impl Run {
    /// Whether the prompt is still being read.
    pub fn is_prefilling(&self) -> bool {
        self.generation.is_prefilling()
    }

    /// Ends the run between two passes: see [`Generation::cancel`].
    pub fn cancel(&mut self, events: &mut Vec<Event>) {
        self.generation.cancel(events);
    }

    /// Ends the run, wherever it is, and gives back its session.
    pub fn into_session(self) -> Session {
        Session { cache: self.cache, state: self.generation.into_session() }
    }
}

impl Engine {
    /// A session without tokens.
    pub fn new_session(&self) -> Session {
        Session { cache: self.transformer.new_cache(), state: decode::Session::default() }
    }

    /// Begins to continue `prompt` in `session`, reusing what both share. Takes over the session,
    /// which stays as it is on an error. Runs do not disturb each other, nor the engine's own
    /// generation.
    ///
    /// # Errors
    ///
    /// Those of [`Generation::start`] and [`Frontend::constraint`](super::Frontend::constraint).
    pub fn start_in(&mut self, session: &mut Session, prompt: &[u32], options: &Options) -> Result<Run> {
        self.retune_kernels();
        let constraint = self.frontend.constraint(options)?;
        self.transformer.swap_cache(&mut session.cache);
        let config = self.frontend.config_of(&self.config, options);
        let (model, state) = (&mut self.transformer, &mut session.state);
        let started = Generation::start_constrained(model, state, prompt, options, &config, constraint);
        self.transformer.swap_cache(&mut session.cache);
        let generation = started?;
        let Session { cache, .. } = mem::replace(session, self.new_session());
        Ok(Run { cache, generation })
    }

    /// Forward passes of `run`, at least one, until `milliseconds` have passed: see
    /// [`Generation::run_for`].
    ///
    /// # Errors
    ///
    /// What a pass may fail with; the run is then over.
    pub fn advance(&mut self, run: &mut Run, milliseconds: f64, events: &mut Vec<Event>) -> Result<bool> {
        self.transformer.swap_cache(&mut run.cache);
        let more = run.generation.run_for(&mut self.transformer, &*self.frontend.tokenizer, milliseconds, events);
        self.transformer.swap_cache(&mut run.cache);
        more
    }
}
