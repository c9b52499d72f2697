//! A request for text, and its answer as it comes: in one piece, or frame by frame.

#![forbid(unsafe_code)]

use super::error::{ApiError, ApiResult};
use super::fields::Fields;
use super::frame::Frame;
use super::reasoning::{Reasoning, Split};
use super::responses::{self, Conversation};
use super::sampling::{self, Streaming};
use super::tools::{Calls, Found, Tools};
use super::{Endpoint, Moment, Service, chat, completions, format};
use crate::decode::{Event, FinishReason, Mode, Options, Stats, TokenLogprob};
use crate::engine::{Frontend, Prompt};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};

/// What a request asks for, whatever its protocol.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) prompts: Vec<Prompt>,
    /// Answers to each prompt.
    pub(super) choices: usize,
    pub(super) options: Options,
    pub(super) streaming: Streaming,
    /// What the answer may call.
    pub(super) tools: Option<Tools>,
}

/// What an engine needs to answer a request.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The tokens of every prompt.
    pub prompts: Vec<Vec<u32>>,
    /// For every answer the index of its prompt, and the options of its run.
    pub runs: Vec<(usize, Options)>,
}

/// A request for text, read and checked.
#[derive(Clone, Debug)]
pub struct Generate {
    /// What to continue, one or several prompts.
    prompts: Vec<Prompt>,
    /// How.
    options: Options,
    /// Answers to each prompt.
    choices: usize,
    /// What turns events into the answer.
    pub answer: Answer,
}

impl Generate {
    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// 400 that names what is wrong, 404 for another model.
    pub fn read(endpoint: Endpoint, body: &[u8], service: &Service, moment: Moment) -> ApiResult<Self> {
        let mut fields = Fields::read(body)?;
        let (asked, shape) = match endpoint {
            Endpoint::Chat => (chat::read(&mut fields, service, moment.seed)?, Shape::Chat),
            Endpoint::Completions => (completions::read(&mut fields, service, moment.seed)?, Shape::Completions),
            Endpoint::Responses => {
                let (asked, conversation) = responses::read(&mut fields, service, moment)?;
                (asked, Shape::Responses(Box::new(conversation)))
            }
        };
        fields.finish(&sampling::HARMLESS)?;
        let Asked { prompts, choices, options, streaming, tools } = asked;
        let reasoning = service.reasoning && endpoint != Endpoint::Completions;
        let head = Head {
            id: moment.id,
            created: moment.created,
            model: service.model.clone(),
            per_prompt: choices,
            logprobs: options.logprobs.is_some(),
            streaming,
        };
        let count = prompts.len() * choices;
        let answer = Answer {
            head,
            shape,
            reasoning,
            choices: (0..count).map(|_| Choice::new(reasoning, tools.clone())).collect(),
        };
        Ok(Self { prompts, options, choices, answer })
    }

    /// Prompts as tokens, checked with their options. `max_tokens` beyond the context is cut to it.
    ///
    /// # Errors
    ///
    /// As [`Frontend::prepare`], and 400 for a format that cannot be enforced.
    pub fn prepare(&mut self, frontend: &Frontend) -> ApiResult<Prepared> {
        let (path, schema) = match self.answer.shape {
            Shape::Responses(_) => ("text.format", "text.format.schema"),
            _ if self.answer.choices.iter().any(|choice| choice.finder.is_some()) => ("tools", "tools"),
            _ => ("response_format", "response_format.json_schema.schema"),
        };
        // Compiled once for all answers.
        frontend.constraint(&self.options).map_err(|error| format::refused(error, path, schema))?;
        let mut prompts = Vec::with_capacity(self.prompts.len());
        let mut limits = Vec::with_capacity(self.prompts.len());
        for prompt in &self.prompts {
            let mut options = self.options.clone();
            prompts.push(frontend.prepare(prompt, &mut options)?);
            limits.push(options.max_tokens);
        }
        let run = |index: usize| {
            let prompt = self.prompt_of(index);
            (prompt, Options { max_tokens: limits[prompt], ..self.options(index) })
        };
        let runs: Vec<_> = (0..self.count()).map(run).collect();
        if self.answer.reasoning {
            let choices = self.answer.choices.iter_mut().zip(&runs);
            let begun = choices.filter(|(_, (prompt, _))| frontend.begins_reasoning(&prompts[*prompt]));
            begun.for_each(|(choice, _)| choice.splitter = Reasoning::begun());
        }
        Ok(Prepared { prompts, runs })
    }

    /// The prompt and the seed of every run.
    #[cfg(test)]
    pub(super) fn runs(&self) -> Vec<(usize, u64)> {
        (0..self.count()).map(|index| (self.prompt_of(index), self.options(index).seed)).collect()
    }

    /// How many answers to make: each prompt's in turn.
    fn count(&self) -> usize {
        self.prompts.len() * self.choices
    }

    /// The index of the prompt that answer `index` continues.
    fn prompt_of(&self, index: usize) -> usize {
        index / self.choices
    }

    /// The options of answer `index`, whose seed is that of the request plus `index`.
    pub(super) fn options(&self, index: usize) -> Options {
        Options { seed: self.options.seed.wrapping_add(index as u64), ..self.options.clone() }
    }
}

/// What all parts of an answer repeat.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) id: u64,
    pub(super) created: u64,
    pub(super) model: String,
    /// Answers to each prompt.
    pub(super) per_prompt: usize,
    pub(super) logprobs: bool,
    pub(super) streaming: Streaming,
}

impl Head {
    fn id(&self, object: &str) -> String {
        let kind = if object.starts_with("chat") { "chatcmpl" } else { "cmpl" };
        format!("{kind}-{:016x}", self.id)
    }

    /// The name of a call in answer `index`: 24 letters and digits.
    pub(super) fn call_id(&self, index: usize, number: usize) -> String {
        const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut random = Pcg64::seed_from_u64(self.id ^ ((index as u64) << 32) ^ number as u64);
        let letters = (0..24).map(|_| char::from(LETTERS[(random.next_u32() % 62) as usize]));
        format!("call_{}", String::from_iter(letters))
    }

    fn fields(&self, object: &str, choices: Vec<Value>) -> Value {
        json!({
            "id": self.id(object),
            "object": object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": concat!("webtern-", env!("CARGO_PKG_VERSION")),
            "choices": choices,
        })
    }

    /// A chunk of a stream; with `include_usage` all but the last have a `usage` of null.
    pub(super) fn chunk(&self, object: &str, choices: Vec<Value>) -> Frame {
        let mut chunk = self.fields(object, choices);
        if self.streaming.include_usage {
            chunk["usage"] = Value::Null;
        }
        Frame::data(chunk)
    }

    /// The whole answer.
    pub(super) fn body(&self, object: &str, choices: Vec<Value>, usage: Value, told: &[Choice]) -> Value {
        let mut body = self.fields(object, choices);
        body["usage"] = usage;
        body["timings"] = timings(told);
        body
    }
}

/// One answer to one prompt.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) text: String,
    pub(super) reasoning: String,
    pub(super) logprobs: Vec<TokenLogprob>,
    pub(super) calls: Vec<Found>,
    /// What finds them, where there are tools.
    finder: Option<Calls>,
    /// Characters of `text`.
    characters: usize,
    splitter: Reasoning,
    pub(super) finish: Option<FinishReason>,
    pub(super) stats: Option<Stats>,
}

impl Choice {
    fn new(reasoning: bool, tools: Option<Tools>) -> Self {
        Self {
            calls: Vec::new(),
            finder: tools.map(Calls::new),
            text: String::new(),
            reasoning: String::new(),
            logprobs: Vec::new(),
            characters: 0,
            splitter: Reasoning::new(reasoning),
            finish: None,
            stats: None,
        }
    }

    fn take(&mut self, split: &Split) {
        self.reasoning.push_str(&split.reasoning);
        self.text.push_str(&split.content);
        self.characters += split.content.chars().count();
    }

    /// Takes calls out of new text; the end of the answer with `end`.
    fn find_calls(&mut self, split: &mut Split, end: bool) -> Vec<Found> {
        let Some(finder) = &mut self.finder else { return Vec::new() };
        let (mut content, mut calls) = finder.push(&split.content);
        if end {
            let rest = finder.finish();
            content.push_str(&rest.0);
            calls.extend(rest.1);
        }
        split.content = content;
        calls
    }

    pub(super) fn finish_reason(&self) -> Value {
        match self.finish {
            Some(FinishReason::Stop) if !self.calls.is_empty() => "tool_calls".into(),
            Some(FinishReason::Stop) => "stop".into(),
            Some(FinishReason::Length) => "length".into(),
            Some(FinishReason::Abort) | None => Value::Null,
        }
    }
}

#[derive(Clone, Debug)]
enum Shape {
    Chat,
    Completions,
    Responses(Box<Conversation>),
}

/// Turns decode events into the answer that the client asked for.
#[derive(Clone, Debug)]
pub struct Answer {
    head: Head,
    shape: Shape,
    /// Whether reasoning is told apart.
    reasoning: bool,
    choices: Vec<Choice>,
}

impl Answer {
    /// Whether the answer is to be sent in frames.
    pub fn is_streamed(&self) -> bool {
        self.head.streaming.stream
    }

    /// Whether every answer has ended.
    pub fn is_complete(&self) -> bool {
        self.choices.iter().all(|choice| choice.finish.is_some())
    }

    /// The frames before the first token.
    pub fn open(&mut self) -> Vec<Frame> {
        if !self.is_streamed() {
            return Vec::new();
        }
        match &mut self.shape {
            Shape::Chat => (0..self.choices.len()).map(|index| chat::opening(&self.head, index)).collect(),
            Shape::Completions => Vec::new(),
            Shape::Responses(conversation) => conversation.open(),
        }
    }

    /// Takes what happened in the run of answer `index`, and returns the frames that tell it.
    pub fn push(&mut self, index: usize, event: Event) -> Vec<Frame> {
        match event {
            Event::Text { text, logprobs } => {
                let split = self.choices[index].splitter.push(&text);
                self.tell(index, split, logprobs, false)
            }
            Event::Done { result } => {
                let rest = self.choices[index].splitter.finish();
                let mut frames = self.tell(index, rest, Vec::new(), true);
                let choice = &mut self.choices[index];
                choice.finish = Some(result.finish_reason);
                choice.stats = Some(result.stats);
                if self.is_streamed() {
                    match &mut self.shape {
                        Shape::Chat => frames.push(chat::ending(&self.head, index, &self.choices[index])),
                        Shape::Completions => frames.push(completions::ending(&self.head, index, &self.choices[index])),
                        Shape::Responses(_) => {}
                    }
                }
                frames
            }
            Event::Prefill { .. } | Event::Block { .. } => Vec::new(),
        }
    }

    fn tell(&mut self, index: usize, mut split: Split, logprobs: Vec<TokenLogprob>, end: bool) -> Vec<Frame> {
        let streamed = self.is_streamed();
        let choice = &mut self.choices[index];
        let offset = choice.characters;
        let calls = choice.find_calls(&mut split, end);
        choice.take(&split);
        let mut frames = match &mut self.shape {
            _ if !streamed => Vec::new(),
            Shape::Chat => chat::delta(&self.head, index, split, &logprobs),
            Shape::Completions => completions::delta(&self.head, index, &split.content, &logprobs, offset),
            Shape::Responses(conversation) => conversation.delta(&split),
        };
        if streamed {
            frames.extend(chat::calls(&self.head, index, choice.calls.len(), &calls));
        }
        choice.calls.extend(calls);
        choice.logprobs.extend(logprobs);
        frames
    }

    /// The frames after the last token of the last answer.
    pub fn close(&mut self) -> Vec<Frame> {
        let object = match &mut self.shape {
            Shape::Responses(conversation) => return conversation.close(&self.head, &self.choices),
            Shape::Chat => "chat.completion.chunk",
            Shape::Completions => "text_completion",
        };
        let mut frames = Vec::new();
        if self.head.streaming.include_usage {
            let mut chunk = self.head.fields(object, Vec::new());
            chunk["usage"] = usage(&self.head, &self.choices);
            chunk["timings"] = timings(&self.choices);
            frames.push(Frame::data(chunk));
        }
        frames.push(Frame::DONE);
        frames
    }

    /// The frames that end a stream early.
    pub fn fail(&mut self, error: &ApiError) -> Vec<Frame> {
        match &mut self.shape {
            Shape::Responses(conversation) => conversation.fail(error),
            _ => vec![Frame::error(error)],
        }
    }

    /// The whole answer.
    pub fn body(&self) -> Value {
        match &self.shape {
            Shape::Chat => chat::body(&self.head, &self.choices),
            Shape::Completions => completions::body(&self.head, &self.choices),
            Shape::Responses(conversation) => conversation.body(&self.head, &self.choices),
        }
    }
}

/// Tokens of prompts (each once, however many answers it has), of those found in a cache, and of
/// answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) prompt: usize,
    pub(super) cached: usize,
    pub(super) completion: usize,
}

impl Usage {
    pub(super) fn of(head: &Head, choices: &[Choice]) -> Self {
        let mut usage = Self::default();
        for (index, stats) in
            choices.iter().enumerate().filter_map(|(index, choice)| Some((index, choice.stats.as_ref()?)))
        {
            if index % head.per_prompt == 0 {
                usage.prompt += stats.prompt_tokens;
                usage.cached += stats.reused_tokens;
            }
            usage.completion += stats.new_tokens;
        }
        usage
    }
}

pub(super) fn usage(head: &Head, choices: &[Choice]) -> Value {
    let Usage { prompt, cached, completion } = Usage::of(head, choices);
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": { "cached_tokens": cached },
    })
}

/// How the answer was found, which OpenAI's protocol has no place for: sums over all choices.
fn timings(choices: &[Choice]) -> Value {
    let all: Vec<&Stats> = choices.iter().filter_map(|choice| choice.stats.as_ref()).collect();
    let sum = |count: fn(&Stats) -> usize| all.iter().map(|stats| count(stats)).sum::<usize>();
    let (new, decode_ms) = (sum(|stats| stats.new_tokens), all.iter().map(|stats| stats.decode_ms).sum::<f64>());
    json!({
        "mode": all.first().map_or(Mode::Auto, |stats| stats.mode),
        "prompt_ms": all.iter().map(|stats| stats.prefill_ms).sum::<f64>(),
        "predicted_ms": decode_ms,
        "predicted_per_second": if decode_ms > 0.0 { new as f64 / decode_ms * 1e3 } else { 0.0 },
        "passes": sum(|stats| stats.passes),
        "blocks": sum(|stats| stats.blocks),
        "commits": sum(|stats| stats.commits),
        "evaluated_rows": sum(|stats| stats.evaluated_rows),
    })
}
