//! What can be typed.

use crate::model::Model;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use webtern::Result;
use webtern::convert::{Options as ConvertOptions, output_type};
use webtern::decode::{Mode, Options};
use webtern::engine::{AttentionKind, EngineOptions};
use webtern::gguf::GgmlType;
use webtern::parallel::MAX_THREADS;

/// Runs ternary and quantized language models from GGUF files.
///
/// A MODEL is a GGUF file, or `tiny`: the model inside this program. A file or folder of that name is `./tiny`.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Threads to compute with [default: four, or half of the processors if those are more; eight at most]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_THREADS as i64))]
    pub(crate) threads: Option<u32>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
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
    /// Turn text into token ids, or ids into text.
    Tokenize(TokenizeArgs),
    /// Print the logits of every position of a token sequence.
    Logits(LogitsArgs),
    /// Measure accuracy and speed of each decode mode on questions with known answers.
    Eval(EvalArgs),
    /// Time forward passes and kernels.
    Bench(BenchArgs),
}

#[derive(ClapArgs)]
pub(crate) struct InspectArgs {
    /// `tiny`, the model inside this program; a GGUF file, or the folder of a checkpoint (`./tiny` too).
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
    /// Type of the linear layers: auto, q2_0, tq1_0, tq2_0, i2_s, q8_0, q4_0, f16, bf16 or f32. auto is q2_0 for ternary layers,
    /// 16-bit floats for others.
    #[arg(long = "type", default_value = "auto", value_name = "TYPE", value_parser = auto_type)]
    ty: Auto,
    /// Type of the embedding and the output head [default: as --type unless that is ternary, else the checkpoint's own]
    #[arg(long, value_name = "TYPE", value_parser = output_type)]
    embedding_type: Option<GgmlType>,
    /// What to do with SubLN norms. drop makes a file for runtimes that cannot run them, which computes something else.
    #[arg(long, default_value = "keep", value_name = "KEEP|DROP")]
    subln: SubLn,
    /// Ternarize the layers of a model that does not say that it is BitNet.
    #[arg(long)]
    ternarize: bool,
    /// The mask token, whatever the checkpoint says.
    #[arg(long, value_name = "ID")]
    mask_token_id: Option<u32>,
    /// Accept a mask token that also ends answers.
    #[arg(long)]
    force_mask_token: bool,
    /// Positions decoded together, whatever the checkpoint says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    block_size: Option<u32>,
    /// How diffusion blocks attend, whatever the checkpoint says.
    #[arg(long)]
    attention: Option<Attention>,
}

/// A type, or none for `auto`.
#[derive(Clone, Copy)]
struct Auto(Option<GgmlType>);

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SubLn {
    Keep,
    Drop,
}

fn auto_type(text: &str) -> Result<Auto> {
    if text == "auto" { Ok(Auto(None)) } else { output_type(text).map(|ty| Auto(Some(ty))) }
}

impl ConvertArgs {
    pub(crate) fn options(&self) -> ConvertOptions {
        let folder = self.checkpoint.canonicalize().unwrap_or_else(|_| self.checkpoint.clone());
        ConvertOptions {
            ty: self.ty.0,
            embedding_type: self.embedding_type,
            drop_sub_norms: self.subln == SubLn::Drop,
            ternarize: self.ternarize,
            name: folder.file_name().map(|name| name.to_string_lossy().into_owned()),
            mask_token_id: self.mask_token_id,
            force_mask_token: self.force_mask_token,
            block_size: self.block_size,
            attention: self.attention.map(Into::into),
        }
    }
}

/// The model and how to load it.
#[derive(ClapArgs)]
pub(crate) struct ModelArgs {
    /// `tiny`, the model inside this program, or a GGUF file (`./tiny` too); the first of `-00001-of-0000N.gguf` loads all.
    pub(crate) model: Model,
    /// Positions to keep room for [default: the model's own]
    #[arg(long, value_name = "N")]
    context_length: Option<usize>,
    /// The mask token, whatever the file says.
    #[arg(long, value_name = "ID")]
    mask_token_id: Option<u32>,
    /// Accept a mask token that also ends answers.
    #[arg(long)]
    force_mask_token: bool,
}

impl ModelArgs {
    pub(crate) fn options(&self, attention: Option<Attention>) -> EngineOptions {
        EngineOptions {
            context_length: self.context_length,
            mask_token_id: self.mask_token_id,
            force_mask_token: self.force_mask_token,
            attention: attention.map(Into::into),
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Attention {
    Causal,
    Block,
}

impl From<Attention> for AttentionKind {
    fn from(attention: Attention) -> Self {
        match attention {
            Attention::Causal => Self::Causal,
            Attention::Block => Self::Block,
        }
    }
}

#[derive(ClapArgs)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) prompt: PromptArgs,
    #[command(flatten)]
    pub(crate) decode: DecodeArgs,
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
pub(crate) struct DecodeArgs {
    /// How tokens are found: auto, ar, greedy, iterative or adaptive.
    #[arg(long, default_value = "auto", value_parser = mode)]
    mode: Mode,
    /// Probability above which a diffusion mode accepts a token [default: the model's own, or 0.9]
    #[arg(long)]
    threshold: Option<f64>,
    /// Positions decoded together [default: the model's own]
    #[arg(long, value_name = "N")]
    block_size: Option<usize>,
    /// Positions of a block worked on at a time [default: 8]
    #[arg(long, value_name = "N")]
    sub_block_size: Option<usize>,
    /// Re-run only the sub-block in most passes (faster, slightly stale)
    #[arg(long)]
    dual_cache: bool,
    /// New tokens at most.
    #[arg(short = 'n', long, value_name = "N")]
    max_tokens: Option<usize>,
    /// 0 takes the likeliest token; above 0 draws.
    #[arg(long, default_value_t = 0.0)]
    temperature: f64,
    /// Draw among this many likeliest tokens; 0 for all.
    #[arg(long, default_value_t = 0, value_name = "K")]
    top_k: usize,
    /// Draw among the likeliest tokens that together have this probability.
    #[arg(long, default_value_t = 1.0, value_name = "P")]
    top_p: f64,
    /// Draw among tokens at least this probable, relative to the likeliest.
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    min_p: f64,
    /// Divides the logits of tokens that occurred; 1 for no penalty.
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    repetition_penalty: f64,
    /// Same seed, same draws. It only matters above temperature 0.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Text that ends the output before it; may be given more than once.
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// How diffusion blocks attend [default: the model's own]
    #[arg(long)]
    pub(crate) attention: Option<Attention>,
}

fn mode(text: &str) -> std::result::Result<Mode, String> {
    serde_json::from_value(text.into()).map_err(|_| "one of auto, ar, greedy, iterative, adaptive".to_owned())
}

impl DecodeArgs {
    pub(crate) fn options(&self) -> Result<Options> {
        let options = Options {
            mode: self.mode,
            threshold: self.threshold,
            block_size: self.block_size,
            sub_block_size: self.sub_block_size,
            dual_cache: self.dual_cache,
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
            stop: self.stop.clone(),
        };
        options.validate()?;
        Ok(options)
    }
}

#[derive(ClapArgs)]
pub(crate) struct ChatArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// The system message.
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    #[command(flatten)]
    pub(crate) decode: DecodeArgs,
}

#[derive(ClapArgs)]
pub(crate) struct TokenizeArgs {
    /// `tiny`, the model inside this program, or a GGUF file (`./tiny` too); only its header is read.
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
    /// Which positions a position sees.
    #[arg(long, default_value = "causal")]
    pub(crate) attention: Attention,
}

#[derive(ClapArgs)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// A line of JSON a case: `answer`, one of `messages`, `prompt` and `tokens`, and `task` if there are several kinds.
    #[arg(value_name = "CASES.jsonl")]
    pub(crate) cases: PathBuf,
    /// Decode modes [default: ar, and those of diffusion if the model can]
    #[arg(long, value_name = "MODE,...", value_delimiter = ',', value_parser = mode)]
    pub(crate) modes: Option<Vec<Mode>>,
    /// Thresholds of the modes that have one.
    #[arg(long, value_name = "T,...", value_delimiter = ',', default_values_t = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0], value_parser = threshold)]
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
    /// Also draw accuracy against speed.
    #[arg(long, value_name = "OUT.svg")]
    pub(crate) svg: Option<PathBuf>,
}

fn threshold(text: &str) -> std::result::Result<f64, String> {
    let number = text.parse().ok().filter(|&number: &f64| number > 0.0 && number <= 1.0);
    number.ok_or_else(|| "above 0 and at most 1".to_owned())
}

#[derive(ClapArgs)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Timed runs of each pass; the median is reported.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
}
