//! A run as a state machine: every step is one forward pass, so that a worker can listen for
//! messages between passes.

#![forbid(unsafe_code)]

use super::block::Block;
use super::constraint::Constraint;
use super::diffusion;
use super::event::{BlockToken, Decision, Event, FinishReason, Outcome, Stats};
use super::guide::Guide;
use super::logprobs::Logprobs;
use super::mode::{Acceptance, Mode};
use super::options::Options;
use super::output::Output;
use super::plan::{DecodingConfig, DiffusionPlan, ModelSize, Plan};
use super::prefix;
use super::sampler::{Choice, Sampler};
use super::session::{Rows, Session};
use super::speculative::Speculation;
use crate::error::Result;
use crate::model::LanguageModel;
use crate::platform::now_ms;
use crate::tokenizer::TokenText;
use std::mem;
use std::ops::Range;

/// Rows in a prefill pass: enough to keep the kernels busy, few enough to cancel soon.
pub(super) const PREFILL_ROWS: usize = 128;

/// After a prefill pass that takes longer, the next has half the rows, but for
/// [`MIN_PREFILL_ROWS`].
const LONG_PASS_MS: f64 = 300.0;

/// With fewer rows, kernels read the weights more often than it pays.
const MIN_PREFILL_ROWS: usize = 16;

/// One run over one prompt.
#[derive(Clone, Debug)]
pub struct Generation {
    plan: Plan,
    prompt: Vec<u32>,
    session: Session,
    sampler: Sampler,
    guide: Guide,
    output: Output,
    phase: Phase,
    /// Rows of the next prefill pass.
    prefill_rows: usize,
    stats: Stats,
}

#[derive(Clone, Debug)]
enum Phase {
    Prefill,
    /// All tokens but the last are in the cache.
    Autoregressive,
    Block(Block),
    /// As `Autoregressive`, with windows that are drafted and verified in turns.
    Draft(Speculation),
    Verify(Speculation),
    Over,
}

impl Generation {
    /// [`Generation::start_constrained`] without a constraint.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn start<M: LanguageModel + ?Sized>(
        model: &mut M,
        session: &mut Session,
        prompt: &[u32],
        options: &Options,
        config: &DecodingConfig,
    ) -> Result<Self> {
        Self::start_constrained(model, session, prompt, options, config, None)
    }

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
    pub fn start_constrained<M: LanguageModel + ?Sized>(
        model: &mut M,
        session: &mut Session,
        prompt: &[u32],
        options: &Options,
        config: &DecodingConfig,
        constraint: Option<Box<dyn Constraint>>,
    ) -> Result<Self> {
        let plan = Plan::new(ModelSize::of(model), prompt, options, config)?;
        let mut session = mem::take(session);
        let reused = session.reuse(model, prompt, plan.attention);
        let entropy = plan.diffusion.is_some_and(|diffusion| diffusion.acceptance == Acceptance::Entropy);
        let mask_token = config.diffusion.map(|diffusion| diffusion.mask_token);
        let mut sampler = Sampler::new(options, mask_token).with_entropy(entropy);
        sampler.observe_prompt(prompt);
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
            evaluated_rows: 0,
            forced_tokens: 0,
            hurried_tokens: 0,
            mode: plan.mode,
            auto_reason: (options.mode == Mode::Auto).then(|| Some(config.auto.as_ref()?.reason.clone())).flatten(),
        };
        let output = Output::new(config.stop_ids.clone(), options.stop.clone(), plan.max_tokens);
        let guide = Guide::new(constraint, &config.stop_ids, plan.max_tokens);
        let prompt = prompt.to_vec();
        let prefill_rows = PREFILL_ROWS;
        let mut run =
            Self { plan, prompt, session, sampler, guide, output, phase: Phase::Prefill, prefill_rows, stats };
        if let Some(plan) = run.plan.diffusion
            && reused >= run.prefill_end()
        {
            run.phase = Phase::Block(run.first_block(&plan));
        }
        Ok(run)
    }

    /// One forward pass, or none where a constraint decides alone. Appends the events it caused;
    /// false when the run is over, and [`Event::Done`] is among them.
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
        let rows = self.session.rows();
        self.phase = match phase {
            Phase::Over => return Ok(false),
            Phase::Prefill => self.prefill(model, text, events)?,
            Phase::Autoregressive => self.next_token(model, text)?,
            Phase::Block(block) => self.block(model, block, text, events)?,
            Phase::Draft(speculation) => self.draft(model, speculation, text, events)?,
            Phase::Verify(speculation) => self.verify(model, speculation, text, events)?,
        };
        let spent = now_ms() - begin;
        if prefill {
            self.stats.prefill_ms += spent;
            if spent > LONG_PASS_MS {
                self.prefill_rows = (self.prefill_rows / 2).max(MIN_PREFILL_ROWS);
            }
        } else {
            self.stats.decode_ms += spent;
            self.stats.evaluated_rows += self.session.rows() - rows;
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

    /// Whether the prompt is still being read.
    pub fn is_prefilling(&self) -> bool {
        matches!(self.phase, Phase::Prefill)
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
        stats.forced_tokens = self.guide.forced;
        stats.hurried_tokens = self.guide.hurried;
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
        let end = total.min(begin + self.prefill_rows.max(block) / block * block);
        // Only the row of the last prompt token predicts something new, and only with shifted
        // logits.
        let shift_logits = self.plan.diffusion.is_none_or(|plan| plan.shift_logits);
        let chooses = shift_logits && end == self.prompt.len() && self.guide.forced()?.is_empty();
        let last = chooses.then(|| end - begin - 1);
        let rows = Rows::committed(begin, &self.prompt[begin..end], last.as_slice());
        let first = self.session.choose_guided(model, rows, &mut self.sampler, &mut self.guide)?;
        events.push(Event::Prefill { done: end, total });
        if end < total {
            return Ok(Phase::Prefill);
        }
        if let Some(first) = &first {
            self.take(first, text)?;
        }
        if self.plan.diffusion.is_none() {
            self.settle(text)?;
        }
        if let Some(plan) = self.plan.speculation {
            return Ok(Phase::Draft(Speculation::new(plan.window)));
        }
        let Some(plan) = self.plan.diffusion else { return Ok(Phase::Autoregressive) };
        let mut block = self.first_block(&plan);
        if let Some(first) = first {
            block.accept(0, first, Decision::Forced);
            events.push(block.event(&self.output_positions(), text));
        }
        Ok(Phase::Block(block))
    }

    /// Adds a chosen token to the output.
    fn take<T: TokenText + ?Sized>(&mut self, choice: &Choice, text: &T) -> Result<()> {
        self.sampler.observe(choice.id);
        self.guide.take(choice.id)?;
        self.push(choice.id, choice.logprobs.as_deref(), text)
    }

    /// Adds a token to the output that the guide knows of. Ends it where nothing may follow.
    fn push<T: TokenText + ?Sized>(&mut self, id: u32, logprobs: Option<&Logprobs>, text: &T) -> Result<()> {
        let last = self.output.tokens.len() + 1 == self.guide.taken();
        let complete = last && self.guide.is_over()?;
        self.output.push(id, logprobs, complete, text);
        Ok(())
    }

    /// Adds what the constraint forces behind the output.
    fn settle<T: TokenText + ?Sized>(&mut self, text: &T) -> Result<()> {
        while self.guide.is_on() && self.output.finished().is_none() {
            let forced = self.guide.forced()?;
            if forced.is_empty() {
                break;
            }
            for id in forced {
                let choice = self.sampler.certain(id);
                self.sampler.observe(id);
                self.guide.take_forced(id)?;
                self.push(id, choice.logprobs.as_deref(), text)?;
            }
        }
        Ok(())
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
        if self.store_forced(model)? {
            return Ok(Phase::Autoregressive);
        }
        let position = self.session.tokens().len();
        let pending = &self.output.tokens[position - self.prompt.len()..];
        let last = [pending.len() - 1];
        let rows = Rows::committed(position, pending, &last);
        if let Some(next) = self.session.choose_guided(model, rows, &mut self.sampler, &mut self.guide)? {
            self.take(&next, text)?;
        }
        self.stats.passes += 1;
        self.settle(text)?;
        Ok(Phase::Autoregressive)
    }

    /// Stores some of the tokens that were forced, if they are too many for one pass.
    fn store_forced<M: LanguageModel + ?Sized>(&mut self, model: &mut M) -> Result<bool> {
        let pending = &self.output.tokens[self.session.tokens().len() - self.prompt.len()..];
        let Some((chunk, [_, ..])) = pending.split_at_checked(PREFILL_ROWS) else { return Ok(false) };
        let chunk = chunk.to_vec();
        self.session.commit(model, &chunk)?;
        self.stats.commits += 1;
        Ok(true)
    }

    /// Drafts a window behind the last known token; without room for two tokens, takes the next.
    fn draft<M: LanguageModel + ?Sized, T: TokenText + ?Sized>(
        &mut self,
        model: &mut M,
        mut speculation: Speculation,
        text: &T,
        events: &mut Vec<Event>,
    ) -> Result<Phase> {
        let Some(plan) = self.plan.speculation else { return Ok(Phase::Over) };
        if self.store_forced(model)? {
            return Ok(Phase::Draft(speculation));
        }
        self.stats.blocks += 1;
        let room = self.plan.max_tokens - self.output.tokens.len();
        if room < 2 {
            return self.verify(model, speculation, text, events);
        }
        let pending = &self.output.tokens[self.session.tokens().len() - self.prompt.len()..];
        speculation.draft_window(model, &mut self.session, pending, (plan.mask, room), &self.guide)?;
        self.stats.passes += 1;
        self.window_event(speculation.draft(), Decision::Drafted, text, events);
        Ok(Phase::Verify(speculation))
    }

    /// Takes what the causal view says about the window that was drafted.
    fn verify<M: LanguageModel + ?Sized, T: TokenText + ?Sized>(
        &mut self,
        model: &mut M,
        mut speculation: Speculation,
        text: &T,
        events: &mut Vec<Event>,
    ) -> Result<Phase> {
        let pending = &self.output.tokens[self.session.tokens().len() - self.prompt.len()..];
        let right = speculation.verify(model, &mut self.session, &mut self.sampler, pending, &mut self.guide)?;
        self.stats.passes += 1;
        self.window_event(&right, Decision::Verified, text, events);
        let before = self.output.tokens.len();
        for choice in &right {
            self.push(choice.id, choice.logprobs.as_deref(), text)?;
        }
        // Of a window that ran past the end, the last token of the output is not in the cache
        // either.
        let pushed = self.output.tokens.len() - before;
        let kept = self.session.tokens().len() - (right.len() - pushed);
        self.session.truncate(model, kept);
        self.settle(text)?;
        Ok(Phase::Draft(speculation))
    }

    /// The event that shows the tokens of a window behind those of the output.
    fn window_event<T: TokenText + ?Sized>(
        &self,
        choices: &[Choice],
        decision: Decision,
        text: &T,
        events: &mut Vec<Event>,
    ) {
        let shown = choices.iter().take(self.plan.max_tokens - self.output.tokens.len());
        let tokens = shown.map(|choice| BlockToken {
            id: choice.id,
            text: text.token_label(choice.id),
            masked: false,
            confidence: choice.probability,
            pass: if decision == Decision::Drafted { 1 } else { 2 },
            decision: Some(decision),
        });
        let start = self.prompt.len() + self.output.tokens.len();
        events.push(Event::Block { index: self.stats.blocks - 1, start, tokens: tokens.collect() });
    }

    fn block<M: LanguageModel + ?Sized, T: TokenText + ?Sized>(
        &mut self,
        model: &mut M,
        mut block: Block,
        text: &T,
        events: &mut Vec<Event>,
    ) -> Result<Phase> {
        let Some(plan) = self.plan.diffusion else { return Ok(Phase::Over) };
        if !self.settle_block(&mut block, text)? {
            let Self { session, sampler, guide, .. } = self;
            if block.first_masked().is_some() {
                diffusion::denoise(model, session, sampler, guide, &mut block, self.plan.mode, &plan)?;
                self.stats.passes += 1;
            } else {
                block = diffusion::commit(model, session, sampler, guide, &block, &plan)?;
                self.stats.commits += 1;
                self.stats.blocks += 1;
            }
            self.settle_block(&mut block, text)?;
        }
        events.push(block.event(&self.output_positions(), text));
        Ok(Phase::Block(block))
    }

    /// Fills rows of the block that the constraint decides, and adds the tokens that have no mask
    /// before them to the output. True when that ended it.
    fn settle_block<T: TokenText + ?Sized>(&mut self, block: &mut Block, text: &T) -> Result<bool> {
        prefix::fill(&mut self.guide, &mut self.sampler, block)?;
        while self.output.finished().is_none() {
            let row = self.prompt.len() + self.output.tokens.len() - block.start();
            let Some(id) = block.known(row) else { break };
            self.push(id, block.logprobs(row), text)?;
        }
        Ok(self.output.finished().is_some())
    }
}
