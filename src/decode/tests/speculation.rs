//! Mode `speculative` equals mode `ar`.

#![forbid(unsafe_code)]

use super::*;
use crate::testing::test;

const TEXT: Pieces = Pieces(Vec::new());

/// A run, and the same in mode `ar`.
fn both(model: &FakeModel, prompt: &[u32], options: &Options) -> (Outcome, Outcome) {
    let speculative = Options { mode: Mode::Speculative, ..options.clone() };
    let ar = Options { mode: Mode::Ar, block_size: None, ..options.clone() };
    let config = config(32, false);
    (run(model, prompt, &speculative, &config).1, run(model, prompt, &ar, &config).1)
}

#[test]
fn the_tokens_are_those_of_ar_whatever_is_drafted() {
    for seed in 0..80 {
        let options = Options {
            block_size: [None, Some(2), Some(5), Some(40)][seed as usize % 4],
            temperature: [0.0, 1.0][seed as usize % 2],
            repetition_penalty: [1.0, 1.3, 1.0][seed as usize % 3],
            top_p: 0.95,
            seed,
            ..options(Mode::Speculative, 0.9, 1 + seed as usize % 50)
        };
        // Its drafts are made beside masks, which change everything: they are hardly ever right.
        let (a, b) = both(&FakeModel::random(seed), &prompt(1 + seed as usize * 3, seed), &options);
        assert_eq!((a.tokens, a.text, a.finish_reason), (b.tokens, b.text, b.finish_reason), "{options:?}");
    }
}

#[test]
fn right_drafts_are_taken_whole() {
    let sequence: Vec<(u32, f64)> = (0..200).map(|i| (2 + i as u32 % 20, 0.95)).collect();
    let options = Options { block_size: Some(8), ..options(Mode::Speculative, 0.9, 33) };
    let (result, ar) = both(&FakeModel::reciting(sequence), &prompt(10, 1), &options);
    assert_eq!(result.tokens, ar.tokens);
    // One token from prefill, then four windows of eight, each drafted and verified.
    assert_eq!((result.stats.passes, result.stats.blocks, result.stats.evaluated_rows), (8, 4, 64));
}

#[test]
fn windows_show_what_was_drafted_and_what_came_of_it() {
    let sequence: Vec<(u32, f64)> = (0..200).map(|i| (2 + i as u32 % 20, 0.95)).collect();
    let options = Options { block_size: Some(4), ..options(Mode::Speculative, 0.9, 5) };
    let (events, _) = run(&FakeModel::reciting(sequence), &prompt(10, 1), &options, &config(32, false));
    let seen: Vec<_> = blocks(&events)
        .into_iter()
        .map(|(index, start, tokens)| (index, start, tokens.len(), tokens[0].decision, tokens[0].pass))
        .collect();
    assert_eq!(seen, [(0, 11, 3, Some(Decision::Drafted), 1), (0, 11, 4, Some(Decision::Verified), 2)]);
}

#[test]
fn the_cache_serves_ar_and_speculation_alike() {
    let (mut model, mut session) = (FakeModel::random(7), Session::default());
    let text = prompt(60, 7);
    let mut reused = |mode| {
        let options = options(mode, 0.9, 9);
        run_in(&mut model, &mut session, &text, &options, &config(8, false), &TEXT).1.stats.reused_tokens
    };
    assert_eq!([reused(Mode::Ar), reused(Mode::Speculative), reused(Mode::Ar)], [0, 59, 59]);
}

#[test]
fn rejects_models_whose_rows_predict_themselves_and_windows_of_one() {
    let start = |options: &Options, config: &DecodingConfig| {
        Generation::start(&mut FakeModel::random(1), &mut Session::default(), &[5], options, config).unwrap_err()
    };
    let options = options(Mode::Speculative, 0.9, 9);
    let error = start(&options, &unshifted(8, false));
    assert!(error.message().contains("predict their own"), "{error}");
    let error = start(&Options { block_size: Some(1), ..options.clone() }, &config(8, false));
    assert!(error.message().contains("`blockSize` is 1 in mode speculative"), "{error}");
    assert_eq!(start(&options, &DecodingConfig::default()).code(), crate::ErrorCode::NoMaskToken);
}
