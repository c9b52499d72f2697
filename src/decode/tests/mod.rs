//! Whole runs on a scripted model.

#![forbid(unsafe_code)]

mod constraints;
mod fake;
mod limits;
mod sessions;
mod speculation;

use super::*;
use crate::testing::test;
use fake::*;

const DIFFUSION: [Mode; 3] = [Mode::Greedy, Mode::Iterative, Mode::Adaptive];

fn options(mode: Mode, threshold: f64, max_tokens: usize) -> Options {
    Options { mode, threshold: Some(threshold), max_tokens: Some(max_tokens), ..Options::default() }
}

fn blocks(events: &[Event]) -> Vec<(usize, usize, &[BlockToken])> {
    let block = |e| {
        if let &Event::Block { index, start, ref tokens } = e { Some((index, start, tokens.as_slice())) } else { None }
    };
    events.iter().filter_map(block).collect()
}

#[test]
fn every_mode_matches_the_naive_decoder() {
    let mut seed = 0;
    for (size, sub) in [(1, 1), (2, 1), (4, 2), (8, 8), (12, 4), (32, 8), (32, 32)] {
        for length in [1, size, size + 1, 2 * size, 3 * size - 1, 31, 32, 33, 70] {
            for mode in DIFFUSION {
                for threshold in [1.0, 0.9, 0.6, 0.2] {
                    seed += 1;
                    let (model, config) = (FakeModel::random(seed), config(size, seed % 3 == 0));
                    let prompt = prompt(length.max(1), seed);
                    let options =
                        Options { sub_block_size: Some(sub), ..options(mode, threshold, 1 + seed as usize % 50) };
                    let (_, result) = run(&model, &prompt, &options, &config);
                    let expected = naive(&model, &prompt, &options, &config, sub);
                    assert_eq!(result.tokens, expected, "{options:?} {config:?} {length} prompt tokens");
                }
            }
        }
    }
}

#[test]
fn rows_that_predict_themselves_match_the_naive_decoder() {
    let mut seed = 1000;
    for (size, sub) in [(1, 1), (4, 2), (4, 4), (12, 4), (32, 8), (32, 32)] {
        for length in [1, size, size + 1, 2 * size, 3 * size - 1, 33] {
            for mode in DIFFUSION {
                for acceptance in [Acceptance::Threshold, Acceptance::Dynamic, Acceptance::Static] {
                    seed += 1;
                    let shifted = seed % 4 == 0;
                    let make = if shifted { config } else { unshifted };
                    let (model, config) = (FakeModel::random(seed), make(size, seed % 3 == 0));
                    let prompt = prompt(length, seed);
                    let options = Options {
                        sub_block_size: Some(sub),
                        acceptance: Some(acceptance),
                        steps: Some(1 + seed as usize % sub),
                        ..options(mode, 0.6, 1 + seed as usize % 50)
                    };
                    let (_, result) = run(&model, &prompt, &options, &config);
                    let expected = naive(&model, &prompt, &options, &config, sub);
                    assert_eq!(result.tokens, expected, "{options:?} {config:?} {length} prompt tokens");
                }
            }
        }
    }
}

/// SDAR's loop with as many steps as positions is `iterative` with one sub-block.
#[test]
fn dynamic_with_a_step_a_position_is_the_threshold_rule() {
    for seed in 0..40 {
        let (model, config) = (FakeModel::random(seed), unshifted(8, false));
        let prompt = prompt(1 + seed as usize, seed);
        let threshold = Options { sub_block_size: Some(8), ..options(Mode::Iterative, 0.7, 30) };
        let dynamic = Options { acceptance: Some(Acceptance::Dynamic), sub_block_size: None, ..threshold.clone() };
        let [a, b] = [threshold, dynamic].map(|options| run(&model, &prompt, &options, &config).1);
        assert_eq!((a.tokens, a.stats.passes), (b.tokens, b.stats.passes));
    }
}

#[test]
fn without_shift_blocks_begin_all_masked_and_commits_predict_nothing() {
    let mut model = FakeModel::new(std::rc::Rc::new(|position, _| {
        (0..VOCABULARY).map(|i| if i == 2 + position % 20 { 9.0 } else { 0.0 }).collect()
    }));
    let options = options(Mode::Iterative, 0.5, 12);
    let text = Pieces(Vec::new());
    let (_, result) = run_in(&mut model, &mut Session::default(), &prompt(8, 3), &options, &unshifted(8, false), &text);
    assert_eq!(result.tokens, (8..20).map(|i| 2 + i % 20).collect::<Vec<u32>>());
    let passes: Vec<_> =
        model.passes.iter().map(|p| (p.position, p.tokens.len(), p.commit, p.logits.clone())).collect();
    let all = || (0..8).collect::<Vec<usize>>();
    assert_eq!(passes, [(0, 8, true, vec![]), (8, 8, false, all()), (8, 8, true, vec![]), (16, 8, false, all())]);
    assert_eq!(model.passes[1].tokens, [MASK; 8]);
    assert_eq!((result.stats.passes, result.stats.commits, result.stats.evaluated_rows), (2, 1, 24));
}

#[test]
fn static_steps_are_as_many_passes() {
    for (steps, passes) in [(1, 1), (3, 3), (8, 8)] {
        let options =
            Options { acceptance: Some(Acceptance::Static), steps: Some(steps), ..options(Mode::Iterative, 0.9, 8) };
        let mut config = unshifted(8, false);
        config.stop_ids.clear();
        assert_eq!(run(&FakeModel::random(2), &prompt(8, 3), &options, &config).1.stats.passes, passes);
    }
}

#[test]
fn a_model_that_recommends_a_schedule_is_not_relaxed_by_auto() {
    let model = FakeModel::random(1);
    let mut config = unshifted(4, false);
    config.diffusion = config.diffusion.map(|d| DiffusionSettings { acceptance: Some(Acceptance::Dynamic), ..d });
    assert_eq!(run(&model, &[5], &options(Mode::Auto, 0.9, 4), &config).1.stats.mode, Mode::Iterative);
}

#[test]
fn ar_matches_blocks_of_one() {
    for seed in 0..60 {
        let model = FakeModel::random(seed);
        let prompt = prompt(1 + seed as usize * 5, seed);
        let ones = config(1, false);
        let mut options = options(Mode::Ar, 0.9, 40);
        let (events, ar) = run(&model, &prompt, &options, &ones);
        assert_eq!(ar.tokens, naive(&model, &prompt, &options, &config(1, true), 1));
        assert!(blocks(&events).is_empty());
        options.temperature = (seed % 2) as f64;
        let drawn = run(&model, &prompt, &options, &ones).1;
        options.mode = Mode::Iterative;
        assert_eq!(run(&model, &prompt, &options, &ones).1.tokens, drawn.tokens);
    }
}

#[test]
fn auto_is_adaptive_on_diffusion_models_only() {
    let model = FakeModel::random(1);
    let mode = |config: &DecodingConfig| run(&model, &[5], &options(Mode::Auto, 0.9, 4), config).1.stats.mode;
    assert_eq!(mode(&config(32, false)), Mode::Adaptive);
    assert_eq!(mode(&DecodingConfig { diffusion: None, ..config(32, false) }), Mode::Ar);
}

#[test]
fn auto_takes_the_faster_mode_and_says_why() {
    let settings = config(32, false).diffusion.unwrap();
    // Blocks pay when 32 rows cost little more than one, and then the more the more tokens a pass
    // accepts.
    for (row, block, tokens_per_pass, expected) in [
        (1.0, 14.0, 5.4, Mode::Ar),
        (1.0, 2.8, 2.6, Mode::Ar),
        (1.0, 2.8, 5.4, Mode::Adaptive),
        (1.0, 1.8, 2.6, Mode::Adaptive),
    ] {
        let choice = PassCosts { row, block }.choose(&settings, tokens_per_pass);
        assert_eq!(choice.mode, expected, "{}", choice.reason);
        let config = DecodingConfig { auto: Some(choice.clone()), ..config(32, false) };
        let stats = |mode| run(&FakeModel::random(1), &[5], &options(mode, 0.9, 4), &config).1.stats;
        assert_eq!((stats(Mode::Auto).mode, stats(Mode::Auto).auto_reason), (expected, Some(choice.reason)));
        assert_eq!((stats(Mode::Greedy).mode, stats(Mode::Greedy).auto_reason), (Mode::Greedy, None));
    }
}

#[test]
fn measuring_costs_leaves_the_cache_alone() {
    let (mut model, mut session) = (FakeModel::random(3), Session::default());
    let options = options(Mode::Ar, 0.9, 5);
    run_in(&mut model, &mut session, &prompt(9, 3), &options, &config(8, false), &Pieces(Vec::new()));
    let (held, settings) = (model.tokens(), config(8, false).diffusion.unwrap());
    let costs = PassCosts::measure(&mut model, &settings).unwrap().unwrap();
    assert!(costs.row >= 0.0 && costs.block >= 0.0);
    assert_eq!(model.tokens(), held);
    let mut full = FakeModel::random(3).with_context(7);
    assert_eq!(PassCosts::measure(&mut full, &settings), Ok(None), "no room for a block");
}

/// Every position has the same confidence: passes per block follow from the thresholds alone.
#[test]
fn thresholds_are_counted_anew_for_each_sub_block() {
    let passes = |mode, confidence: fn(usize) -> f64| {
        let model = FakeModel::reciting((0..200).map(|i| (2 + i as u32 % 20, confidence(i))).collect());
        // 32 prompt tokens: the first block's token 0 comes from prefill. 32 more: exactly one
        // block, no commit.
        let result = run(&model, &prompt(32, 1), &options(mode, 0.9, 32), &config(32, false)).1;
        assert_eq!(result.tokens, (32..64).map(|i| 2 + i % 20).collect::<Vec<u32>>());
        assert_eq!((result.stats.blocks, result.stats.commits), (1, 0));
        result.stats.passes
    };
    assert_eq!(passes(Mode::Greedy, |_| 0.3), 1);
    assert_eq!(passes(Mode::Iterative, |_| 0.95), 4);
    assert_eq!(passes(Mode::Iterative, |_| 0.85), 31);
    assert_eq!(passes(Mode::Adaptive, |_| 0.6), 4);
    // The first pass takes the best only (0.45 < 0.5), the later thresholds are higher still.
    assert_eq!(passes(Mode::Adaptive, |_| 0.45), 31);
    // One weak row per sub-block: pass 1 takes the others, pass 2 the weak one. Had the count gone
    // on, the later sub-blocks would need a pass for every row.
    assert_eq!(passes(Mode::Adaptive, |i| if i % 8 == 3 { 0.45 } else { 0.6 }), 8);
}

#[test]
fn threshold_one_takes_one_token_per_pass_even_of_certain_ones() {
    let certain =
        FakeModel::new(std::rc::Rc::new(|_, _| (0..VOCABULARY).map(|i| if i == 5 { 100.0 } else { 0.0 }).collect()));
    let (events, result) = run(&certain, &[5], &options(Mode::Iterative, 1.0, 7), &config(8, false));
    assert_eq!(blocks(&events)[0].2[0].confidence, 1.0);
    assert_eq!(result.stats.passes, 7);
}

#[test]
fn only_the_rows_that_matter_are_run_and_asked_for() {
    let mut model = FakeModel::reciting((0..200).map(|i| (2 + i as u32 % 20, 0.95)).collect());
    let prompt = prompt(37, 3);
    let text = Pieces(Vec::new());
    let options = options(Mode::Iterative, 0.9, 28);
    run_in(&mut model, &mut Session::default(), &prompt, &options, &config(32, false), &text);
    let passes: Vec<_> =
        model.passes.iter().map(|p| (p.position, p.tokens.len(), p.commit, p.logits.clone())).collect();
    let expected = [
        (0, 32, true, vec![]),
        (32, 32, false, vec![4, 5, 6]),
        (32, 32, false, (7..15).collect()),
        (32, 32, false, (15..23).collect()),
        (32, 32, false, (23..31).collect()),
        (32, 32, true, vec![31]),
    ];
    assert_eq!(passes, expected);
}

#[test]
fn a_prompt_within_one_block_needs_no_prefill() {
    let mut model = FakeModel::random(4);
    let text = Pieces(Vec::new());
    let (events, _) = run_in(
        &mut model,
        &mut Session::default(),
        &[5, 6, 7],
        &options(Mode::Greedy, 0.9, 8),
        &config(32, false),
        &text,
    );
    assert!(!events.iter().any(|e| matches!(e, Event::Prefill { .. })));
    assert_eq!(model.passes.len(), 1);
}

#[test]
fn long_prompts_are_prefilled_in_chunks_of_whole_blocks() {
    for (mode, size, expected) in [
        (Mode::Ar, 32, &[(128, 300), (256, 300), (300, 300)][..]),
        (Mode::Greedy, 32, &[(128, 288), (256, 288), (288, 288)]),
        (Mode::Greedy, 48, &[(96, 288), (192, 288), (288, 288)]),
        (Mode::Greedy, 150, &[(150, 300), (300, 300)]),
    ] {
        let (events, result) =
            run(&FakeModel::random(5), &prompt(300, 5), &options(mode, 0.9, 3), &config(size, false));
        let emitted: Vec<_> = events
            .iter()
            .filter_map(|e| if let &Event::Prefill { done, total } = e { Some((done, total)) } else { None })
            .collect();
        assert_eq!(emitted, expected);
        assert_eq!(result.stats.prompt_tokens, 300);
    }
}

#[test]
fn block_events_show_the_block_fill_up() {
    let model = FakeModel::reciting((0..200).map(|i| (2 + i as u32 % 20, 0.95)).collect());
    let (events, result) = run(&model, &prompt(37, 3), &options(Mode::Iterative, 0.9, 40), &config(32, false));
    let blocks = blocks(&events);
    assert_eq!(blocks.len(), result.stats.passes + result.stats.commits);
    let (index, start, tokens) = blocks[0];
    assert_eq!((index, start, tokens.len()), (0, 37, 27), "without the prompt's tail");
    assert_eq!((tokens[0].decision, tokens[3].decision), (Some(Decision::Accepted), None));
    let summary = |t: &BlockToken| (t.id, t.masked, t.pass, (t.confidence * 100.0).round() as u32);
    assert_eq!(
        tokens[..4].iter().map(summary).collect::<Vec<_>>(),
        [(2 + 37 % 20, false, 1, 95), (2 + 38 % 20, false, 1, 95), (2 + 39 % 20, false, 1, 95), (MASK, true, 0, 0)]
    );
    assert_eq!(tokens[3].text, "<0>");
    // After the commit: the second block with its first token, up to max_tokens.
    let (index, start, tokens) = blocks[4];
    assert_eq!((index, start, tokens.len()), (1, 64, 13));
    assert_eq!((tokens[0].decision, tokens[1].decision), (Some(Decision::Forced), None));
    assert_eq!(
        tokens.iter().map(summary).take(2).collect::<Vec<_>>(),
        [(2 + 64 % 20, false, 0, 95), (MASK, true, 0, 0)]
    );
    let last = blocks[blocks.len() - 1].2;
    assert!(last.iter().all(|t| !t.masked));
}

#[test]
fn the_mask_token_is_never_chosen() {
    for seed in 0..20 {
        let likes_masks = FakeModel::new(std::rc::Rc::new(move |position, keys| {
            let mut logits = vec![0.0; VOCABULARY];
            logits[MASK as usize] = 50.0;
            logits[2 + (position + keys[0].token as usize) % 20] = 1.0 + seed as f32;
            logits
        }));
        for mode in [Mode::Ar, Mode::Greedy, Mode::Iterative, Mode::Adaptive] {
            let mut options = options(mode, 0.9, 40);
            options.temperature = (seed % 2) as f64;
            let result = run(&likes_masks, &[9, 3, 4], &options, &config(8, false)).1;
            assert!(!result.tokens.is_empty() && !result.tokens.contains(&MASK));
        }
    }
}

#[test]
fn seeds_reproduce_in_every_mode() {
    for mode in [Mode::Ar, Mode::Greedy, Mode::Iterative, Mode::Adaptive] {
        let tokens = |seed| {
            let options = Options { temperature: 1.0, top_p: 0.95, seed, ..options(mode, 0.7, 60) };
            let mut config = config(32, false);
            config.stop_ids.clear();
            run(&FakeModel::random(6), &prompt(40, 6), &options, &config).1.tokens
        };
        assert_eq!(tokens(1), tokens(1));
        assert_eq!(tokens(1).len(), 60);
        assert_ne!(tokens(1), tokens(2));
    }
}

#[test]
fn the_penalty_counts_prompt_and_output() {
    // The logits like 9 best, then 8, then 7, wherever they are asked.
    let model =
        FakeModel::new(std::rc::Rc::new(|_, _| (0..VOCABULARY).map(|i| if i < 10 { i as f32 } else { 0.5 }).collect()));
    for mode in [Mode::Ar, Mode::Iterative] {
        let tokens = |penalty, prompt: &[u32]| {
            let options = Options { repetition_penalty: penalty, ..options(mode, 1.0, 4) };
            run(&model, prompt, &options, &config(8, false)).1.tokens
        };
        assert_eq!(tokens(1.0, &[5]), [9, 9, 9, 9]);
        assert_eq!(tokens(100.0, &[8]), [9, 7, 6, 5]);
    }
}

#[test]
fn the_dual_cache_is_exact_where_keys_are_and_runs_fewer_rows() {
    let mut rows = (0, 0);
    for seed in 0..60 {
        for mode in [Mode::Iterative, Mode::Adaptive] {
            let prompt = prompt(1 + seed as usize, seed);
            let make = if seed % 4 < 2 { config } else { unshifted };
            let config = make(32, seed % 2 == 1);
            let plain = options(mode, 0.9, 60);
            let dual = Options { dual_cache: true, ..plain.clone() };
            let text = Pieces(Vec::new());
            // Keys of a shallow model depend on their own token alone, so none can be stale.
            let (mut a, mut b) = (FakeModel::random(seed).shallow(), FakeModel::random(seed).shallow());
            let expected = run_in(&mut a, &mut Session::default(), &prompt, &plain, &config, &text).1;
            let result = run_in(&mut b, &mut Session::default(), &prompt, &dual, &config, &text).1;
            assert_eq!(result.tokens, expected.tokens);
            assert_eq!(result.stats.passes, expected.stats.passes);
            rows = (rows.0 + b.rows_run(), rows.1 + a.rows_run());
            // Stale keys may change tokens, but nothing else; the fake model checks the contract.
            run(&FakeModel::random(seed), &prompt, &dual, &config);
        }
    }
    assert!(rows.0 * 4 < rows.1 * 3, "{rows:?}");
}
