//! A loaded model with everything that turns text into text: the facade that the command line and the wasm edge share.

#![forbid(unsafe_code)]

use crate::chat::{ChatTemplate, Message};
use crate::decode::{DecodingConfig, Diffusion, Event, Generation, Options, Session};
use crate::error::{ErrorCode, Result};
use crate::gguf::Metadata;
use crate::model::{self, Attention, LanguageModel, LoadOptions, LoadedModel, Pass, Transformer};
use crate::tokenizer::{EncodeOptions, MaskChoice, Tokenizer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Rows of a pass that only collects logits; a multiple of every usual block size.
const LOGITS_ROWS: usize = 64;

/// How blocks attend, as files and options spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttentionKind {
    /// A position sees its whole block and everything before.
    Block,
    /// A position sees what is before it.
    Causal,
}

impl AttentionKind {
    /// As in files and options.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Causal => "causal",
        }
    }
}

/// What a caller may choose when a model is loaded. In JSON: camel case, unknown names refused.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EngineOptions {
    /// Positions of the cache; the model's own context length when `None`.
    pub context_length: Option<usize>,
    /// The mask token, whatever the file says.
    pub mask_token_id: Option<u32>,
    /// Accept a mask token that also ends answers.
    pub force_mask_token: bool,
    /// The attention of diffusion decoding, whatever the file says.
    pub attention: Option<AttentionKind>,
}

impl EngineOptions {
    /// Reads options from a JSON object.
    ///
    /// # Errors
    ///
    /// `bad-option` for unknown names and wrong types.
    pub fn from_json(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|error| err!(BadOption, "load options: {error}"))
    }

    /// The part that concerns [`crate::model::Loader`].
    pub fn load_options(&self) -> LoadOptions {
        LoadOptions { context_length: self.context_length, ..LoadOptions::default() }
    }
}

/// What diffusion decoding of a model looks like.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiffusionInfo {
    /// The token that stands for "not known yet".
    pub mask_token: u32,
    /// Positions in a block.
    pub block_size: usize,
    /// How blocks attend.
    pub attention: AttentionKind,
    /// The threshold its makers recommend.
    #[serde(skip)]
    pub threshold: Option<f64>,
}

/// What was loaded.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    /// The file's `general.name`; empty when it has none.
    pub name: String,
    /// The GGUF architecture.
    pub architecture: &'static str,
    /// Number of weights.
    pub parameters: u64,
    /// The type most weights of linear layers have.
    pub quantization: &'static str,
    /// Positions there is room for.
    pub context_length: usize,
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// `None` when the model has no mask token.
    pub diffusion: Option<DiffusionInfo>,
    /// Whether the file brings its own chat template.
    pub chat_template: bool,
    /// The kernels in use.
    pub kernel: &'static str,
    /// Things the user should know that are not errors.
    pub notices: Vec<String>,
}

/// What to continue.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// Text, with BOS in front where the model wants it.
    Text(String),
    /// A conversation, through the chat template.
    Messages(Vec<Message>),
    /// Token ids exactly as given.
    Tokens(Vec<u32>),
}

/// A prompt and how to continue it.
#[derive(Clone, Debug)]
pub struct Request {
    /// What to continue.
    pub prompt: Prompt,
    /// How.
    pub options: Options,
}

impl Request {
    /// Reads a JSON object with exactly one of `prompt`, `messages` and `tokens`, and the names of [`Options`].
    ///
    /// # Errors
    ///
    /// `bad-option` naming what is wrong.
    pub fn from_json(json: &str) -> Result<Self> {
        let object =
            serde_json::from_str(json).map_err(|error| err!(BadOption, "the request is not a JSON object: {error}"))?;
        Self::from_object(object)
    }

    pub(crate) fn from_object(mut object: Map<String, Value>) -> Result<Self> {
        let [prompt, messages, tokens] = ["prompt", "messages", "tokens"].map(|name| object.remove(name));
        let prompt = match (prompt, messages, tokens) {
            (Some(text), None, None) => Prompt::Text(typed("prompt", "a string", text)?),
            (None, Some(list), None) => Prompt::Messages(typed("messages", "a list of {role, content}", list)?),
            (None, None, Some(ids)) => Prompt::Tokens(typed("tokens", "a list of token ids", ids)?),
            _ => bail!(BadOption, "give exactly one of prompt, messages and tokens"),
        };
        Ok(Self { prompt, options: Options::from_json(&Value::Object(object).to_string())? })
    }
}

fn typed<T: for<'de> Deserialize<'de>>(name: &str, kind: &str, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| err!(BadOption, "option `{name}` must be {kind}: {error}"))
}

/// Takes the bytes of a model's files in order: [`model::Loader`], and the tokenizer as soon as the header is there.
pub struct Loader {
    options: EngineOptions,
    loader: model::Loader,
    tokenizer: Option<Tokenizer>,
}

impl Loader {
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

    /// [`model::Loader::push`]. Building a tokenizer takes long, and the rest of the file may come meanwhile.
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

/// See the module documentation.
pub struct Engine {
    transformer: Transformer,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    config: DecodingConfig,
    session: Session,
    run: Option<Generation>,
    info: Info,
}

impl Engine {
    /// Builds tokenizer, chat template and diffusion settings from a model's metadata.
    ///
    /// # Errors
    ///
    /// `malformed` or `unsupported-architecture` for a tokenizer or template that cannot be used, `bad-option` for a mask
    /// token outside the vocabulary.
    pub fn new(model: LoadedModel, options: &EngineOptions) -> Result<Self> {
        let tokenizer = Tokenizer::from_metadata(&model.metadata)?;
        Self::assemble(model, tokenizer, options)
    }

    fn assemble(model: LoadedModel, tokenizer: Tokenizer, options: &EngineOptions) -> Result<Self> {
        let LoadedModel { transformer, metadata, parameters, quantization, mut notices } = model;
        let template = ChatTemplate::from_metadata(&metadata, &tokenizer)?;
        let (diffusion, notice) = diffusion_info(&metadata, &tokenizer, options)?;
        notices.extend(notice);
        let info = Info {
            name: metadata.string("general.name")?.unwrap_or_default().to_owned(),
            architecture: transformer.config().architecture.name,
            parameters,
            quantization: quantization.name(),
            context_length: transformer.context_length(),
            vocab_size: transformer.vocab_size(),
            diffusion: diffusion.clone(),
            chat_template: metadata.string("tokenizer.chat_template")?.is_some(),
            kernel: transformer.kernel(),
            notices,
        };
        let config = DecodingConfig {
            stop_ids: tokenizer.stop_ids().to_vec(),
            mask_token: diffusion.as_ref().map(|diffusion| diffusion.mask_token),
            diffusion: diffusion.map(|info| Diffusion {
                block_size: info.block_size,
                causal: info.attention == AttentionKind::Causal,
                threshold: info.threshold,
            }),
        };
        Ok(Self { transformer, tokenizer, template, config, session: Session::default(), run: None, info })
    }

    /// What was loaded.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The model itself. A generation that is under way is dropped.
    pub fn transformer(&mut self) -> &mut Transformer {
        self.run = None;
        self.session = Session::default();
        &mut self.transformer
    }

    /// The conversation as the text that the model continues.
    ///
    /// # Errors
    ///
    /// `bad-option` when the template refuses the messages.
    pub fn apply_chat_template(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        self.template.render(messages, add_generation_prompt)
    }

    /// The token ids of a prompt.
    ///
    /// # Errors
    ///
    /// As [`Engine::apply_chat_template`] and [`Tokenizer::encode`].
    pub fn encode(&self, prompt: &Prompt) -> Result<Vec<u32>> {
        match prompt {
            Prompt::Tokens(ids) => Ok(ids.clone()),
            Prompt::Text(text) => self.tokenizer.encode(text, EncodeOptions { add_special: true, parse_special: true }),
            Prompt::Messages(messages) => {
                let text = self.template.render(messages, true)?;
                self.tokenizer.encode(&text, EncodeOptions { add_special: false, parse_special: true })
            }
        }
    }

    /// Begins a generation; one that is under way is dropped.
    ///
    /// # Errors
    ///
    /// `bad-option`, `context-full`, `no-mask-token`: see [`Generation::start`].
    pub fn start(&mut self, request: &Request) -> Result<()> {
        if let Some(run) = self.run.take() {
            self.session = run.into_session();
        }
        let prompt = self.encode(&request.prompt)?;
        self.transformer.retune_kernels();
        self.info.kernel = self.transformer.kernel();
        let Self { transformer, session, config, .. } = self;
        self.run = Some(Generation::start(transformer, session, &prompt, &request.options, config)?);
        Ok(())
    }

    /// One forward pass of the generation under way. Appends the events it caused; false when it is over.
    ///
    /// # Errors
    ///
    /// `bad-option` when none is under way, and what the pass may fail with; the generation is then over.
    pub fn step(&mut self, events: &mut Vec<Event>) -> Result<bool> {
        self.run_for(0.0, events)
    }

    /// Forward passes, at least one, until `milliseconds` have passed: see [`Generation::steps`].
    ///
    /// # Errors
    ///
    /// As [`Engine::step`].
    pub fn run_for(&mut self, milliseconds: f64, events: &mut Vec<Event>) -> Result<bool> {
        let Some(mut run) = self.run.take() else {
            bail!(BadOption, "no generation is under way: start one first");
        };
        let more = run.run_for(&mut self.transformer, &self.tokenizer, milliseconds, events)?;
        if more {
            self.run = Some(run);
        } else {
            self.session = run.into_session();
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

    /// The logits of every position of `tokens`, one row after the other, given to `each`. A generation that is under way
    /// is dropped.
    ///
    /// # Errors
    ///
    /// `context-full` and `bad-option` as for any pass.
    pub fn logits(&mut self, tokens: &[u32], attention: AttentionKind, mut each: impl FnMut(&[f32])) -> Result<()> {
        let size = self.config.diffusion.unwrap_or_default().block_size;
        let (attention, rows) = match attention {
            AttentionKind::Causal => (Attention::Causal, LOGITS_ROWS),
            AttentionKind::Block => (Attention::Block { size }, LOGITS_ROWS.next_multiple_of(size)),
        };
        let model = self.transformer();
        let vocab = model.vocab_size();
        model.truncate(0);
        // A block can be larger than any sequence: its size is the file's word.
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

/// The decode modes that make sense, the one that `auto` chooses first.
pub(crate) fn decode_modes(diffusion: Option<&DiffusionInfo>) -> &'static [&'static str] {
    if diffusion.is_some() { &["adaptive", "iterative", "greedy", "ar"] } else { &["ar"] }
}

/// How the model decodes by diffusion; `None` with a reason, where there is one to tell, when it cannot.
pub(crate) fn diffusion_info(
    metadata: &Metadata,
    tokenizer: &Tokenizer,
    options: &EngineOptions,
) -> Result<(Option<DiffusionInfo>, Option<String>)> {
    let choice = MaskChoice { id: options.mask_token_id, force: options.force_mask_token };
    let mask_token = match tokenizer.mask_token(choice) {
        Ok(None) => return Ok((None, None)),
        // The model still decodes autoregressively.
        Err(error) if error.code() == ErrorCode::NoMaskToken => return Ok((None, Some(error.message().to_owned()))),
        Ok(Some(mask_token)) => mask_token,
        Err(error) => return Err(error),
    };
    if metadata.bool("diffusion.shift_logits")? == Some(false) {
        bail!(
            UnsupportedArchitecture,
            "diffusion.shift_logits is false: webtern decodes models whose logits predict the next position"
        );
    }
    let usual = Diffusion::default();
    let block_size = metadata.u32("diffusion.block_size")?.map_or(usual.block_size, |size| size as usize);
    if block_size == 0 {
        bail!(Malformed, "diffusion.block_size is 0");
    }
    let threshold = metadata.f32("diffusion.threshold")?;
    if let Some(threshold) = threshold.filter(|&threshold| !(threshold > 0.0 && threshold <= 1.0)) {
        bail!(Malformed, "diffusion.threshold is {threshold}, not above 0 and at most 1");
    }
    let named = match metadata.string("diffusion.attention")? {
        None | Some("block") => AttentionKind::Block,
        Some("causal") => AttentionKind::Causal,
        Some(other) => {
            bail!(UnsupportedArchitecture, "diffusion.attention is \"{other}\"; webtern runs block and causal")
        }
    };
    let attention = options.attention.unwrap_or(named);
    Ok((Some(DiffusionInfo { mask_token, block_size, attention, threshold: threshold.map(f64::from) }), None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn reads_a_request_of_each_kind() {
        let read = |json: &str| Request::from_json(json).unwrap();
        assert_eq!(read(r#"{ "prompt": "a" }"#).prompt, Prompt::Text("a".into()));
        assert_eq!(read(r#"{ "tokens": [1, 2] }"#).prompt, Prompt::Tokens(vec![1, 2]));
        let request = read(r#"{ "messages": [{ "role": "user", "content": "a" }], "maxTokens": 7, "mode": "ar" }"#);
        assert_eq!(request.prompt, Prompt::Messages(vec![Message::new("user", "a")]));
        assert_eq!((request.options.max_tokens, request.options.mode), (Some(7), crate::decode::Mode::Ar));
    }

    #[test]
    fn rejects_requests_by_what_is_wrong() {
        for (json, words) in [
            ("", "not a JSON object"),
            ("[]", "not a JSON object"),
            ("{}", "exactly one of prompt, messages and tokens"),
            (r#"{ "prompt": "a", "tokens": [1] }"#, "exactly one"),
            (r#"{ "prompt": 3 }"#, "`prompt` must be a string"),
            (r#"{ "messages": [{ "role": "user" }] }"#, "`messages` must be a list of {role, content}"),
            (r#"{ "tokens": [-1] }"#, "`tokens` must be a list of token ids"),
            (r#"{ "tokens": [4294967296] }"#, "`tokens` must be"),
            (r#"{ "prompt": "a", "max_tokens": 3 }"#, "no option `max_tokens`"),
            (r#"{ "prompt": "a", "topP": 2 }"#, "`topP` is 2"),
        ] {
            let error = Request::from_json(json).unwrap_err();
            assert_eq!(error.code(), ErrorCode::BadOption, "{json}: {error}");
            assert!(error.message().contains(words), "{json}: {error}");
        }
    }

    #[test]
    fn reads_load_options() {
        let options = EngineOptions::from_json(
            r#"{ "contextLength": 64, "maskTokenId": 3, "forceMaskToken": true, "attention": "causal" }"#,
        )
        .unwrap();
        assert_eq!((options.context_length, options.mask_token_id), (Some(64), Some(3)));
        assert_eq!((options.force_mask_token, options.attention), (true, Some(AttentionKind::Causal)));
        assert_eq!(options.load_options().context_length, Some(64));
        assert_eq!(EngineOptions::from_json("{}").unwrap().attention, None);
    }

    #[test]
    fn rejects_load_options_by_name() {
        for (json, words) in [
            ("3", "load options"),
            (r#"{ "context_length": 3 }"#, "`context_length`"),
            (r#"{ "contextLength": -1 }"#, "-1"),
            (r#"{ "attention": "full" }"#, "`full`"),
        ] {
            let error = EngineOptions::from_json(json).unwrap_err();
            assert_eq!(error.code(), ErrorCode::BadOption, "{json}: {error}");
            assert!(error.message().contains(words), "{json}: {error}");
        }
    }
}
