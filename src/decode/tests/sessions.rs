//! What a run leaves behind, and how the next one uses it.

#![forbid(unsafe_code)]

use super::*;
use crate::error::ErrorCode;
use crate::testing::test;

const TEXT: Pieces = Pieces(Vec::new());

#[test]
fn a_second_turn_matches_a_fresh_run_and_runs_fewer_rows() {
    for seed in 0..80 {
        for (mode, causal) in
            [(Mode::Ar, true), (Mode::Iterative, false), (Mode::Iterative, true), (Mode::Greedy, false)]
        {
            let config = config(8, causal);
            let (mut model, mut session) = (FakeModel::random(seed), Session::default());
            let options = options(mode, 0.8, 30);
            let mut prompt = prompt(10 + seed as usize, seed);
            let first = run_in(&mut model, &mut session, &prompt, &options, &config, &TEXT).1;
            let held = session.tokens().len();
            assert_eq!(first.stats.reused_tokens, 0);
            if mode == Mode::Ar {
                assert_eq!(held, prompt.len() + first.tokens.len() - 1, "all but the last token");
            }
            prompt.extend(&first.tokens);
            prompt.extend(fake::prompt(seed as usize % 9, seed + 1));
            let mut fresh = FakeModel::random(seed);
            let expected = run_in(&mut fresh, &mut Session::default(), &prompt, &options, &config, &TEXT).1;
            let before = model.rows_run();
            let second = run_in(&mut model, &mut session, &prompt, &options, &config, &TEXT).1;
            assert_eq!((second.tokens, second.text), (expected.tokens, expected.text));
            let whole = if causal { prompt.len() - 1 } else { (prompt.len() - 1) / 8 * 8 };
            assert_eq!(second.stats.reused_tokens, held.min(whole));
            assert!(model.rows_run() - before < fresh.rows_run());
        }
    }
}

#[test]
fn a_prompt_that_departs_keeps_what_is_common() {
    let text = prompt(50, 9);
    let mut other = text.clone();
    other[21] = (other[21] + 1) % VOCABULARY as u32;
    for (mode, expected) in [(Mode::Ar, 21), (Mode::Greedy, 16)] {
        let (mut model, mut session) = (FakeModel::random(9), Session::default());
        let options = options(mode, 0.9, 5);
        run_in(&mut model, &mut session, &text, &options, &config(8, false), &TEXT);
        let result = run_in(&mut model, &mut session, &other, &options, &config(8, false), &TEXT).1;
        assert_eq!(result.stats.reused_tokens, expected);
        assert_eq!(result.tokens, run(&FakeModel::random(9), &other, &options, &config(8, false)).1.tokens);
    }
}

#[test]
fn keys_of_another_attention_or_of_a_reset_model_are_not_reused() {
    let text = prompt(50, 9);
    let (mut model, mut session) = (FakeModel::random(9), Session::default());
    let mut reused = |mode, size, model: &mut FakeModel| {
        let options = options(mode, 0.9, 5);
        let result = run_in(model, &mut session, &text, &options, &config(size, false), &TEXT).1;
        assert_eq!(result.tokens, run(&FakeModel::random(9), &text, &options, &config(size, false)).1.tokens);
        result.stats.reused_tokens
    };
    assert_eq!(reused(Mode::Greedy, 8, &mut model), 0);
    assert_eq!(reused(Mode::Greedy, 8, &mut model), 48);
    assert_eq!(reused(Mode::Greedy, 16, &mut model), 0);
    assert_eq!(reused(Mode::Ar, 16, &mut model), 0);
    assert_eq!(reused(Mode::Ar, 16, &mut model), 49);
    assert_eq!(reused(Mode::Greedy, 16, &mut model), 0);
    assert_eq!(reused(Mode::Greedy, 16, &mut FakeModel::random(9)), 0);
}

#[test]
fn a_run_can_be_cancelled_after_every_step() {
    for mode in [Mode::Ar, Mode::Greedy, Mode::Iterative, Mode::Adaptive] {
        let (text, options, config) = (prompt(300, 2), options(mode, 0.9, 40), config(16, false));
        let whole = run(&FakeModel::random(21), &text, &options, &config).1;
        let mut steps = 0;
        loop {
            let (mut model, mut session) = (FakeModel::random(21), Session::default());
            let mut run = Generation::start(&mut model, &mut session, &text, &options, &config).unwrap();
            let mut events = Vec::new();
            let ended = (0..steps).any(|_| !run.step(&mut model, &TEXT, &mut events).unwrap());
            if ended {
                break;
            }
            run.cancel(&mut events);
            let Some(Event::Done { result }) = events.last() else { panic!("no end") };
            assert_eq!(result.finish_reason, FinishReason::Abort);
            assert!(whole.tokens.starts_with(&result.tokens) && whole.text.starts_with(&result.text));
            let count = events.len();
            run.cancel(&mut events);
            assert_eq!(run.step(&mut model, &TEXT, &mut events), Ok(false));
            assert_eq!(events.len(), count);

            session = run.into_session();
            assert_eq!(session.tokens(), model.tokens());
            let again = run_in(&mut model, &mut session, &text, &options, &config, &TEXT).1;
            assert_eq!(again.tokens, whole.tokens);
            steps += 1;
        }
        assert!(steps > 3, "{mode:?} had {steps} steps");
    }
}

#[test]
fn a_failed_pass_ends_the_run_and_leaves_the_session_usable() {
    for mode in [Mode::Ar, Mode::Iterative] {
        let (text, options, config) = (prompt(150, 2), options(mode, 0.9, 40), config(16, false));
        let whole = run(&FakeModel::random(8), &text, &options, &config).1;
        for fails_at in 0..6 {
            let (mut model, mut session) = (FakeModel::random(8), Session::default());
            model.fails_at = Some(fails_at);
            let mut run = Generation::start(&mut model, &mut session, &text, &options, &config).unwrap();
            let mut events = Vec::new();
            for _ in 0..fails_at {
                assert_eq!(run.step(&mut model, &TEXT, &mut events), Ok(true));
            }
            assert_eq!(run.step(&mut model, &TEXT, &mut events).unwrap_err().code(), ErrorCode::OutOfMemory);
            assert_eq!(run.step(&mut model, &TEXT, &mut events), Ok(false));
            run.cancel(&mut events);
            assert!(
                matches!(events.last(), Some(Event::Done { result }) if result.finish_reason == FinishReason::Abort)
            );

            session = run.into_session();
            model.fails_at = None;
            assert_eq!(run_in(&mut model, &mut session, &text, &options, &config, &TEXT).1.tokens, whole.tokens);
        }
    }
}

#[test]
fn a_refused_run_leaves_the_session_alone() {
    let (mut model, mut session) = (FakeModel::random(9), Session::default());
    let (text, options, config) = (prompt(50, 9), options(Mode::Ar, 0.9, 5), config(8, false));
    run_in(&mut model, &mut session, &text, &options, &config, &TEXT);
    let held = session.tokens().to_vec();
    assert!(Generation::start(&mut model, &mut session, &[], &options, &config).is_err());
    assert_eq!(session.tokens(), held);
    assert_eq!(model.tokens(), held);
}
