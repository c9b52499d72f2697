//! The `webtern` command line: arguments and printing. Everything else is in the library.
//!
//! Exit codes: 0 ok, 1 failed, 2 bad usage.

#![forbid(unsafe_code)]

mod args;
mod bench;
mod chat;
mod convert;
mod download;
mod eval;
mod generate;
mod inspect;
mod load;
mod logits;
mod model;
mod models;
mod output;
mod perplexity;
#[cfg(feature = "serve")]
mod serve;
mod session;
mod tokenize;
mod verify;

use args::{Args, Command};
use clap::Parser;
use std::process::ExitCode;
use webtern::parallel::{default_threads, pool};
use webtern::{Error, ErrorCode, Result};

fn main() -> ExitCode {
    let (json, result) = match Args::try_parse() {
        Ok(args) => (args.json, run(args)),
        Err(usage) if usage.use_stderr() && std::env::args_os().any(|arg| arg == "--json") => {
            (true, Err(Error::new(ErrorCode::BadOption, usage.to_string())))
        }
        // Help, the version, and wrong usage in clap's own words.
        Err(usage) => usage.exit(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error, json),
    }
}

fn report(error: &Error, json: bool) -> ExitCode {
    let (code, message) = (error.code().as_str(), error.message());
    let printed = json && output::line(serde_json::json!({ "error": { "code": code, "message": message } })).is_ok();
    if !printed {
        eprintln!("webtern: {message} [{code}]");
    }
    ExitCode::from(if error.code() == ErrorCode::BadOption { 2 } else { 1 })
}

fn run(args: Args) -> Result<()> {
    download::configure(args.network());
    let Args { json, threads, command, .. } = args;
    let threads = threads.map_or_else(default_threads, |threads| threads as usize);
    if let Err(error) = pool().grow(threads) {
        eprintln!("webtern: {} of {threads} threads run: {error}", pool().threads());
    }
    match command {
        Command::Models(args) => models::run(&args, json),
        Command::Inspect(args) => inspect::run(&args, json),
        Command::Convert(args) => convert::run(&args, json),
        Command::Verify(args) => verify::run(&args, json),
        Command::Generate(args) => generate::run(&args, json),
        Command::Chat(args) => chat::run(&args, json),
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(&args, json),
        Command::Tokenize(args) => tokenize::run(&args, json),
        Command::Logits(args) => logits::run(&args, json),
        Command::Perplexity(args) => perplexity::run(&args, json),
        Command::Eval(args) => eval::run(&args, json),
        Command::Bench(args) => bench::run(&args, json),
    }
}
