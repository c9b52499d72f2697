//! Writes a checkpoint of random weights with SubLN, in the shape and with the tokenizer of
//! another, to test what is done with checkpoints of real sizes.
//!
//! ```sh
//! cargo run --example random_checkpoint -- --like CHECKPOINT_DIR -o DIR && webtern convert DIR -o random.gguf
//! ```

#![forbid(unsafe_code)]

mod file;

use clap::Parser;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind};
use std::path::PathBuf;
use std::process::ExitCode;

/// Writes a checkpoint of random weights with SubLN.
#[derive(Parser)]
struct Args {
    /// A checkpoint's folder with config.json and tokenizer; its weights, if it has any, are not
    /// read
    #[arg(long, value_name = "DIR")]
    like: PathBuf,
    /// The folder to write
    #[arg(short, value_name = "DIR")]
    output: PathBuf,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("random_checkpoint: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(Args { like, output }: &Args) -> io::Result<()> {
    fs::create_dir_all(output)?;
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        let path = like.join(name);
        // Without the permissions of the original, which may be read-only.
        let text = fs::read(&path).map_err(|error| named(&path, error))?;
        fs::write(output.join(name), text)?;
    }
    let config = fs::read(output.join("config.json"))?;
    let config = serde_json::from_slice(&config).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    file::write(&config, BufWriter::new(File::create(output.join("model.safetensors"))?))
}

fn named(path: &std::path::Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
