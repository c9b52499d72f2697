//! Loading: bytes in, an [`Engine`] out.

#![forbid(unsafe_code)]

use super::{Engine, EngineOptions};
use crate::error::Result;
use crate::model;
use crate::tokenizer::Tokenizer;

/// Takes the bytes of a model's files in order: a [`model::Loader`] that also builds the tokenizer,
/// as soon as the header is complete.
pub struct EngineLoader {
    options: EngineOptions,
    loader: model::Loader,
    tokenizer: Option<Tokenizer>,
}

impl EngineLoader {
    /// A loader that has seen nothing yet.
    pub fn new(options: EngineOptions) -> Self {
        Self { loader: model::Loader::new(options.load_options()), options, tokenizer: None }
    }

    /// [`model::Loader::begin_file`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn begin_file(&mut self, name: &str, total: Option<u64>) -> Result<()> {
        self.loader.begin_file(name, total)
    }

    /// [`model::Loader::push`]. Builds the tokenizer while the rest of the file is on its way.
    ///
    /// # Errors
    ///
    /// As there, and for a tokenizer as [`Engine::new`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.loader.push(bytes)?;
        if let (None, Some(metadata)) = (&self.tokenizer, self.loader.metadata()) {
            self.tokenizer = Some(Tokenizer::from_metadata(metadata)?);
        }
        Ok(())
    }

    /// The finished model.
    ///
    /// # Errors
    ///
    /// Those of [`model::Loader::finish`] and [`Engine::new`].
    pub fn finish(self) -> Result<Engine> {
        let model = self.loader.finish()?;
        match self.tokenizer {
            Some(tokenizer) => Engine::assemble(model, tokenizer, &self.options),
            None => Engine::new(model, &self.options),
        }
    }
}
