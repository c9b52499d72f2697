//! `webtern chat`: a conversation on the terminal.

use crate::args::ChatArgs;
use crate::generate::{interrupted, report, stream};
use crate::load;
use crate::output::{failure, line};
use crate::session;
use std::io::{BufRead, IsTerminal, Write, stderr, stdin};
use std::sync::atomic::Ordering;
use webtern::Result;
use webtern::chat::{Message, TemplateArgs};
use webtern::engine::{Prompt, Request};

const HELP: &str = "/reset begins anew, /exit or Ctrl-D ends; Ctrl-C stops an answer";

pub(crate) fn run(args: &ChatArgs, json: bool) -> Result<()> {
    // Before a model is loaded for nothing.
    args.options.validate()?;
    let options = args.options.clone();
    #[cfg(feature = "grammar")]
    let options = webtern::decode::Options { response_format: args.format.read()?, ..options };
    let mut engine = load::for_conversations(&args.model.model, &args.model.options()?)?;
    let stop = &*interrupted()?;
    let system = || args.system.iter().map(|text| Message::new("system", text)).collect::<Vec<_>>();
    let mut dialog = session::open(&engine, args.session.as_deref())?;
    let mut messages = if dialog.messages().is_empty() { system() } else { Vec::new() };
    let interactive = stdin().is_terminal();
    if interactive {
        eprintln!("{HELP}");
    }
    loop {
        if interactive {
            eprint!("> ");
            let _ = stderr().flush();
        }
        let mut input = String::new();
        let read = stdin().lock().read_line(&mut input);
        if read.map_err(|error| failure("standard input", &error))? == 0 {
            return Ok(());
        }
        match input.trim() {
            "" => continue,
            "/exit" => return Ok(()),
            "/reset" => {
                dialog = engine.new_dialog();
                messages = system();
                continue;
            }
            text => messages.push(Message::new("user", text)),
        }
        let request = Request::new(Prompt::Messages(messages.clone(), TemplateArgs::new()), options.clone());
        // Ctrl-C at the prompt means nothing to the answer that comes after it.
        stop.store(false, Ordering::Relaxed);
        let outcome = match stream(&mut engine, &mut dialog, &request, !json, stop) {
            Ok(outcome) => outcome,
            // A message that is too long, say: the user can give another.
            Err(error) if interactive => {
                eprintln!("webtern: {error} [{}]", error.code());
                messages.pop();
                continue;
            }
            Err(error) => return Err(error),
        };
        if json {
            line(serde_json::json!(outcome))?;
        } else {
            line("")?;
            if interactive {
                report(&outcome);
            }
        }
        messages.clear();
        session::save(&engine, args.session.as_deref(), &mut dialog)?;
    }
}
