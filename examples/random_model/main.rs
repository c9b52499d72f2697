//! Writes a model of random weights in the shape of SmolLM2-135M or Qwen3-0.6B, for benchmarks and
//! load tests.
//!
//! Speed, memory and loading depend on shapes and types, not on what the weights say, so no
//! download is needed to measure them: a checkpoint's tokenizer is enough. The file is valid in
//! every respect, and what the model writes, greedily decoded, is noise without end.
//!
//! ```sh
//! cargo run --release --example random_model -- --tokenizer CHECKPOINT_DIR --type q2_0 -o random.gguf
//! ```

#![forbid(unsafe_code)]

mod file;

use clap::{Parser, ValueEnum};
use file::{RandomModel, SMOLLM2_135M, Shape};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;
use webtern::convert::{TokenizerFiles, tokenizer_metadata};
use webtern::gguf::{Array, GgmlType, Metadata, Value};
use webtern::{Error, ErrorCode, Result};

/// <https://huggingface.co/Qwen/Qwen3-0.6B>, but for its norms of queries and keys.
const QWEN3_0_6B: Shape = Shape {
    layers: 28,
    hidden: 1024,
    heads: 16,
    kv_heads: 8,
    head_dim: 128,
    feed_forward: 3072,
    context_length: 40960,
};

/// Writes a GGUF file of random weights in the shape of a published model.
#[derive(Parser)]
struct Args {
    /// A checkpoint's folder with tokenizer.json, tokenizer_config.json and config.json
    #[arg(long, value_name = "DIR")]
    tokenizer: PathBuf,
    /// The type of the linear layers; the embedding is Q8_0 and the norms are F32
    #[arg(long = "type", value_enum)]
    ty: Type,
    /// The file to write
    #[arg(short, value_name = "FILE")]
    output: PathBuf,
    /// Same seed, same weights
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Whose shape
    #[arg(long = "shape", value_enum, default_value = "smollm2-135m")]
    model: Model,
    /// How many layers, if not as many as that model
    #[arg(long)]
    layers: Option<usize>,
    /// Tokens: those of the tokenizer are filled up with unused ones
    #[arg(long, default_value_t = 0)]
    vocab: usize,
    /// Give every block of a ternary type its own scale
    #[arg(long)]
    grouped: bool,
    /// Make it a block-diffusion model with this token as its mask
    #[arg(long, value_name = "ID")]
    mask_token_id: Option<u32>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Model {
    #[value(name = "smollm2-135m")]
    SmolLm2,
    #[value(name = "qwen3-0.6b")]
    Qwen3,
}

#[derive(Clone, Copy, ValueEnum)]
enum Type {
    #[value(name = "q2_0")]
    Q2_0,
    #[value(name = "pq2_0")]
    Pq2_0,
    #[value(name = "tq2_0")]
    Tq2_0,
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "q4_0")]
    Q4_0,
    F16,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("random_model: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let read = |name: &str| {
        let path = args.tokenizer.join(name);
        fs::read_to_string(&path).map_err(|error| Error::new(ErrorCode::Io, format!("{}: {error}", path.display())))
    };
    let [json, tokenizer_config, config] = ["tokenizer.json", "tokenizer_config.json", "config.json"].map(read);
    let (json, tokenizer_config, config) = (json?, tokenizer_config?, config?);
    let files = TokenizerFiles {
        tokenizer: Some(&json),
        tokenizer_config: Some(&tokenizer_config),
        config: Some(&config),
        ..TokenizerFiles::default()
    };
    let mut tokenizer = tokenizer_metadata(&files, &mut Vec::new())?;
    pad_vocabulary(&mut tokenizer, args.vocab)?;
    let shape = match args.model {
        Model::SmolLm2 => SMOLLM2_135M,
        Model::Qwen3 => QWEN3_0_6B,
    };
    let model = RandomModel {
        shape: Shape { layers: args.layers.unwrap_or(shape.layers), ..shape },
        grouped: args.grouped,
        linear: match args.ty {
            Type::Q2_0 => GgmlType::Q2_0,
            Type::Pq2_0 => GgmlType::Pq2_0,
            Type::Tq2_0 => GgmlType::Tq2_0,
            Type::Q8_0 => GgmlType::Q8_0,
            Type::Q4_0 => GgmlType::Q4_0,
            Type::F16 => GgmlType::F16,
        },
        mask_token: args.mask_token_id,
        unending: true,
        seed: args.seed,
    };
    let out = File::create(&args.output)
        .map_err(|error| Error::new(ErrorCode::Io, format!("{}: {error}", args.output.display())))?;
    model.write(BufWriter::new(out), &tokenizer)?;
    Ok(())
}

/// Fills the vocabulary up to `vocab` tokens, which are no text.
fn pad_vocabulary(tokenizer: &mut Metadata, vocab: usize) -> Result<()> {
    const UNUSED: i32 = 5;
    let mut tokens = tokenizer.require_strings("tokenizer.ggml.tokens")?.to_vec();
    let Some(Value::Array(Array::I32(types))) = tokenizer.get("tokenizer.ggml.token_type") else { return Ok(()) };
    let mut types = types.clone();
    for place in tokens.len()..vocab {
        tokens.push(format!("[PAD{place}]"));
        types.push(UNUSED);
    }
    tokenizer.insert("tokenizer.ggml.tokens", tokens);
    tokenizer.insert("tokenizer.ggml.token_type", types);
    Ok(())
}
