//! What a loaded model does without a forward pass: text to tokens and back, and checking requests. Threads share it.

#![forbid(unsafe_code)]

use super::Prompt;
use crate::chat::{ChatTemplate, Message, TemplateArgs};
use crate::decode::{DecodingConfig, ModelSize, Options, fit_options};
use crate::error::Result;
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// See the module documentation.
#[derive(Debug)]
pub struct Frontend {
    pub(super) tokenizer: Tokenizer,
    pub(super) template: ChatTemplate,
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
        self.template.render_with(messages, args, add_generation_prompt)
    }

    /// The token ids of a prompt.
    ///
    /// # Errors
    ///
    /// As [`Frontend::apply_chat_template`] and [`Tokenizer::encode`].
    pub fn encode(&self, prompt: &Prompt) -> Result<Vec<u32>> {
        match prompt {
            Prompt::Tokens(ids) => Ok(ids.clone()),
            Prompt::Text(text) => self.tokenizer.encode(text, EncodeOptions { add_special: true, parse_special: true }),
            Prompt::Messages(messages, args) => {
                let text = self.apply_chat_template(messages, args, true)?;
                self.tokenizer.encode(&text, EncodeOptions { add_special: false, parse_special: true })
            }
        }
    }

    /// The token ids of a prompt, checked with `options` as a run of them would be. `max_tokens` beyond what the context holds is
    /// cut to that.
    ///
    /// # Errors
    ///
    /// As [`Frontend::encode`], and `bad-option`, `context-full` and `no-mask-token` as
    /// [`Generation::start`](crate::decode::Generation::start).
    pub fn prepare(&self, prompt: &Prompt, options: &mut Options) -> Result<Vec<u32>> {
        let tokens = self.encode(prompt)?;
        fit_options(self.size, &tokens, options, &self.config)?;
        Ok(tokens)
    }
}
