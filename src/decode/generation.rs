//! A run as a state machine: every step is one forward pass, so that a worker can listen for
//! messages between passes.

#![forbid(unsafe_code)]

use super::block::Block;
use super::diffusion;
use super::event::{Event, FinishReason, Outcome, Stats};
use super::options::Options;
use super::output::Output;
use super::plan::{DecodingConfig, DiffusionPlan, Plan};
use super::sampler::Sampler;
use super::session::{Rows, Session};
use crate::error::Result;
use crate::model::LanguageModel;
use crate::platform::now_ms;
use crate::tokenizer::TokenText;
use std::mem;
use std::ops::Range;

/// Rows in a prefill pass: enough to keep the kernels busy, few enough to cancel soon.
const PREFILL_ROWS: usize = 128;

/// One run over one prompt.
#[derive(Clone, Debug)]
pub struct Generation {
    plan: Plan,
    prompt: Vec<u32>,
    session: Session,
    sampler: Sampler,
    output: Output,
    phase: Phase,
    stats: Stats,
}

#[derive(Clone, Debug)]
enum Phase {
    Prefill,
    /// All tokens but the last are in the cache.
    Autoregressive,
    Block(Block),
    Over,
}

impl Generation {
    /// Checks everything, takes over `session` (which stays as it is on an error), and cuts
    /// `model`'s cache to the part that `prompt` shares with it. No forward pass yet.
    ///
    /// All steps must be given the same `model`, and nobody else may use it until the run is over.
    ///
    /// # Errors
    ///
    /// `bad-option` for an option or prompt token out of range and for an empty prompt,
    /// `context-full` when prompt and `max_tokens` do not fit, `no-mask-token` for a diffusion mode
    /// on a model without one.
    pub fn start<M: LanguageModel + ?Sized>(
        model: &mut M,
        session: &mut Session,
        prompt: &[u32],
        options: &Options,
        config: &DecodingConfig,
    ) -> Result<Self> {
        let plan = Plan::new(model, prompt, options, config)?;
        let mut session = mem::take(session);
        let reused = session.reuse(model, prompt, plan.attention);
        let mut sampler = Sampler::new(options, config.diffusion.map(|diffusion| diffusion.mask_token));
        sampler.observe(prompt);
        let stats = Stats {
            prompt_tokens: prompt.len(),
            new_tokens: 0,
            reused_tokens: reused,
            prefill_ms: 0.0,
            decode_ms: 0.0,
            tokens_per_second: 0.0,
            passes: 0,
            blocks: 0,
            commits: 0,
            mode: plan.mode,
        };
        let output = Output::new(config.stop_ids.clone(), options.stop.clone(), plan.max_tokens);
        let prompt = prompt.to_vec();
        let mut run = Self { plan, prompt, session, sampler, output, phase: Phase::Prefill, stats };
        if let Some(plan) = run.plan.diffusion
            && reused >= run.prefill_end()
        {
            run.phase = Phase::Block(run.first_block(&plan));
        }
        Ok(run)
    }

    /// One forward pass. Appends the events it caused; false when the run is over, and
    /// [`Event::Done`] is among them.
    ///
    /// # Errors
    ///
    /// Those of [`LanguageModel::forward`], and `malformed` for logits that are not finite. The run
    /// is then over; [`Generation::cancel`] still gives what there was.
    pub fn step<M: LanguageModel + ?Sized, T: TokenText + ?Sized>(
        &mut self,
        model: &mut M,
        text: &T,
        events: &mut Vec<Event>,
    ) -> Result<bool> {
        let begin = now_ms();
        let phase = mem::replace(&mut self.phase, Phase::Over);
        let prefill = matches!(phase, Phase::Prefill);
        self.phase = match phase {
            Phase::Over => return Ok(false),
            Phase::Prefill => self.prefill(model, text, events)?,
            Phase::Autoregressive => self.next_token(model, text)?,
            Phase::Block(block) => self.block(model, block, text, events)?,
        };
        let spent = now_ms() - begin;
        if prefill {
            self.stats.prefill_ms += spent;
        } else {
            self.stats.decode_ms += spent;
        }
        if let Some(reason) = self.output.finished() {
            self.conclude(reason, events);
            return Ok(false);
        }
        events.extend(self.output.text_event());
        Ok(true)
    }

    /// Steps, at least one, until the run is over or `milliseconds` have passed: for callers to
    /// whom each return costs something. On an error, `events` has those of the steps before it.
    ///
    /// # Errors
    ///
    /// As [`Generation::step`].
    pub fn run_for<M: LanguageModel + ?Sized, T: TokenText + ?Sized>(
        &mut self,
        model: &mut M,
        text: &T,
        milliseconds: f64,
        events: &mut Vec<Event>,
    ) -> Result<bool> {
        let begin = now_ms();
        loop {
            let more = self.step(model, text, events)?;
            if !more || now_ms() - begin >= milliseconds {
                return Ok(more);
            }
        }
    }

    /// Ends the run between two steps: appends the text held back and [`Event::Done`]. Nothing when
    /// it has ended.
    pub fn cancel(&mut self, events: &mut Vec<Event>) {
        if self.output.finished().is_none() {
            self.output.finish(FinishReason::Abort);
            self.conclude(FinishReason::Abort, events);
        }
    }

    /// Gives back the session, which knows what the model's cache holds now, for the next run.
    pub fn into_session(self) -> Session {
        self.session
    }

    fn conclude(&mut self, finish_reason: FinishReason, events: &mut Vec<Event>) {
        self.phase = Phase::Over;
        events.extend(self.output.text_event());
        let mut stats = self.stats.clone();
        stats.new_tokens = self.output.tokens.len();
        if stats.decode_ms > 0.0 {
            stats.tokens_per_second = stats.new_tokens as f64 / stats.decode_ms * 1e3;
        }
        let (text, tokens) = (self.output.text.clone(), self.output.tokens.clone());
        events.push(Event::Done { result: Outcome { text, tokens, finish_reason, stats } });
    }

    /// Prompt tokens that are committed before decoding starts: all, or all whole blocks.
    fn prefill_end(&self) -> usize {
        let block = self.plan.diffusion.map_or(1, |d| d.block);
        self.prompt.len() / block * block
    }

    fn prefill<M: LanguageModel + ?Sized, T: TokenText + ?Sized>(
        &mut self,
        model: &mut M,
        text: &T,
        events: &mut Vec<Event>,
    ) -> Result<Phase> {
        let block = self.plan.diffusion.map_or(1, |d| d.block);
        let begin = self.session.tokens().len();
        let total = self.prefill_end();
        let end = total.min(begin + PREFILL_ROWS.max(block) / block * block);
        // Only the row of the last prompt token predicts something new.
        let last = (end == self.prompt.len()).then(|| end - begin - 1);
        let chunk = &self.prompt[begin..end];
        let first =
            self.session.choose(model, Rows::committed(begin, chunk, last.as_slice()), &mut self.sampler)?.pop();
        events.push(Event::Prefill { done: end, total });
        if end < total {
            return Ok(Phase::Prefill);
        }
        if let Some(first) = first {
            self.sampler.observe(&[first.id]);
            self.output.push(first.id, text);
        }
        let Some(plan) = self.plan.diffusion else { return Ok(Phase::Autoregressive) };
        let mut block = self.first_block(&plan);
        if let Some(first) = first {
            block.accept(0, first);
            events.push(block.event(&self.output_positions(), text));
        }
        Ok(Phase::Block(block))
    }

    /// The block that begins with the prompt's tail.
    fn first_block(&mut self, plan: &DiffusionPlan) -> Block {
        self.stats.blocks = 1;
        let start = self.prefill_end();
        Block::new(0, start, plan.block, &self.prompt[start..], plan.mask)
    }

    /// Positions that the new tokens may take.
    fn output_positions(&self) -> Range<usize> {
        self.prompt.len()..self.prompt.len() + self.plan.max_tokens
    }

    fn next_token<M: LanguageModel + ?Sized, T: TokenText + ?Sized>(
        &mut self,
        model: &mut M,
        text: &T,
    ) -> Result<Phase> {
        let position = self.session.tokens().len();
        let last = &self.output.tokens[position - self.prompt.len()..];
        for next in self.session.choose(model, Rows::committed(position, last, &[0]), &mut self.sampler)? {
            self.sampler.observe(&[next.id]);
            self.output.push(next.id, text);
        }
        self.stats.passes += 1;
        Ok(Phase::Autoregressive)
    }

    fn block<M: LanguageModel + ?Sized, T: TokenText + ?Sized>(
        &mut self,
        model: &mut M,
        mut block: Block,
        text: &T,
        events: &mut Vec<Event>,
    ) -> Result<Phase> {
        let Some(plan) = self.plan.diffusion else { return Ok(Phase::Over) };
        if block.first_masked().is_some() {
            diffusion::denoise(model, &mut self.session, &mut self.sampler, &mut block, self.plan.mode, &plan)?;
            self.stats.passes += 1;
        } else {
            block = diffusion::commit(model, &mut self.session, &mut self.sampler, &block, &plan)?;
            self.stats.commits += 1;
            self.stats.blocks += 1;
        }
        while self.output.finished().is_none()
            && let Some(id) = block.known(self.prompt.len() + self.output.tokens.len() - block.start())
        {
            self.output.push(id, text);
        }
        events.push(block.event(&self.output_positions(), text));
        Ok(Phase::Block(block))
    }
}
