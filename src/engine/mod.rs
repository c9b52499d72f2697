//! The facade that the command line and the wasm edge share: a loaded model with its tokenizer,
//! chat template and decoding.

#![forbid(unsafe_code)]

mod choose;
mod dialog;
mod frontend;
mod info;
mod loader;
mod options;
mod request;
mod session;
mod snapshot;

pub use crate::decode::Candidates;
pub use choose::Choosing;
pub use dialog::{Dialog, Purpose};
pub use frontend::{FormatCompiler, Frontend};
pub use info::Info;
pub use loader::EngineLoader;
pub use options::EngineOptions;
pub use request::{ParseSpecial, Prompt, Request};
pub use session::{Run, Session};

use crate::chat::ChatTemplate;
use crate::decode::{
    self, AttentionKind, DecodingConfig, Diffusion, DiffusionSettings, Event, Generation, Mode, ModelSize, Options,
    PassCosts, Stats,
};
use crate::error::Result;
use crate::model::{Attention, LanguageModel, LoadedModel, Pass, Transformer};
use crate::tokenizer::Tokenizer;
use std::sync::{Arc, OnceLock};

/// Rows of a pass that only collects logits; a multiple of every usual block size.
const LOGITS_ROWS: usize = 64;

/// How much of what a run shows goes into what the next ones expect.
const LEARNING_RATE: f64 = 0.2;

/// A loaded model with everything that turns text into text.
pub struct Engine {
    transformer: Transformer,
    frontend: Arc<Frontend>,
    config: DecodingConfig,
    session: decode::Session,
    run: Option<Generation>,
    info: Info,
    /// XXH3 of the model's files.
    hash: u128,
    /// What passes cost; nothing before the first run in mode `auto` that depends on it.
    costs: Option<PassCosts>,
}

impl Engine {
    /// Builds tokenizer, chat template and diffusion settings from a model's metadata.
    ///
    /// # Errors
    ///
    /// `malformed` or `unsupported-architecture` for a tokenizer or template that cannot be used,
    /// `bad-option` for a mask token outside the vocabulary.
    pub fn new(model: LoadedModel, options: &EngineOptions) -> Result<Self> {
        let tokenizer = Tokenizer::from_metadata(&model.metadata)?;
        Self::assemble(model, tokenizer, options)
    }

    fn assemble(model: LoadedModel, tokenizer: Tokenizer, options: &EngineOptions) -> Result<Self> {
        let LoadedModel { transformer, metadata, parameters, quantization, mut notices, hash } = model;
        let template = match &options.chat_template {
            Some(source) => ChatTemplate::supplied(source, &tokenizer)?,
            None => ChatTemplate::from_metadata(&metadata, &tokenizer),
        };
        notices.extend(tokenizer.warnings().iter().map(|warning| warning.message.clone()));
        notices.extend(template.notice());
        let diffusion = match Diffusion::read(&metadata, &tokenizer, options.diffusion)? {
            Diffusion::Supported(settings, _) => Some(settings),
            Diffusion::NoMaskToken => None,
            Diffusion::MaskTokenStops(error) => {
                notices.push(error.message().to_owned());
                None
            }
        };
        let info = Info {
            name: metadata.string("general.name")?.unwrap_or_default().to_owned(),
            architecture: transformer.config().architecture.name,
            parameters,
            quantization: quantization.name(),
            context_length: transformer.context_length(),
            vocab_size: transformer.vocab_size(),
            diffusion,
            chat_template: metadata.get("tokenizer.chat_template").is_some(),
            kernel: transformer.kernel(),
            notices,
        };
        let config = DecodingConfig { stop_ids: tokenizer.stop_ids().to_vec(), diffusion, auto: None };
        let size = ModelSize::of(&transformer);
        let template_args = options.chat_template_args.clone();
        let frontend = Arc::new(Frontend {
            tokenizer: Arc::new(tokenizer),
            compiler: OnceLock::new(),
            template,
            template_args,
            config: config.clone(),
            size,
        });
        Ok(Self {
            transformer,
            frontend,
            config,
            session: decode::Session::default(),
            run: None,
            info,
            hash,
            costs: None,
        })
    }

    /// What was loaded.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.frontend.tokenizer
    }

    /// What the model does without a forward pass.
    pub fn frontend(&self) -> &Arc<Frontend> {
        &self.frontend
    }

    /// Drops the generation under way and what the cache holds, and lends the model.
    pub fn reset_transformer(&mut self) -> &mut Transformer {
        self.run = None;
        self.session = decode::Session::default();
        &mut self.transformer
    }

    /// Begins a generation; one that is under way is dropped.
    ///
    /// # Errors
    ///
    /// `bad-option`, `context-full`, `no-mask-token`: see [`Generation::start`].
    pub fn start(&mut self, request: &Request) -> Result<()> {
        self.drop_run();
        let prompt = self.frontend.encode_with(&request.prompt, request.parse_special)?;
        self.start_tokens(&prompt, &request.options)
    }

    /// [`Engine::start`] with the tokens of the prompt.
    ///
    /// # Errors
    ///
    /// As [`Generation::start`].
    pub fn start_tokens(&mut self, prompt: &[u32], options: &Options) -> Result<()> {
        self.drop_run();
        self.retune_kernels();
        if options.mode == Mode::Auto {
            self.choose_mode()?;
        }
        let config = self.frontend.config_of(&self.config, options);
        let constraint = self.frontend.constraint(options)?;
        let Self { transformer, session, .. } = self;
        let started = Generation::start_constrained(transformer, session, prompt, options, &config, constraint)?;
        self.run = Some(started);
        Ok(())
    }

    /// Keeps what a run that is under way has in the cache.
    fn drop_run(&mut self) {
        if let Some(run) = self.run.take() {
            self.session = run.into_session();
        }
    }

    fn retune_kernels(&mut self) {
        self.transformer.retune_kernels();
        self.info.kernel = self.transformer.kernel();
    }

    /// Decides what `auto` comes to for a model that was trained for `ar` and for blocks, by the
    /// costs of passes on this machine and the tokens a pass that the model accepted so far.
    fn choose_mode(&mut self) -> Result<()> {
        let Some(settings) = self.config.diffusion.filter(|settings| settings.autoregressive) else { return Ok(()) };
        if self.costs.is_none() {
            self.costs = PassCosts::measure(&mut self.transformer, &settings)?;
        }
        let expected = settings.tokens_per_pass.unwrap_or(DiffusionSettings::DEFAULT_TOKENS_PER_PASS);
        self.config.auto = self.costs.map(|costs| costs.choose(&settings, expected));
        Ok(())
    }

    /// Remembers how many tokens a pass a block mode accepted.
    fn learn(&mut self, stats: &Stats) {
        let blocks = matches!(stats.mode, Mode::Iterative | Mode::Adaptive);
        if let Some(settings) = self.config.diffusion.as_mut().filter(|_| blocks && stats.passes > 0) {
            let expected = settings.tokens_per_pass.unwrap_or(DiffusionSettings::DEFAULT_TOKENS_PER_PASS);
            let measured = stats.new_tokens as f64 / stats.passes as f64;
            settings.tokens_per_pass = Some(expected + LEARNING_RATE * (measured - expected));
        }
    }

    /// One forward pass of the generation under way. Appends the events it caused; false when it is
    /// over.
    ///
    /// # Errors
    ///
    /// `bad-option` when none is under way, and what the pass may fail with; the generation is then
    /// over.
    pub fn step(&mut self, events: &mut Vec<Event>) -> Result<bool> {
        self.run_for(0.0, events)
    }

    /// Forward passes, at least one, until `milliseconds` have passed: see [`Generation::run_for`].
    ///
    /// # Errors
    ///
    /// As [`Engine::step`].
    pub fn run_for(&mut self, milliseconds: f64, events: &mut Vec<Event>) -> Result<bool> {
        let Some(mut run) = self.run.take() else {
            bail!(BadOption, "no generation is under way: start one first");
        };
        let more = run.run_for(&mut self.transformer, &*self.frontend.tokenizer, milliseconds, events)?;
        if more {
            self.run = Some(run);
        } else {
            self.session = run.into_session();
            if let Some(Event::Done { result }) = events.last() {
                self.learn(&result.stats);
            }
        }
        Ok(more)
    }

    /// Ends the generation under way, if there is one, with finish reason `abort`.
    pub fn cancel(&mut self, events: &mut Vec<Event>) {
        if let Some(mut run) = self.run.take() {
            run.cancel(events);
            self.session = run.into_session();
        }
    }

    /// Calls `each` with the logits of every position of `tokens`, one row of `vocab_size` after
    /// the other. Drops the generation under way.
    ///
    /// # Errors
    ///
    /// `context-full` and `bad-option` as for any pass.
    pub fn logits(&mut self, tokens: &[u32], attention: AttentionKind, mut each: impl FnMut(&[f32])) -> Result<()> {
        let size =
            self.config.diffusion.map_or(DiffusionSettings::DEFAULT_BLOCK_SIZE, |diffusion| diffusion.block_size);
        let attention = attention.of_blocks(size);
        let rows = match attention {
            Attention::Block { size } => LOGITS_ROWS.next_multiple_of(size),
            Attention::Causal | Attention::Full => LOGITS_ROWS,
        };
        let model = self.reset_transformer();
        let vocab = model.vocab_size();
        model.truncate(0);
        // The file chooses the block size, which may exceed any sequence.
        let rows = rows.min(tokens.len()).max(1);
        let wanted: Vec<usize> = (0..rows).collect();
        for chunk in tokens.chunks(rows) {
            let position = model.committed();
            let pass = Pass { tokens: chunk, position, attention, commit: true, logits: &wanted[..chunk.len()] };
            model.forward(&pass)?.chunks_exact(vocab).for_each(&mut each);
        }
        Ok(())
    }
}
