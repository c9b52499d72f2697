//! Runs under a toy constraint: strings of a few letters between brackets, with forced tokens.

#![forbid(unsafe_code)]

use super::*;
use crate::error::Result;
use crate::testing::test;

const TEXT: Pieces = Pieces(Vec::new());

/// A graph of states: from each, tokens to others. Where there is one way only, its token is
/// forced.
#[derive(Clone, Debug)]
struct Toy {
    edges: Vec<Vec<(u32, usize)>>,
    accepting: Vec<usize>,
    /// The states that were entered.
    path: Vec<usize>,
}

impl Toy {
    /// `start`, any number of the tokens 4 to 9 in pairs of an even and the next odd one, `end`,
    /// where those are constants.
    fn pairs(start: &[u32], end: &[u32]) -> Self {
        let mut edges: Vec<Vec<(u32, usize)>> =
            start.iter().enumerate().map(|(i, &token)| vec![(token, i + 1)]).collect();
        let heart = edges.len();
        // 4 may be followed by 5 or 7, the others by one token only.
        edges.push(vec![(4, heart + 1), (6, heart + 2), (8, heart + 3), (end[0], heart + 4)]);
        edges.push(vec![(5, heart), (7, heart)]);
        edges.push(vec![(7, heart)]);
        edges.push(vec![(9, heart)]);
        edges.extend(end[1..].iter().enumerate().map(|(i, &token)| vec![(token, heart + 5 + i)]));
        edges.push(Vec::new());
        Self { accepting: vec![edges.len() - 1], edges, path: vec![0] }
    }

    fn boxed(self) -> Option<Box<dyn Constraint>> {
        Some(Box::new(self))
    }

    fn ways(&self) -> &[(u32, usize)] {
        &self.edges[self.path[self.path.len() - 1]]
    }

    /// Whether `tokens` are a text of it, or the beginning of one.
    fn judge(&self, tokens: &[u32]) -> Option<bool> {
        let mut toy = self.clone();
        for &token in tokens {
            toy.advance(token).ok()?;
        }
        Some(toy.is_accepting().unwrap())
    }
}

impl Constraint for Toy {
    fn mask(&mut self) -> Result<TokenSet> {
        Ok(self.ways().iter().map(|way| way.0).collect())
    }

    fn advance(&mut self, token: u32) -> Result<()> {
        let Some(&(_, state)) = self.ways().iter().find(|way| way.0 == token) else {
            bail!(BadOption, "{token} cannot come")
        };
        self.path.push(state);
        Ok(())
    }

    fn rollback(&mut self, tokens: usize) -> Result<()> {
        self.path.truncate(self.path.len() - tokens);
        Ok(())
    }

    fn forced(&mut self) -> Result<Vec<u32>> {
        let (mut toy, mut forced) = (self.clone(), Vec::new());
        while let &[(token, _)] = toy.ways() {
            forced.push(token);
            toy.advance(token)?;
        }
        Ok(forced)
    }

    fn is_accepting(&mut self) -> Result<bool> {
        Ok(self.accepting.contains(&self.path[self.path.len() - 1]))
    }

    fn way_out(&mut self, limit: usize) -> Result<Option<Vec<u32>>> {
        let (mut toy, mut tokens) = (self.clone(), Vec::new());
        while let Some(&(token, _)) = toy.ways().last() {
            tokens.push(token);
            toy.advance(token)?;
        }
        Ok(Some(tokens).filter(|tokens| tokens.len() <= limit))
    }

    fn boxed_clone(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }
}

/// A run under `toy`, which must be what it says.
fn constrained(
    model: &FakeModel,
    toy: &Toy,
    prompt: &[u32],
    options: &Options,
    config: &DecodingConfig,
) -> (Vec<Event>, Outcome) {
    let (mut model, mut session) = (model.clone(), Session::default());
    let mut run =
        Generation::start_constrained(&mut model, &mut session, prompt, options, config, toy.clone().boxed()).unwrap();
    let mut events = Vec::new();
    while run.step(&mut model, &TEXT, &mut events).unwrap() {}
    session = run.into_session();
    assert_eq!(session.tokens(), model.tokens(), "the session knows what the cache holds");
    let Some(Event::Done { result }) = events.last().cloned() else { panic!("the last event is not done") };
    let sequence = [prompt, &result.tokens].concat();
    assert!(sequence.starts_with(session.tokens()), "no token beyond the result is committed: {options:?}");
    let answer = result.tokens.strip_suffix(&[STOP]).unwrap_or(&result.tokens);
    let judged = toy.judge(answer);
    assert_eq!(judged, Some(judged == Some(true)), "{answer:?} is no text of the toy: {options:?}");
    assert!(result.finish_reason == FinishReason::Length || judged == Some(true), "{answer:?}: {options:?}");
    (events, result)
}

const MODES: [Mode; 5] = [Mode::Ar, Mode::Greedy, Mode::Iterative, Mode::Adaptive, Mode::Speculative];

#[test]
fn every_mode_follows_the_constraint() {
    let mut stopped = 0;
    for seed in 0..400u64 {
        let mode = MODES[seed as usize % 5];
        let size = [4, 8, 32][seed as usize / 5 % 3];
        let shifted = mode == Mode::Speculative || seed % 4 > 0;
        let config = if shifted { config(size, seed % 3 == 0) } else { unshifted(size, seed % 3 == 0) };
        let toy =
            Toy::pairs(&[2; 3][..seed as usize % 4], &[10, 11, 12, 13, 14, 15, 16, 17, 18][..1 + seed as usize % 9]);
        let options = Options {
            dual_cache: seed % 2 == 0,
            acceptance: Some(Acceptance::ALL[seed as usize / 7 % 6]),
            temperature: [0.0, 1.0][seed as usize / 3 % 2],
            repetition_penalty: [1.0, 1.2][seed as usize / 11 % 2],
            logprobs: (seed % 13 == 0).then_some(2),
            block_size: (mode != Mode::Speculative).then_some(size),
            seed,
            ..options(mode, [0.3, 0.9, 1.0][seed as usize / 2 % 3], 1 + seed as usize % 60)
        };
        let (_, result) =
            constrained(&FakeModel::random(seed), &toy, &prompt(1 + seed as usize % 40, seed), &options, &config);
        stopped += usize::from(result.finish_reason == FinishReason::Stop);
    }
    assert!(stopped > 300, "{stopped} of 400 answers were complete");
}

#[test]
fn speculation_makes_the_tokens_of_ar() {
    for seed in 0..60u64 {
        let toy = Toy::pairs(&[2, 3], &[10, 11, 12]);
        let options = |mode| Options { temperature: [0.0, 1.0][seed as usize % 2], seed, ..options(mode, 0.9, 40) };
        let run =
            |mode| constrained(&FakeModel::random(seed), &toy, &prompt(9, seed), &options(mode), &config(32, false)).1;
        let (ar, speculative) = (run(Mode::Ar), run(Mode::Speculative));
        assert_eq!((ar.tokens, ar.finish_reason), (speculative.tokens, speculative.finish_reason), "seed {seed}");
    }
}

#[test]
fn a_constant_costs_no_pass_of_its_own() {
    let constant: Vec<u32> = (0..300).map(|i| 2 + i % 20).collect();
    let edges = constant.iter().enumerate().map(|(i, &token)| vec![(token, i + 1)]).chain([Vec::new()]).collect();
    let toy = Toy { edges, accepting: vec![300], path: vec![0] };
    for mode in MODES {
        let options = options(mode, 0.9, 320);
        let (_, result) = constrained(&FakeModel::random(1), &toy, &prompt(9, 1), &options, &config(32, false));
        assert_eq!((&result.tokens, result.finish_reason), (&constant, FinishReason::Stop), "{mode:?}");
        assert_eq!((result.stats.passes, result.stats.forced_tokens), (0, 300), "{mode:?}");
    }
}

#[test]
fn forced_tokens_join_the_next_pass() {
    // Three constants around two choices.
    let mut toy = Toy::pairs(&[2; 5], &[10; 140]);
    toy.edges[5].truncate(1);
    toy.edges[6].iter_mut().for_each(|way| way.1 = 9);
    toy.edges[9] = vec![(10, 10)];
    let (_, result) =
        constrained(&FakeModel::random(3), &toy, &prompt(9, 1), &options(Mode::Ar, 0.9, 200), &config(32, false));
    // What comes behind the choice: nothing has to be run.
    assert_eq!((result.stats.passes, result.stats.forced_tokens), (1, result.tokens.len() - 1), "{:?}", result.tokens);
}

#[test]
fn events_tell_what_was_forced() {
    let toy = Toy::pairs(&[2, 3], &[10, 11, 12]);
    let options = options(Mode::Iterative, 1.0, 40);
    let (events, _) = constrained(&FakeModel::random(5), &toy, &prompt(9, 1), &options, &config(8, false));
    let (_, _, tokens) = blocks(&events)[0];
    let decisions: Vec<_> = tokens.iter().take(2).map(|token| (token.decision, token.pass, token.confidence)).collect();
    assert_eq!(decisions, [(Some(Decision::Constraint), 0, 1.0); 2]);
    assert!(tokens[2].decision != Some(Decision::Constraint));
}

#[test]
fn an_answer_without_an_end_is_finished_before_the_limit() {
    // The model never says the token that ends.
    let sequence: Vec<(u32, f64)> = (0..300).map(|i| (4 + i % 2, 0.95)).collect();
    for mode in MODES {
        for max_tokens in [9, 16, 31, 64] {
            let toy = Toy::pairs(&[2], &[10, 11, 12]);
            let options = options(mode, 0.9, max_tokens);
            let (_, result) =
                constrained(&FakeModel::reciting(sequence.clone()), &toy, &prompt(8, 1), &options, &config(8, false));
            assert_eq!(result.finish_reason, FinishReason::Stop, "{mode:?} {:?}", result.tokens);
            assert!(
                result.stats.hurried_tokens >= 3 && result.tokens.len() >= max_tokens - 2,
                "{mode:?} {:?}",
                result.tokens
            );
        }
    }
}

#[test]
fn a_mask_without_tokens_is_an_error() {
    let toy = Toy { edges: vec![vec![(3, 1), (4, 1)], Vec::new()], accepting: Vec::new(), path: vec![0] };
    let (mut model, mut session) = (FakeModel::random(1), Session::default());
    let (options, config) = (options(Mode::Ar, 0.9, 9), config(8, false));
    let mut run =
        Generation::start_constrained(&mut model, &mut session, &[5], &options, &config, toy.boxed()).unwrap();
    let error = loop {
        match run.step(&mut model, &TEXT, &mut Vec::new()) {
            Ok(more) => assert!(more, "it ended"),
            Err(error) => break error,
        }
    };
    assert!(error.message().contains("cannot write"), "{error}");
}
