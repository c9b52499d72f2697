//! `webtern eval`: accuracy and speed of each decode mode, as tables and as JSON.

mod endpoint;
mod results;
mod score;

use crate::args::EvalArgs;
use crate::generate::interrupted;
use crate::load;
use crate::output::{failure, line};
use endpoint::Endpoint;
use results::{Answer, Results};
use score::{Case, Score, Setting, answer, evaluate};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;
use webtern::decode::{Mode, Options};
use webtern::engine::Engine;
use webtern::files::write_whole;
use webtern::{Error, ErrorCode, Result};

/// The threshold of the table by task, where it was measured.
const USUAL_THRESHOLD: f64 = 0.9;

pub(crate) fn run(args: &EvalArgs, json: bool) -> Result<()> {
    for &threshold in &args.thresholds {
        Options { threshold: Some(threshold), ..Options::default() }.validate()?;
    }
    let (model, cases) = args.inputs()?;
    let cases = read(cases)?;
    let cases = &cases[..args.limit.map_or(cases.len(), |limit| limit.clamp(1, cases.len()))];
    let mut respondent = match (&model, &args.endpoint) {
        (Some(model), _) => Respondent::Here(Box::new(load::engine(model, &args.load.options()?)?)),
        (None, url) => {
            let endpoint = Endpoint::connect(url.as_deref().unwrap_or_default(), args.api_key.as_deref())?;
            Respondent::There(Box::new(endpoint))
        }
    };
    let modes = args.modes.clone().unwrap_or_else(|| respondent.modes());
    let mut settings = Setting::all(&modes, &args.acceptances, &args.thresholds);
    settings.iter_mut().for_each(|setting| setting.dual_cache = args.dual_cache && setting.mode != Mode::Ar);
    let id = model.map_or_else(|| respondent.name(), |model| model.id());
    let mut results = Results::open(args.results.as_deref(), &id)?;

    let stop = interrupted()?;
    let bar = load::counter("answering", (cases.len() * settings.len()) as u64);
    let mut scores = Vec::new();
    for setting in settings {
        scores.push(evaluate(cases, setting, &mut |case, setting| {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::new(ErrorCode::Aborted, "interrupted"));
            }
            let answer = results.answer(case, setting, || respondent.answer(case, setting))?;
            bar.inc(1);
            if args.wrong && !case.is_answered_by(&answer.text) {
                let (expected, got) = (&case.answer, &answer.text);
                bar.suspend(|| eprintln!("{} {}: {got:?} instead of {expected:?}", label(setting), case.task));
            }
            Ok(answer)
        })?);
    }
    bar.finish_and_clear();

    let (model, kernel) = (respondent.name(), respondent.kernel());
    let report = serde_json::json!({ "model": model, "kernel": kernel, "cases": cases.len(), "scores": scores });
    if let Some(path) = &args.report {
        let write = |out: &mut dyn Write| writeln!(out, "{report}").map_err(|error| failure(path.display(), &error));
        write_whole(path, write)?;
    }
    if json {
        return line(report);
    }
    table(&scores)?;
    tasks(&scores)
}

/// Who answers.
enum Respondent {
    Here(Box<Engine>),
    There(Box<Endpoint>),
}

impl Respondent {
    fn answer(&mut self, case: &Case, setting: &Setting) -> Result<Answer> {
        match self {
            Self::Here(engine) => answer(engine, case, setting),
            Self::There(endpoint) => endpoint.answer(case, setting),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Here(engine) => engine.info().name.clone(),
            Self::There(endpoint) => endpoint.model.clone(),
        }
    }

    fn kernel(&self) -> Option<&'static str> {
        match self {
            Self::Here(engine) => Some(engine.info().kernel),
            Self::There(_) => None,
        }
    }

    /// The modes to measure unless others are asked for.
    fn modes(&self) -> Vec<Mode> {
        match self {
            Self::Here(engine) if engine.info().diffusion.is_some() => {
                vec![Mode::Ar, Mode::Greedy, Mode::Iterative, Mode::Adaptive]
            }
            Self::Here(_) => vec![Mode::Ar],
            Self::There(_) => vec![Mode::Auto],
        }
    }
}

fn read(path: &Path) -> Result<Vec<Case>> {
    let text = std::fs::read_to_string(path).map_err(|error| failure(path.display(), &error))?;
    Case::read_lines(&text).map_err(|error| error.at(path.display()))
}

fn label(setting: &Setting) -> String {
    let rule = setting.acceptance.map_or_else(String::new, |rule| format!(" {}", rule.as_str()));
    let threshold = setting.threshold.map_or_else(String::new, |threshold| format!(" {threshold}"));
    format!("{}{rule}{threshold}", setting.mode.as_str())
}

fn table(scores: &[Score]) -> Result<()> {
    line("mode                     exact match   tokens/s   tokens/pass   rows/token   passes/block")?;
    for score in scores {
        let (label, percent, speed) = (label(&score.setting), score.total.percent(), score.tokens_per_second);
        let per_block = score.passes_per_block.map_or_else(|| "-".to_owned(), |passes| format!("{passes:.2}"));
        let (per_pass, rows) = (score.tokens_per_pass, score.rows_per_token);
        line(format_args!(
            "{label:<24} {percent:>9.1} %   {speed:>8.1}   {per_pass:>11.2}   {rows:>10.1}   {per_block:>12}"
        ))?;
    }
    Ok(())
}

/// The share of right answers by task, for one threshold of each mode.
fn tasks(scores: &[Score]) -> Result<()> {
    let usual = |score: &&Score| score.setting.threshold.is_none_or(|threshold| threshold == USUAL_THRESHOLD);
    let shown: Vec<&Score> = scores.iter().filter(usual).collect();
    let Some(first) = shown.first().filter(|score| score.tasks.len() > 1) else { return Ok(()) };
    let cells = |values: &mut dyn Iterator<Item = String>| values.map(|text| format!("{text:>15}")).collect::<String>();
    line(format_args!(
        "\n{:<15}{:>6}{}",
        "task",
        "cases",
        cells(&mut shown.iter().map(|score| label(&score.setting)))
    ))?;
    for (row, (task, count)) in first.tasks.iter().enumerate() {
        let mut percents = shown.iter().map(|score| format!("{:.1} %", score.tasks[row].1.percent()));
        line(format_args!("{task:<15}{:>6}{}", count.cases, cells(&mut percents)))?;
    }
    Ok(())
}
