//! Where runs end, and what is refused before they begin.

#![forbid(unsafe_code)]

use super::*;
use crate::error::ErrorCode;
use crate::testing::test;

const ALL: [Mode; 4] = [Mode::Ar, Mode::Greedy, Mode::Iterative, Mode::Adaptive];

/// Recites `tokens` after a prompt of `start` tokens.
fn reciting(start: usize, tokens: &[u32]) -> FakeModel {
    FakeModel::reciting([vec![(2, 0.5); start], tokens.iter().map(|&t| (t, 0.95)).collect()].concat())
}

#[test]
fn max_tokens_is_exact_and_changes_nothing_before_it() {
    let mut config = config(16, false);
    config.stop_ids.clear();
    for mode in ALL {
        for length in [5, 16] {
            let model = FakeModel::random(11);
            let tokens = |max| run(&model, &prompt(length, 7), &options(mode, 0.7, max), &config).1;
            let longest = tokens(70);
            for max in 1..70 {
                let result = tokens(max);
                assert_eq!(result.finish_reason, FinishReason::Length);
                assert_eq!(result.tokens, longest.tokens[..max]);
                assert_eq!(result.stats.new_tokens, max);
            }
        }
    }
}

#[test]
fn a_stop_token_ends_the_run_at_once() {
    for mode in ALL {
        for start in [5, 32] {
            let spoken = [10, 11, 12, STOP, 13, 14];
            let mut model = reciting(start, &spoken);
            let text = Pieces(Vec::new());
            let (_, result) = run_in(
                &mut model,
                &mut Session::default(),
                &prompt(start, 1),
                &options(mode, 0.9, 60),
                &config(32, false),
                &text,
            );
            assert_eq!(result.finish_reason, FinishReason::Stop);
            assert_eq!(result.tokens, spoken[..4]);
            assert_eq!(result.text, "ijk");
            assert_eq!(result.stats.commits, 0, "the last block is not committed");
        }
    }
}

#[test]
fn a_stop_token_that_is_a_word_adds_no_text() {
    let config = DecodingConfig { stop_ids: vec![12], ..config(8, false) };
    let result = run(&reciting(3, &[10, 11, 12]), &prompt(3, 1), &options(Mode::Greedy, 0.9, 9), &config).1;
    assert_eq!((result.tokens.as_slice(), result.text.as_str()), (&[10, 11, 12][..], "ij"));
}

#[test]
fn a_stop_token_behind_a_mask_waits() {
    // Row 3 is the surest of its sub-block and says stop; the rows before it come one by one.
    let confidence = [0.5, 0.4, 0.3, 0.99, 0.2];
    let tokens = [10, 11, 12, STOP, 13];
    let sequence = [(2, 0.5)].into_iter().chain(tokens.into_iter().zip(confidence)).collect();
    let (events, result) =
        run(&FakeModel::reciting(sequence), &[5], &options(Mode::Iterative, 1.0, 7), &config(8, false));
    assert_eq!(result.tokens, [10, 11, 12, STOP]);
    let first = &blocks(&events)[0].2;
    assert!(!first[3].masked && first[0].masked);
    assert_eq!(result.stats.passes, 6, "stop tokens are all that follows, and surer");
}

#[test]
fn the_first_token_of_a_block_may_be_the_stop_token() {
    // From prefill.
    let result = run(&reciting(8, &[STOP]), &prompt(8, 1), &options(Mode::Greedy, 0.9, 9), &config(8, false)).1;
    assert_eq!((result.tokens, result.stats.passes), (vec![STOP], 0));
    // From a commit.
    let spoken = [3, 4, 5, 6, STOP];
    let result = run(&reciting(4, &spoken), &prompt(4, 1), &options(Mode::Greedy, 0.9, 30), &config(8, false)).1;
    assert_eq!((result.tokens.as_slice(), result.stats.commits, result.stats.passes), (&spoken[..], 1, 1));
}

#[test]
fn stop_strings_are_found_across_tokens_and_blocks() {
    let spoken: Vec<u32> = (2..22).collect();
    for mode in ALL {
        for (stop, expected, tokens) in [("d", "abc", 4), ("cdefghijk", "ab", 11), ("xx", "abcdefghijklmnopqrst", 20)] {
            let stop = Options { stop: vec!["zz".into(), stop.into()], ..options(mode, 0.9, 20) };
            let (events, result) = run(&reciting(3, &spoken), &prompt(3, 1), &stop, &config(4, false));
            assert_eq!(result.text, expected, "{mode:?}");
            assert_eq!(result.tokens, spoken[..tokens]);
            let stopped = tokens < spoken.len();
            assert_eq!(result.finish_reason, if stopped { FinishReason::Stop } else { FinishReason::Length });
            let early: String = events
                .iter()
                .filter_map(|e| if let Event::Text { text, .. } = e { Some(text.as_str()) } else { None })
                .collect();
            assert_eq!(early, expected);
        }
    }
}

#[test]
fn text_that_may_be_a_stop_string_is_held_until_the_end() {
    let stop = Options { stop: vec!["cdz".into()], ..options(Mode::Ar, 0.9, 3) };
    let (events, result) = run(&reciting(1, &[3, 4, 5, 6]), &[5], &stop, &config(4, false));
    assert_eq!(result.text, "bcd");
    let texts: Vec<&Event> = events.iter().filter(|e| matches!(e, Event::Text { .. })).collect();
    assert_eq!(texts, ["b", "cd"].map(|text| Event::Text { text: text.into(), logprobs: Vec::new() }).each_ref());
}

#[test]
fn characters_split_over_tokens_and_blocks_stay_whole() {
    let letters = "é🙂漢";
    let pieces = Pieces([vec![vec![]; 2], letters.bytes().map(|b| vec![b]).collect()].concat());
    let spoken: Vec<u32> = (2..2 + letters.len() as u32).collect();
    for mode in ALL {
        for start in 1..=4 {
            for cut in 1..=spoken.len() {
                let mut model = reciting(start, &spoken);
                let options = options(mode, 0.9, cut);
                let (_, result) = run_in(
                    &mut model,
                    &mut Session::default(),
                    &prompt(start, 1),
                    &options,
                    &config(4, false),
                    &pieces,
                );
                assert_eq!(result.text, String::from_utf8_lossy(&letters.as_bytes()[..cut]));
            }
        }
    }
}

#[test]
fn without_max_tokens_the_context_is_the_limit() {
    let mut config = config(16, false);
    config.stop_ids.clear();
    for (mode, context, expected) in [(Mode::Ar, 100, 90), (Mode::Greedy, 100, 86), (Mode::Greedy, 2000, 512)] {
        let options = Options { mode, ..Options::default() };
        let result = run(&FakeModel::random(3).with_context(context), &prompt(10, 2), &options, &config).1;
        assert_eq!(result.tokens.len(), expected);
    }
}

fn refused(model: &FakeModel, prompt: &[u32], options: &Options, config: &DecodingConfig) -> (ErrorCode, String) {
    let mut session = Session::default();
    let error = Generation::start(&mut model.clone(), &mut session, prompt, options, config).unwrap_err();
    (error.code(), error.message().to_owned())
}

#[test]
fn rejects_what_the_model_cannot_do() {
    let model = FakeModel::random(1).with_context(100);
    let dlm = config(32, false);
    let greedy = options(Mode::Greedy, 0.9, 8);
    type Case<'a> = (&'a [u32], Options, DecodingConfig, ErrorCode, &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        (&[], greedy.clone(), dlm.clone(), ErrorCode::BadOption, &["no tokens"]),
        (&[3, 24], greedy.clone(), dlm.clone(), ErrorCode::BadOption, &["token 24 at index 1", "24"]),
        (&[3; 100], options(Mode::Ar, 0.9, 1), dlm.clone(), ErrorCode::ContextFull, &["100 tokens", "context of 100"]),
        (&[3; 300], Options::default(), dlm.clone(), ErrorCode::ContextFull, &["300 tokens"]),
        (
            &[3; 60],
            options(Mode::Ar, 0.9, 41),
            dlm.clone(),
            ErrorCode::ContextFull,
            &["60 prompt", "41 new", "at most 40"],
        ),
        (
            &[3; 60],
            options(Mode::Greedy, 0.9, 37),
            dlm.clone(),
            ErrorCode::ContextFull,
            &["blocks of 32", "at most 36"],
        ),
        (&[3], options(Mode::Ar, 0.9, usize::MAX), dlm.clone(), ErrorCode::ContextFull, &["at most 99"]),
        (&[3, 4, MASK], greedy.clone(), dlm.clone(), ErrorCode::BadOption, &["token 0 at index 2", "mask token"]),
        (&[MASK], options(Mode::Ar, 0.9, 1), dlm.clone(), ErrorCode::BadOption, &["token 0 at index 0"]),
        (
            &[3],
            Options { steps: Some(9), ..options(Mode::Iterative, 0.9, 8) },
            dlm.clone(),
            ErrorCode::BadOption,
            &["`steps` is 9 with sub-blocks of 8", "at most the positions"],
        ),
        (&[3], greedy.clone(), DecodingConfig::default(), ErrorCode::NoMaskToken, &["mask token", "`ar`"]),
        (
            &[3],
            greedy.clone(),
            DecodingConfig {
                diffusion: dlm.diffusion.map(|d| DiffusionSettings { mask_token: 24, ..d }),
                ..dlm.clone()
            },
            ErrorCode::BadOption,
            &["mask token 24", "vocabulary of 24"],
        ),
        (
            &[3],
            Options { block_size: Some(101), ..greedy.clone() },
            dlm.clone(),
            ErrorCode::BadOption,
            &["`blockSize` is 101", "context length"],
        ),
        (
            &[3],
            Options { sub_block_size: Some(5), ..greedy.clone() },
            dlm.clone(),
            ErrorCode::BadOption,
            &["`subBlockSize` is 5 with blocks of 32", "divides"],
        ),
        (&[3], Options { top_p: 0.0, ..greedy.clone() }, dlm.clone(), ErrorCode::BadOption, &["`topP` is 0"]),
    ];
    for (prompt, options, config, code, words) in cases {
        let (found, message) = refused(&model, prompt, options, config);
        assert_eq!(found, *code, "{message}");
        for word in *words {
            assert!(message.contains(word), "{message} lacks {word}");
        }
    }
    // Just fits.
    run(&model, &[3; 60], &options(Mode::Greedy, 0.9, 36), &dlm);
    run(&model, &[3; 60], &options(Mode::Ar, 0.9, 40), &dlm);
}

#[test]
fn rejects_logits_that_are_not_numbers_in_every_mode() {
    for mode in ALL {
        for length in [3, 8] {
            let mut model = FakeModel::new(std::rc::Rc::new(|_, _| vec![f32::NAN; VOCABULARY]));
            let options = options(mode, 0.9, 9);
            let mut run =
                Generation::start(&mut model, &mut Session::default(), &prompt(length, 1), &options, &config(8, false))
                    .unwrap();
            let error = run.step(&mut model, &Pieces(Vec::new()), &mut Vec::new()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Malformed);
            assert!(error.message().contains(&format!("position {length}")), "{error}");
        }
    }
}

#[test]
fn running_for_a_time_keeps_the_events_before_an_error() {
    let (prompt, config, text) = (prompt(3, 1), config(8, false), Pieces(Vec::new()));
    let start = |fails_at| {
        let mut model = FakeModel::random(1);
        model.fails_at = fails_at;
        let run = Generation::start(&mut model, &mut Session::default(), &prompt, &options(Mode::Ar, 0.9, 9), &config);
        (model, run.unwrap())
    };
    let (mut model, mut run) = start(None);
    let mut expected = Vec::new();
    (0..4).for_each(|_| assert!(run.step(&mut model, &text, &mut expected).unwrap()));

    let (mut model, mut run) = start(Some(4));
    let mut events = Vec::new();
    assert!(run.run_for(&mut model, &text, f64::INFINITY, &mut events).is_err());
    assert_eq!(format!("{events:?}"), format!("{expected:?}"));
    assert_eq!(run.step(&mut model, &text, &mut Vec::new()), Ok(false), "an error ends the run");
    run.cancel(&mut events);
    assert!(matches!(events.last(), Some(Event::Done { result }) if result.finish_reason == FinishReason::Abort));

    let (mut model, mut run) = start(None);
    assert!(run.run_for(&mut model, &text, 0.0, &mut Vec::new()).unwrap());
    assert_eq!(model.passes.len(), 1);
}
