//! A model without weights, whose cache behaves like that of a real one, and an independent decoder
//! to compare with.

#![forbid(unsafe_code)]

use crate::decode::*;
use crate::error::Result;
use crate::model::{Attention, LanguageModel, Pass};
use crate::tokenizer::TokenText;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

/// What the cache holds of a position: its token, and like the keys of a second layer, a digest of
/// all tokens that it saw. Keys that were computed beside masks therefore differ from clean ones.
#[derive(Clone, Copy, Hash)]
pub(super) struct Key {
    pub(super) token: u32,
    digest: u64,
}

/// Logits of the row at a position, from the keys that it sees.
pub(super) type Script = Rc<dyn Fn(usize, &[Key]) -> Vec<f32>>;

/// A pass that was run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) position: usize,
    pub(super) tokens: Vec<u32>,
    pub(super) commit: bool,
    pub(super) logits: Vec<usize>,
}

#[derive(Clone)]
pub(super) struct FakeModel {
    script: Script,
    vocabulary: usize,
    context: usize,
    keys: Vec<Key>,
    committed: usize,
    /// Whether keys depend on other tokens than their own.
    deep: bool,
    output: Vec<f32>,
    pub(super) passes: Vec<Record>,
    /// The pass (from 0) that fails.
    pub(super) fails_at: Option<usize>,
}

pub(super) const VOCABULARY: usize = 24;
pub(super) const MASK: u32 = 0;
pub(super) const STOP: u32 = 1;

fn digest(value: impl Hash) -> u64 {
    let mut hasher = PortableHasher::default();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Hashes sizes alike where they have 32 bits and 64.
#[derive(Default)]
struct PortableHasher(DefaultHasher);

impl Hasher for PortableHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn write_usize(&mut self, size: usize) {
        self.0.write_u64(size as u64);
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

fn visible_end(attention: Attention, position: usize, written: usize) -> usize {
    match attention {
        Attention::Causal => position + 1,
        Attention::Block { size } => written.min((position / size + 1) * size),
        Attention::Full => written,
    }
}

impl FakeModel {
    pub(super) fn new(script: Script) -> Self {
        Self {
            script,
            vocabulary: VOCABULARY,
            context: 512,
            keys: Vec::new(),
            committed: 0,
            deep: true,
            output: Vec::new(),
            passes: Vec::new(),
            fails_at: None,
        }
    }

    /// Random logits from everything that a row sees, now flat, now peaked; the stop token is rare.
    pub(super) fn random(seed: u64) -> Self {
        Self::new(Rc::new(move |position, keys| {
            let mut rng = Pcg64::seed_from_u64(digest((seed, position, keys)));
            let mut uniform = || f64::from(rng.next_u32()) / f64::from(u32::MAX);
            let peak = (uniform() * VOCABULARY as f64) as usize;
            let mut logits: Vec<f32> = (0..VOCABULARY).map(|_| (uniform() * 2.0) as f32).collect();
            logits[peak % VOCABULARY] += (uniform() * 8.0) as f32;
            logits[STOP as usize] -= 2.5;
            logits
        }))
    }

    /// Predicts `sequence[position]` with the probability given there, whatever it sees; the stop
    /// token after its end.
    pub(super) fn reciting(sequence: Vec<(u32, f64)>) -> Self {
        Self::new(Rc::new(move |position, _| {
            let (token, p) = sequence.get(position + 1).copied().unwrap_or((STOP, 0.99));
            let rest = ((1.0 - p) / (VOCABULARY - 2) as f64).ln() as f32;
            let mut logits = vec![rest; VOCABULARY];
            logits[token as usize] = p.ln() as f32;
            logits[MASK as usize] = 3.0;
            logits
        }))
    }

    pub(super) fn shallow(mut self) -> Self {
        self.deep = false;
        self
    }

    pub(super) fn with_context(mut self, context: usize) -> Self {
        self.context = context;
        self
    }

    pub(super) fn tokens(&self) -> Vec<u32> {
        self.keys[..self.committed].iter().map(|k| k.token).collect()
    }

    pub(super) fn rows_run(&self) -> usize {
        self.passes.iter().map(|p| p.tokens.len()).sum()
    }

    /// Logits of one row of `sequence`, everything computed anew.
    fn recompute(&self, sequence: &[u32], attention: Attention, row: usize) -> Vec<f32> {
        let mut fresh = Self { keys: Vec::new(), committed: 0, passes: Vec::new(), fails_at: None, ..self.clone() };
        let pass = Pass { tokens: sequence, position: 0, attention, commit: false, logits: &[row] };
        fresh.forward(&pass).unwrap().to_vec()
    }
}

impl LanguageModel for FakeModel {
    fn vocab_size(&self) -> usize {
        self.vocabulary
    }

    fn context_length(&self) -> usize {
        self.context
    }

    fn committed(&self) -> usize {
        self.committed
    }

    fn truncate(&mut self, length: usize) {
        if length <= self.committed {
            self.committed = length;
            self.keys.truncate(length);
        }
    }

    fn forward(&mut self, pass: &Pass<'_>) -> Result<&[f32]> {
        let &Pass { tokens, position, attention, commit, logits } = pass;
        let end = position + tokens.len();
        assert!(!tokens.is_empty() && end <= self.context, "{pass:?}");
        assert!(
            position == self.committed || (!commit && position > self.committed && end <= self.keys.len()),
            "{pass:?}"
        );
        assert!(logits.is_sorted() && logits.iter().all(|&row| row < tokens.len()), "{pass:?}");
        if let Attention::Block { size } = attention {
            assert!(self.committed.is_multiple_of(size) && (!commit || end.is_multiple_of(size)), "{pass:?}");
        }
        if self.fails_at == Some(self.passes.len()) {
            bail!(OutOfMemory, "no memory for the cache");
        }
        self.passes.push(Record { position, tokens: tokens.to_vec(), commit, logits: logits.to_vec() });
        self.keys.resize(self.keys.len().max(end), Key { token: 0, digest: 0 });
        for (key, &token) in self.keys[position..].iter_mut().zip(tokens) {
            *key = Key { token, digest: 0 };
        }
        if self.deep {
            for q in position..end {
                let seen: Vec<u32> =
                    self.keys[..visible_end(attention, q, self.keys.len())].iter().map(|k| k.token).collect();
                self.keys[q].digest = digest((q, seen));
            }
        }
        let rows = logits.iter().map(|row| position + row);
        self.output =
            rows.flat_map(|q| (self.script)(q, &self.keys[..visible_end(attention, q, self.keys.len())])).collect();
        if commit {
            self.committed = end;
            self.keys.truncate(end);
        }
        Ok(&self.output)
    }
}

/// Token pieces: id `i` has `self.0[i]`, and a letter when the list is shorter. Mask and stop token
/// add no text.
pub(super) struct Pieces(pub(super) Vec<Vec<u8>>);

impl TokenText for Pieces {
    fn token_bytes(&self, id: u32) -> &[u8] {
        const LETTERS: &[u8] = b"..abcdefghijklmnopqrstuvwxyz";
        match id {
            MASK | STOP => b"",
            _ => self.0.get(id as usize).map_or_else(|| &LETTERS[id as usize..][..1], Vec::as_slice),
        }
    }

    fn token_label(&self, id: u32) -> String {
        format!("<{id}>")
    }
}

pub(super) fn config(block_size: usize, causal: bool) -> DecodingConfig {
    let attention = if causal { AttentionKind::Causal } else { AttentionKind::Block };
    let diffusion = DiffusionSettings {
        mask_token: MASK,
        block_size,
        attention,
        shift_logits: true,
        autoregressive: false,
        acceptance: None,
        steps: None,
        threshold: None,
        tokens_per_pass: None,
    };
    DecodingConfig { stop_ids: vec![STOP], diffusion: Some(diffusion), auto: None }
}

/// The same for a model whose rows predict their own positions.
pub(super) fn unshifted(block_size: usize, causal: bool) -> DecodingConfig {
    let config = config(block_size, causal);
    let diffusion = config.diffusion.map(|diffusion| DiffusionSettings { shift_logits: false, ..diffusion });
    DecodingConfig { diffusion, ..config }
}

/// Runs to the end, checking what holds for every run.
pub(super) fn run_in(
    model: &mut FakeModel,
    session: &mut Session,
    prompt: &[u32],
    options: &Options,
    config: &DecodingConfig,
    text: &Pieces,
) -> (Vec<Event>, Outcome) {
    let mut run = Generation::start(model, session, prompt, options, config).unwrap();
    let mut events = Vec::new();
    loop {
        let before = model.passes.len();
        let more = run.step(model, text, &mut events).unwrap();
        assert_eq!(model.passes.len(), before + 1, "a step is one pass");
        if !more {
            break;
        }
    }
    let before = events.len();
    assert_eq!(run.step(model, text, &mut events), Ok(false));
    run.cancel(&mut events);
    assert_eq!(events.len(), before, "nothing happens after the end");
    *session = run.into_session();
    assert_eq!(session.tokens(), model.tokens(), "the session knows what the cache holds");

    let Some(Event::Done { result }) = events.last().cloned() else { panic!("the last event is not done") };
    let emitted: String = events
        .iter()
        .filter_map(|e| if let Event::Text { text, .. } = e { Some(text.as_str()) } else { None })
        .collect();
    assert_eq!(emitted, result.text);
    assert!(!result.tokens.contains(&MASK));
    let sequence = [prompt, &result.tokens].concat();
    assert!(sequence.starts_with(session.tokens()), "no token beyond the result is committed");
    (events, result)
}

/// A run on a fresh cache.
pub(super) fn run(
    model: &FakeModel,
    prompt: &[u32],
    options: &Options,
    config: &DecodingConfig,
) -> (Vec<Event>, Outcome) {
    run_in(&mut model.clone(), &mut Session::default(), prompt, options, config, &Pieces(Vec::new()))
}

/// Argmax token besides the mask, and its probability.
fn best(logits: &[f32]) -> (u32, f64) {
    let sum: f64 = logits[1..].iter().map(|&l| f64::from(l).exp()).sum();
    let (mut id, mut top) = (1, logits[1]);
    for (i, &l) in logits.iter().enumerate().skip(2) {
        if l > top {
            (id, top) = (i as u32, l);
        }
    }
    (id, f64::from(top).exp() / sum)
}

/// The algorithm as specified: no cache, no early end, every pass recomputes the whole sequence;
/// cut to size at the end.
pub(super) fn naive(
    model: &FakeModel,
    prompt: &[u32],
    options: &Options,
    config: &DecodingConfig,
    sub: usize,
) -> Vec<u32> {
    let DiffusionSettings { block_size: size, attention, shift_logits, .. } = config.diffusion.unwrap();
    let attention = attention.of_blocks(size);
    let max = options.max_tokens.unwrap();
    let mut sequence: Vec<Option<u32>> = prompt.iter().map(|&t| Some(t)).collect();
    let logits = |sequence: &[Option<u32>], position: usize| {
        let tokens: Vec<u32> = sequence.iter().map(|t| t.unwrap_or(MASK)).collect();
        best(&model.recompute(&tokens, attention, position - usize::from(shift_logits)))
    };
    while sequence.len() < prompt.len() + max {
        if shift_logits && sequence.len().is_multiple_of(size) {
            let next = logits(&sequence, sequence.len()).0;
            sequence.push(Some(next));
        }
        // With shift, the first token may have filled a block of one.
        let begun = if shift_logits { sequence.len() } else { sequence.len() + 1 };
        let end = begun.next_multiple_of(size);
        sequence.resize(end, None);
        let window = if options.mode == Mode::Greedy { size } else { sub };
        for from in (end - size..end).step_by(window) {
            let mut pass = 0;
            while sequence[from..from + window].contains(&None) {
                pass += 1;
                let rows = (from..from + window).filter(|&q| sequence[q].is_none());
                let found: Vec<(usize, u32, f64)> =
                    rows.map(|q| (q, logits(&sequence, q))).map(|(q, (t, p))| (q, t, p)).collect();
                for (q, token) in accepted(found, options, window, pass) {
                    sequence[q] = Some(token);
                }
            }
        }
    }
    let new: Vec<u32> = sequence[prompt.len()..].iter().map(|t| t.unwrap()).take(max).collect();
    let end = new.iter().position(|&t| t == STOP).map_or(new.len(), |i| i + 1);
    new[..end].to_vec()
}

/// What the `pass`-th pass (from 1) over a window accepts of the positions, tokens and
/// probabilities that it `found`.
fn accepted(found: Vec<(usize, u32, f64)>, options: &Options, window: usize, pass: usize) -> Vec<(usize, u32)> {
    let t = options.threshold.unwrap();
    let t = match (options.mode, pass) {
        (Mode::Greedy, _) => -1.0,
        (Mode::Adaptive, 1) => f64::min(t, f64::max(0.5, t - 0.4)),
        (Mode::Adaptive, 2) => f64::min(t, f64::max(0.7, t - 0.2)),
        _ => t,
    };
    let rule =
        if options.mode == Mode::Greedy { Acceptance::Threshold } else { options.acceptance.unwrap_or_default() };
    let steps = options.steps.unwrap_or(window);
    let share = if rule == Acceptance::Threshold { 1 } else { window / steps + usize::from(pass - 1 < window % steps) };
    let mut best: Vec<_> = found.clone();
    best.sort_by(|a, b| b.2.total_cmp(&a.2));
    let exceeding: Vec<_> = found.into_iter().filter(|f| f.2 > t).collect();
    let taken = if rule == Acceptance::Static || exceeding.len() < share {
        best.truncate(share);
        best
    } else {
        exceeding
    };
    taken.into_iter().map(|(q, token, _)| (q, token)).collect()
}

/// Random tokens besides the mask token.
pub(super) fn prompt(length: usize, seed: u64) -> Vec<u32> {
    let mut rng = Pcg64::seed_from_u64(seed);
    (0..length).map(|_| 1 + rng.next_u32() % (VOCABULARY as u32 - 1)).collect()
}
