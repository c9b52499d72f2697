//! `webtern generate`: one prompt, streamed.

use crate::args::{GenerateArgs, PromptArgs};
use crate::load;
use crate::output::{line, print as write};
use crate::session;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use webtern::chat::{Message, TemplateArgs};
use webtern::decode::{Event, Options, Outcome};
use webtern::engine::{Dialog, Engine, Prompt, Purpose, Request};
use webtern::{Error, ErrorCode, Result};

pub(crate) fn run(args: &GenerateArgs, json: bool) -> Result<()> {
    // Before a model is loaded for nothing.
    let options = options(args)?;
    let load = if args.prompt.chat.is_some() { load::for_conversations } else { load::engine };
    let mut engine = load(&args.model.model, &args.model.options()?)?;
    let mut dialog = session::open(&engine, args.session.as_deref())?;
    let request = Request::new(prompt(&args.prompt), options);
    let outcome = stream(&mut engine, &mut dialog, &request, !json, &*interrupted()?)?;
    session::save(&engine, args.session.as_deref(), &mut dialog)?;
    if json {
        line(serde_json::json!(outcome))?;
    } else {
        line("")?;
        report(&outcome);
    }
    Ok(())
}

fn options(args: &GenerateArgs) -> Result<Options> {
    args.options.validate()?;
    #[cfg(feature = "grammar")]
    let options = Options { response_format: args.format.read()?, ..args.options.clone() };
    #[cfg(not(feature = "grammar"))]
    let options = args.options.clone();
    Ok(options)
}

fn prompt(args: &PromptArgs) -> Prompt {
    match (&args.prompt, &args.chat, &args.tokens) {
        (Some(text), ..) => Prompt::Text(text.clone()),
        (_, Some(text), _) => Prompt::Messages(vec![Message::new("user", text)], TemplateArgs::new()),
        (.., tokens) => Prompt::Tokens(tokens.clone().unwrap_or_default()),
    }
}

/// Set when the user presses Ctrl-C.
pub(crate) fn interrupted() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    ctrlc::set_handler(move || set.store(true, Ordering::Relaxed))
        .map_err(|error| Error::new(ErrorCode::Io, format!("Ctrl-C cannot be caught: {error}")))?;
    Ok(flag)
}

/// Runs a request to its end, printing text as it comes if `print`. Ctrl-C ends it between two
/// passes.
pub(crate) fn stream(
    engine: &mut Engine,
    dialog: &mut Dialog,
    request: &Request,
    print: bool,
    stop: &AtomicBool,
) -> Result<Outcome> {
    engine.start_dialog(dialog, request, Purpose::Answer)?;
    let mut events = Vec::new();
    loop {
        if stop.swap(false, Ordering::Relaxed) {
            engine.cancel_dialog(dialog, &mut events);
        } else {
            engine.step_dialog(dialog, 0.0, &mut events)?;
        }
        for event in events.drain(..) {
            match event {
                Event::Text { text, .. } if print => write(text)?,
                Event::Done { result } => return Ok(result),
                _ => {}
            }
        }
    }
}

/// A line of figures on standard error.
pub(crate) fn report(outcome: &Outcome) {
    let stats = &outcome.stats;
    if let Some(reason) = &stats.auto_reason {
        eprintln!("[auto chose {}: {reason}]", stats.mode.as_str());
    }
    eprintln!(
        "[{} tokens, {:.1} tokens/s, {} passes + {} commits; prompt {} tokens in {:.0} ms]",
        stats.new_tokens, stats.tokens_per_second, stats.passes, stats.commits, stats.prompt_tokens, stats.prefill_ms
    );
}
