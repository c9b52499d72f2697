//! What a loaded model does without a forward pass: text to tokens and back, and checking requests.
//! Threads share it.

#![forbid(unsafe_code)]

use super::{ParseSpecial, Prompt};
use crate::chat::{ChatTemplate, Conversation, Guard, Message, TemplateArgs};
use crate::decode::{Constraint, DecodingConfig, Format, ModelSize, Options, fit_options};
use crate::error::Result;
use crate::tokenizer::{EncodeOptions, Tokenizer};
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

/// What makes constraints of response formats.
pub trait FormatCompiler: Debug + Send + Sync {
    /// The constraint of a format, at its start.
    ///
    /// # Errors
    ///
    /// `bad-option` and `limits` for a format that cannot be enforced.
    fn compile(&self, format: &Format) -> Result<Box<dyn Constraint>>;
}

#[cfg(feature = "grammar")]
impl FormatCompiler for crate::constraint::Compiler {
    fn compile(&self, format: &Format) -> Result<Box<dyn Constraint>> {
        self.compile(format)
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct Frontend {
    pub(super) tokenizer: Arc<Tokenizer>,
    /// Made for the first request that needs it.
    pub(super) compiler: OnceLock<Box<dyn FormatCompiler>>,
    pub(super) template: ChatTemplate,
    /// Variables for the template that every conversation has.
    pub(super) template_args: TemplateArgs,
    pub(super) config: DecodingConfig,
    pub(super) size: ModelSize,
}

impl Frontend {
    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The model's chat template.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// The conversation as the text that the model continues.
    ///
    /// # Errors
    ///
    /// `bad-option` when the template refuses the messages.
    pub fn apply_chat_template(
        &self,
        messages: &[Message],
        args: &TemplateArgs,
        add_generation_prompt: bool,
    ) -> Result<String> {
        let args = self.template_args(args);
        self.template.render(&Conversation::new(messages, add_generation_prompt).with_args(&args))
    }

    /// The model's variables for the template, and over them those of a request.
    fn template_args(&self, args: &TemplateArgs) -> TemplateArgs {
        let mut all = self.template_args.clone();
        all.extend(args.clone());
        all
    }

    /// The token ids of a prompt, control tokens read everywhere.
    ///
    /// # Errors
    ///
    /// As [`Frontend::apply_chat_template`] and [`Tokenizer::encode`].
    pub fn encode(&self, prompt: &Prompt) -> Result<Vec<u32>> {
        self.encode_with(prompt, ParseSpecial::Everywhere)
    }

    /// The token ids of a prompt.
    ///
    /// # Errors
    ///
    /// As [`Frontend::encode`].
    pub fn encode_with(&self, prompt: &Prompt, parse_special: ParseSpecial) -> Result<Vec<u32>> {
        match prompt {
            Prompt::Tokens(ids) => Ok(ids.clone()),
            Prompt::Text(text) => {
                let parse_special = parse_special == ParseSpecial::Everywhere;
                self.tokenizer.encode(text, EncodeOptions { add_special: true, parse_special })
            }
            Prompt::Messages(messages, args) => self.encode_messages(messages, args, true, parse_special),
        }
    }

    /// The token ids of a conversation, ended where the assistant's answer begins if
    /// `add_generation_prompt`.
    pub(super) fn encode_messages(
        &self,
        messages: &[Message],
        args: &TemplateArgs,
        add_generation_prompt: bool,
        parse_special: ParseSpecial,
    ) -> Result<Vec<u32>> {
        let args = self.template_args(args);
        let conversation = Conversation::new(messages, add_generation_prompt).with_args(&args);
        let (text, guard) = match parse_special {
            ParseSpecial::Template => self.template.render_guarded(&conversation)?,
            _ => (self.template.render(&conversation)?, Guard::default()),
        };
        let parse_special = parse_special != ParseSpecial::Nowhere;
        self.tokenizer.encode_prompt(&text, parse_special, |text| guard.reveal(text))
    }

    /// Whether a prompt ends with `<think>`, as some templates begin an answer.
    pub(crate) fn begins_reasoning(&self, prompt: &[u32]) -> bool {
        const TAG: &str = "<think>";
        // White space behind it takes few tokens, the tag no more than its bytes.
        let tail = &prompt[prompt.len().saturating_sub(2 * TAG.len())..];
        self.tokenizer.decode(tail, false).is_ok_and(|text| text.trim_end().ends_with(TAG))
    }

    /// The constraint that `options` ask for. It is compiled once for all copies of the options.
    ///
    /// # Errors
    ///
    /// `bad-option` and `limits` for a format that cannot be enforced.
    pub fn constraint(&self, options: &Options) -> Result<Option<Box<dyn Constraint>>> {
        let Some(format) = &options.response_format else { return Ok(None) };
        let compiler = match self.compiler.get() {
            Some(compiler) => compiler,
            None => {
                let made = compiler(&self.tokenizer)?;
                self.compiler.get_or_init(|| made)
            }
        };
        format.constraint(|format| compiler.compile(format)).map(Some)
    }

    /// `config` for a run with `options`: its stop tokens, and control tokens among its stop
    /// strings, end it too.
    pub(super) fn config_of(&self, config: &DecodingConfig, options: &Options) -> DecodingConfig {
        let mut config = config.clone();
        config.stop_ids.extend_from_slice(&options.stop_token_ids);
        config.stop_ids.extend(options.stop.iter().flat_map(|stop| self.tokenizer.without_text(stop)));
        config
    }

    /// The token ids of a prompt, checked with `options` as a run of them would be. `max_tokens`
    /// beyond what the context holds is cut to that.
    ///
    /// # Errors
    ///
    /// As [`Frontend::encode`], and `bad-option`, `context-full` and `no-mask-token` as
    /// [`Generation::start`](crate::decode::Generation::start).
    pub fn prepare(&self, prompt: &Prompt, options: &mut Options) -> Result<Vec<u32>> {
        let tokens = self.encode(prompt)?;
        fit_options(self.size, &tokens, options, &self.config)?;
        self.constraint(options)?;
        Ok(tokens)
    }
}

#[cfg(feature = "grammar")]
fn compiler(tokenizer: &Arc<Tokenizer>) -> Result<Box<dyn FormatCompiler>> {
    Ok(Box::new(crate::constraint::Compiler::new(Arc::clone(tokenizer))?))
}

#[cfg(not(feature = "grammar"))]
fn compiler(_: &Arc<Tokenizer>) -> Result<Box<dyn FormatCompiler>> {
    bail!(BadOption, "this build has no grammars: leave `responseFormat` out, or build with the feature `grammar`")
}
