//! Writes a model of random weights in the shape of SmolLM2-135M, for benchmarks and load tests.
//!
//! Speed, memory and loading depend on shapes and types, not on what the weights say, so no download is needed to measure
//! them: a checkpoint's tokenizer is enough. The file is valid in every respect, and what the model writes, greedily decoded, is noise
//! without end.
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
use webtern::gguf::GgmlType;
use webtern::{Error, ErrorCode, Result};

/// Writes a GGUF file of random weights in the shape of SmolLM2-135M.
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
    /// How many layers
    #[arg(long, default_value_t = SMOLLM2_135M.layers)]
    layers: usize,
    /// Make it a block-diffusion model with this token as its mask
    #[arg(long, value_name = "ID")]
    mask_token_id: Option<u32>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Type {
    #[value(name = "q2_0")]
    Q2_0,
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
    let tokenizer = tokenizer_metadata(&TokenizerFiles {
        tokenizer: Some(&read("tokenizer.json")?),
        tokenizer_config: Some(&read("tokenizer_config.json")?),
        config: Some(&read("config.json")?),
        ..TokenizerFiles::default()
    })?;
    let model = RandomModel {
        shape: Shape { layers: args.layers, ..SMOLLM2_135M },
        linear: match args.ty {
            Type::Q2_0 => GgmlType::Q2_0,
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
