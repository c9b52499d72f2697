//! Command-line arguments.

use crate::download::Settings;
use crate::model::Model;
use crate::output::failure;
use clap::{Args as ClapArgs, Parser, Subcommand};
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use webtern::convert::ConvertOptions;
use webtern::decode::{Acceptance, DiffusionOverrides, Mode, Options};
#[cfg(feature = "grammar")]
use webtern::decode::{Format, ResponseFormat};
use webtern::engine::EngineOptions;
use webtern::fetch::{CacheMode, Checksum};
use webtern::parallel::MAX_THREADS;
use webtern::{Error, ErrorCode, Result};

/// Runs ternary and quantized language models from GGUF files.
///
/// A MODEL is a GGUF file, `tiny` (the model inside this program), a name that `webtern models`
/// lists, `https://...`, or `hf:owner/repo[/file][@revision]`. A file or folder of such a name is
/// `./tiny`.
///
/// Downloads are kept in the folder WEBTERN_CACHE, else in the system's folder of caches. HF_TOKEN
/// and HF_ENDPOINT are the token for, and the address of, a Hugging Face hub.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Threads to compute with [default: four, or half of the processors if those are more; eight
    /// at most]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_THREADS as i64))]
    pub(crate) threads: Option<u32>,
    /// Use stored copies of models only, and no network.
    #[arg(long, global = true, conflicts_with = "no_cache")]
    offline: bool,
    /// Neither use stored copies of models nor make any.
    #[arg(long, global = true)]
    no_cache: bool,
    /// Seconds without a byte after which a connection is given up and tried again.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// The checksum that a downloaded model must have.
    #[arg(long, global = true, value_name = "HEX", value_parser = Checksum::parse)]
    sha256: Option<Checksum>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// What they say about the network.
    pub(crate) fn network(&self) -> Settings {
        let mode = match (self.offline, self.no_cache) {
            (true, _) => CacheMode::Only,
            (_, true) => CacheMode::Off,
            _ => CacheMode::Auto,
        };
        Settings { mode, timeout: Duration::from_secs(self.timeout), sha256: self.sha256 }
    }
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List models by name and what is stored, download, delete.
    Models(ModelsArgs),
    /// Say what a model file holds and what of it will run, or what a checkpoint would become.
    Inspect(InspectArgs),
    /// Make a GGUF file of a Hugging Face or WrinkleFree checkpoint.
    Convert(ConvertArgs),
    /// Compare a GGUF file with the checkpoint it was made from.
    Verify(VerifyArgs),
    /// Continue a prompt.
    Generate(GenerateArgs),
    /// Talk with a model.
    Chat(ChatArgs),
    /// Serve OpenAI's protocol over HTTP.
    #[cfg(feature = "serve")]
    Serve(ServeArgs),
    /// Turn text into token ids, or ids into text.
    Tokenize(TokenizeArgs),
    /// Print the logits of every position of a token sequence.
    Logits(LogitsArgs),
    /// Measure how well a model predicts a text, and how far another file of it is from that.
    Perplexity(PerplexityArgs),
    /// Measure accuracy and speed of each decode mode on questions with known answers.
    Eval(EvalArgs),
    /// Time forward passes and kernels.
    Bench(BenchArgs),
}

#[derive(ClapArgs)]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ModelsCommand>,
}

#[derive(Subcommand)]
pub(crate) enum ModelsCommand {
    /// List models by name, and what is stored. The default.
    List,
    /// Download a model and print where it is.
    Download {
        /// A name, `https://...` or `hf:owner/repo[/file][@revision]`.
        model: Model,
    },
    /// Delete stored models.
    Delete {
        /// Names, addresses, repositories, or the first letters of a key.
        #[arg(required = true)]
        models: Vec<String>,
    },
    /// Delete everything that is stored.
    Clear,
}

#[derive(ClapArgs)]
pub(crate) struct InspectArgs {
    /// `tiny`, the model inside this program; a GGUF file, or the folder of a checkpoint (`./tiny`
    /// too).
    pub(crate) model: Model,
}

#[derive(ClapArgs)]
pub(crate) struct VerifyArgs {
    /// `tiny`, the model inside this program, or a GGUF file (`./tiny` too).
    pub(crate) model: Model,
    /// The folder of the checkpoint.
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) against: PathBuf,
}

#[derive(ClapArgs)]
pub(crate) struct ConvertArgs {
    /// The folder with config.json, tokenizer and weights.
    pub(crate) checkpoint: PathBuf,
    /// The file to write.
    #[arg(short, long, value_name = "OUT.gguf")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    options: ConvertOptions,
}

impl ConvertArgs {
    pub(crate) fn options(&self) -> ConvertOptions {
        ConvertOptions { name: folder_name(&self.checkpoint), ..self.options.clone() }
    }
}

/// The name of a checkpoint's folder, which names the model.
pub(crate) fn folder_name(path: &Path) -> Option<String> {
    let folder = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    folder.file_name().map(|name| name.to_string_lossy().into_owned())
}

/// The model and how to load it.
#[derive(ClapArgs)]
pub(crate) struct ModelArgs {
    /// `tiny`, the model inside this program, or a GGUF file (`./tiny` too); the first of
    /// `-00001-of-0000N.gguf` loads all.
    pub(crate) model: Model,
    #[command(flatten)]
    load: LoadArgs,
}

impl ModelArgs {
    pub(crate) fn options(&self) -> Result<EngineOptions> {
        self.load.options()
    }
}

/// How to load a model.
#[derive(ClapArgs)]
pub(crate) struct LoadArgs {
    /// Positions to keep room for [default: the model's own]
    #[arg(long, value_name = "N")]
    context_length: Option<usize>,
    #[command(flatten)]
    diffusion: DiffusionOverrides,
    /// A Jinja chat template, in place of the file's.
    #[arg(long, value_name = "FILE")]
    chat_template: Option<PathBuf>,
    /// A variable for the chat template, enable_thinking=false for instance; may be given more than
    /// once. A VALUE that is not JSON is text.
    #[arg(long = "template-arg", value_name = "NAME=VALUE", value_parser = template_arg)]
    template_args: Vec<(String, Value)>,
}

fn template_arg(text: &str) -> std::result::Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
}

impl LoadArgs {
    pub(crate) fn options(&self) -> Result<EngineOptions> {
        let read = |path: &PathBuf| std::fs::read_to_string(path).map_err(|error| failure(path.display(), &error));
        Ok(EngineOptions {
            context_length: self.context_length,
            diffusion: self.diffusion,
            chat_template: self.chat_template.as_ref().map(read).transpose()?,
            chat_template_args: self.template_args.iter().cloned().collect(),
        })
    }
}

#[derive(ClapArgs)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) prompt: PromptArgs,
    /// Continue the session in this file, if there is one, and save it there.
    #[arg(long, value_name = "FILE")]
    pub(crate) session: Option<PathBuf>,
    #[cfg(feature = "grammar")]
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// What the answer must be.
#[cfg(feature = "grammar")]
#[derive(ClapArgs)]
#[group(multiple = false)]
pub(crate) struct FormatArgs {
    /// Answer with compact JSON that the schema in this file describes.
    #[arg(long, value_name = "FILE")]
    json_schema: Option<PathBuf>,
    /// Answer with a text of the grammar in this file, in llguidance's dialect of Lark.
    #[arg(long, value_name = "FILE")]
    grammar: Option<PathBuf>,
    /// Answer with a text that this regular expression matches as a whole.
    #[arg(long, value_name = "TEXT")]
    regex: Option<String>,
}

#[cfg(feature = "grammar")]
impl FormatArgs {
    /// The format that was asked for. Bad files are bad usage.
    pub(crate) fn read(&self) -> Result<Option<ResponseFormat>> {
        let text = |option: &str, path: &Path| {
            let bad = |what: String| Error::new(ErrorCode::BadOption, format!("{option} {}: {what}", path.display()));
            std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))
        };
        let format = match (&self.json_schema, &self.grammar, &self.regex) {
            (Some(path), ..) => {
                let schema = serde_json::from_str(&text("--json-schema", path)?).map_err(|error| {
                    Error::new(ErrorCode::BadOption, format!("--json-schema {}: no JSON: {error}", path.display()))
                })?;
                Format::JsonSchema { schema }
            }
            (_, Some(path), _) => Format::Lark { lark: text("--grammar", path)? },
            (.., Some(regex)) => Format::Regex { regex: regex.clone() },
            (None, None, None) => return Ok(None),
        };
        Ok(Some(format.into()))
    }
}

#[derive(ClapArgs)]
#[group(required = true, multiple = false)]
pub(crate) struct PromptArgs {
    /// Text to continue.
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    /// A user's message, put through the chat template.
    #[arg(long, value_name = "TEXT")]
    pub(crate) chat: Option<String>,
    /// Token ids to continue.
    #[arg(long, value_name = "1,2,3", value_delimiter = ',')]
    pub(crate) tokens: Option<Vec<u32>>,
}

#[derive(ClapArgs)]
pub(crate) struct ChatArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The system message.
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Continue the conversation in this file, if there is one, and save it there after every
    /// answer.
    #[arg(long, value_name = "FILE")]
    pub(crate) session: Option<PathBuf>,
    #[cfg(feature = "grammar")]
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// Where to serve, and what requests leave open.
#[cfg(feature = "serve")]
#[derive(ClapArgs)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The address to listen on; other machines reach it if that is 0.0.0.0.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// The port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    pub(crate) port: u16,
    /// The decode mode of requests that name none.
    #[arg(long, default_value = "auto")]
    pub(crate) mode: Mode,
    /// The threshold of requests that give none [default: the model's own, or 0.9]
    #[arg(long)]
    pub(crate) threshold: Option<f64>,
    /// Requests answered at the same time, each with a cache of its own.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) sessions: u32,
    /// Requests that may wait for a session; more are told to come again.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=65536))]
    pub(crate) queue: u32,
    /// Seconds that the headers of a request may take, and its body.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) request_timeout: u32,
    /// Seconds without taking anything of an answer after which a client loses it.
    #[arg(long, default_value_t = 20, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) reader_timeout: u32,
    /// What clients must send as `Authorization: Bearer KEY`.
    #[arg(long, value_name = "KEY", env = "WEBTERN_API_KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,
    /// The origin whose pages may call the server, as `https://example.com`.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) cors: Option<String>,
}

#[derive(ClapArgs)]
pub(crate) struct TokenizeArgs {
    /// `tiny`, the model inside this program, or a GGUF file (`./tiny` too); only its header is
    /// read.
    pub(crate) model: Model,
    /// The text.
    #[arg(required_unless_present = "decode")]
    pub(crate) text: Option<String>,
    /// Token ids to turn into text.
    #[arg(long, value_name = "1,2,3", value_delimiter = ',', conflicts_with = "text")]
    pub(crate) decode: Option<Vec<u32>>,
    /// Do not add the model's start and end tokens.
    #[arg(long)]
    pub(crate) no_special: bool,
}

#[derive(ClapArgs)]
pub(crate) struct LogitsArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Token ids.
    #[arg(long, value_name = "1,2,3", value_delimiter = ',', required = true)]
    pub(crate) tokens: Vec<u32>,
}

#[derive(ClapArgs)]
pub(crate) struct PerplexityArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// A file of UTF-8 text.
    pub(crate) text: PathBuf,
    /// Another file of the same model, whose predictions are compared with those of the first.
    #[arg(long, value_name = "MODEL")]
    pub(crate) against: Option<Model>,
    /// Positions in a window; the second half of each is scored.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(4..))]
    pub(crate) window: u32,
}

#[derive(ClapArgs)]
pub(crate) struct EvalArgs {
    /// The model, unless an endpoint is given, and the cases. A line of JSON a case: `answer`, one
    /// of `messages`, `prompt` and `tokens`, and `task` if there are several kinds.
    #[arg(value_names = ["MODEL", "CASES.jsonl"], num_args = 1..=2, required = true)]
    inputs: Vec<OsString>,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// Ask a server that speaks OpenAI's protocol, such as `webtern serve`, instead of a model
    /// here.
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// What the server wants as `Authorization: Bearer KEY`.
    #[arg(long, value_name = "KEY", env = "WEBTERN_API_KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,
    /// Append every answer to this file as a line of JSON, and do not ask again what it has.
    #[arg(long, value_name = "OUT.jsonl")]
    pub(crate) results: Option<PathBuf>,
    /// Decode modes [default: ar, and those of diffusion if the model can; the server's own]
    #[arg(long, value_name = "MODE,...", value_delimiter = ',')]
    pub(crate) modes: Option<Vec<Mode>>,
    /// Rules of acceptance of the modes that have a threshold [default: the model's own]
    #[arg(long, value_name = "RULE,...", value_delimiter = ',')]
    pub(crate) acceptances: Vec<Acceptance>,
    /// Thresholds of the modes that have one.
    #[arg(long, value_name = "T,...", value_delimiter = ',', default_values_t = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0])]
    pub(crate) thresholds: Vec<f64>,
    /// Re-run only the sub-block in most passes, as `generate --dual-cache` does.
    #[arg(long)]
    pub(crate) dual_cache: bool,
    /// Only the first N cases.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Print every wrong answer.
    #[arg(long)]
    pub(crate) wrong: bool,
    /// Also write what --json prints.
    #[arg(long, value_name = "OUT.json")]
    pub(crate) report: Option<PathBuf>,
}

impl EvalArgs {
    /// The model, if one is to be loaded, and the cases.
    ///
    /// # Errors
    ///
    /// `bad-option` for a model beside an endpoint, or for neither.
    pub(crate) fn inputs(&self) -> Result<(Option<Model>, &Path)> {
        match (&self.endpoint, &self.inputs[..]) {
            (None, [model, cases]) => Ok((Some(model.clone().into()), Path::new(cases))),
            (Some(_), [cases]) => Ok((None, Path::new(cases))),
            (None, _) => {
                Err(Error::new(ErrorCode::BadOption, "give a model and its cases, or --endpoint and the cases"))
            }
            (Some(_), _) => Err(Error::new(ErrorCode::BadOption, "with --endpoint, give the cases and no model")),
        }
    }
}

#[derive(ClapArgs)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Timed runs of each pass; the median is reported.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
}
