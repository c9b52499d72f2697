//! Inspecting GGUF files: sound ones, and one for every way in which they go wrong.

use crate::common;
use crate::common::{rewritten, toy};
use std::collections::BTreeMap;
use webtern::findings::{Finding, Severity};
use webtern::gguf::{GgmlType, Metadata, TensorSpec};
use webtern::inspect::{Report, model};
use webtern::quant::{Ternary, encode_ternary, quantize};
use webtern::{Error, ErrorCode};

const NAME: &str = "model.gguf";

fn inspect(file: Vec<u8>) -> Report {
    let mut files: BTreeMap<String, Vec<u8>> = [(NAME.to_owned(), file)].into();
    model(&mut files, NAME, &mut |_, _| Ok(())).unwrap()
}

fn codes(report: &Report) -> Vec<(Severity, &str)> {
    report.findings.iter().map(|finding| (finding.severity, finding.code)).collect()
}

type Tensors = Vec<(TensorSpec, Vec<u8>)>;

/// The toy model, changed.
fn with(change: impl FnOnce(&mut Metadata, &mut Tensors)) -> Report {
    inspect(rewritten(&toy(), change))
}

/// The toy model with other metadata.
fn said(key: &str, value: impl Into<webtern::gguf::Value>) -> Report {
    with(|metadata, _| drop(metadata.insert(key, value)))
}

/// A model with rows that fit every type, whose layers have type `ty` and bytes made by `encode` of
/// the number of weights.
fn layers(ty: GgmlType, encode: impl Fn(usize) -> Vec<u8>) -> Report {
    let mut wide = common::TOY;
    (wide.shape.hidden, wide.shape.head_dim, wide.shape.feed_forward) = (256, 64, 256);
    let file = wide.write(Vec::new(), &common::byte_tokenizer()).unwrap();
    inspect(rewritten(&file, |metadata, tensors| {
        if ty == GgmlType::I2S {
            metadata.insert("general.file_type", 40u32);
        }
        for (spec, bytes) in tensors.iter_mut().filter(|(spec, _)| spec.ty == GgmlType::Q2_0) {
            spec.ty = ty;
            *bytes = encode(spec.dims.iter().product::<u64>() as usize);
        }
    }))
}

/// Weights whose codes repeat, as the bytes of `ty`.
fn ternary(ty: GgmlType, codes: &'static [u8], scale: f32) -> impl Fn(usize) -> Vec<u8> {
    move |weights| {
        let codes = codes.iter().copied().cycle().take(weights).collect();
        let mut bytes = Vec::new();
        encode_ternary(ty, &Ternary { codes, scale }, weights, &mut bytes).unwrap();
        bytes
    }
}

fn remedied(finding: &Finding) -> &str {
    finding.remedy.as_deref().unwrap_or_else(|| panic!("no remedy in {finding:?}"))
}

#[test]
fn a_sound_model_has_no_findings() {
    let report = inspect(toy());
    assert_eq!(
        (report.findings.as_slice(), report.runs, report.mask_token_text.as_deref()),
        (&[][..], true, Some("|<MASK>|"))
    );
    let (ternary, others): (Vec<_>, Vec<_>) = report.tensors.iter().partition(|tensor| tensor.ty == "Q2_0");
    assert!(ternary.len() == 14 && ternary.iter().all(|tensor| tensor.scale.is_some_and(|scale| scale > 0.01)));
    assert!(ternary.iter().all(|tensor| tensor.zeros.is_some_and(|zeros| (0.25..0.4).contains(&zeros))));
    assert!(others.iter().all(|tensor| (tensor.scale, tensor.zeros) == (None, None)));
    let Some(tiny) = common::fixture_bytes("tiny-dlm/tiny-dlm-q2_0.gguf") else { return };
    let notes = [(Severity::Note, "sub-norms"), (Severity::Note, "activation-assumed")];
    assert_eq!(codes(&inspect(tiny)), notes);
}

#[test]
fn every_way_to_ruin_ternary_layers_has_its_name() {
    use Severity::{Problem, Warning};
    const USUAL: &[u8] = &[0, 1, 2];
    let raw = |ty: GgmlType| {
        move |weights: usize| {
            // A few large weights a block, as training leaves them: the others round to zero.
            let value = |i: usize| ((i as f32 * 0.7).sin() + (i as f32 * 0.013).cos()).powi(3);
            let values: Vec<f32> = (0..weights).map(value).collect();
            let mut bytes = Vec::new();
            quantize(ty, &values, &mut bytes).unwrap();
            bytes
        }
    };
    let q2_0 = GgmlType::Q2_0;
    for ty in [q2_0, GgmlType::Tq1_0, GgmlType::Tq2_0, GgmlType::I2S] {
        assert_eq!(codes(&layers(ty, ternary(ty, USUAL, 0.05))), [], "{ty}");
    }
    for ty in [GgmlType::Tq1_0, GgmlType::Tq2_0] {
        assert_eq!(codes(&layers(ty, raw(ty))), [(Problem, "raw-weights")], "{ty}");
    }
    // Four rows a byte, as some builds of bitnet.cpp write them, or damage: code 3 proves a wrong
    // reading.
    let other_layout = layers(GgmlType::I2S, |weights| {
        let mut bytes = ternary(GgmlType::I2S, USUAL, 0.05)(weights);
        bytes[..8].fill(0xFF);
        bytes
    });
    assert_eq!(codes(&other_layout), [(Problem, "unused-code")]);
    assert!(other_layout.findings[0].message.starts_with("32 of "), "{}", other_layout.findings[0].message);
    for (report, expected) in [
        (layers(q2_0, raw(q2_0)), &[(Problem, "raw-weights")][..]),
        (layers(q2_0, ternary(q2_0, &[1], 0.05)), &[(Problem, "all-zero")]),
        (layers(q2_0, ternary(q2_0, USUAL, 0.0)), &[(Problem, "all-zero")]),
        (layers(q2_0, ternary(q2_0, &[0, 2], 0.2)), &[(Warning, "no-zeros")]),
        (layers(q2_0, ternary(q2_0, &[1, 1, 1, 1, 1, 1, 1, 1, 1, 2], 0.2)), &[(Warning, "implausible-zeros")]),
        (layers(q2_0, ternary(q2_0, USUAL, 20.0)), &[(Warning, "implausible-scale")]),
        (layers(q2_0, ternary(q2_0, USUAL, 1.0)), &[(Warning, "lost-scale")]),
        (layers(q2_0, ternary(q2_0, USUAL, 2.0 / 3.0)), &[(Warning, "collapsed-scale")]),
    ] {
        assert_eq!(codes(&report), expected);
        let finding = &report.findings[0];
        // The counts of the last kind are not a whole third in every layer.
        assert!(finding.tensors.len() > 7 && report.runs, "{finding:?}");
        assert!(!remedied(finding).is_empty());
    }
    let broken = layers(q2_0, |weights| vec![0xFF; weights / 64 * 18]);
    assert_eq!((broken.runs, codes(&broken)), (false, vec![(Problem, "malformed")]));
    let three = layers(q2_0, |weights| {
        let mut bytes = ternary(q2_0, USUAL, 0.05)(weights);
        bytes[17] |= 0b11;
        bytes
    });
    assert_eq!(codes(&three), [(Problem, "unused-code")]);
    assert_eq!(three.findings[0].tensors.len(), 14);
    assert!(three.findings[0].message.starts_with("1 of "), "{}", three.findings[0].message);

    // Scales that stand beside the tensors make those in them mean nothing.
    let beside = with(|_, tensors| {
        let mut scales = Vec::new();
        for (spec, bytes) in tensors.iter_mut().filter(|(spec, _)| spec.ty == q2_0) {
            *bytes = ternary(q2_0, USUAL, 1.0)(spec.dims.iter().product::<u64>() as usize);
            let name = spec.name.replace("weight", "scale");
            scales.push((TensorSpec { name, dims: vec![1], ty: GgmlType::F32 }, 0.05f32.to_le_bytes().to_vec()));
        }
        tensors.append(&mut scales);
    });
    assert_eq!((beside.runs, codes(&beside)), (true, vec![]));
}

#[test]
fn headers_tell_what_keeps_a_model_from_running() {
    const PROBLEM: Severity = Severity::Problem;
    let architecture = |name: &'static str| {
        move |metadata: &mut Metadata, _: &mut Tensors| {
            let own: Vec<_> = metadata.iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
            for (key, value) in own {
                if let Some(key) = key.strip_prefix("llama.") {
                    metadata.insert(format!("{name}.{key}"), value);
                }
            }
            metadata.insert("general.architecture", name);
        }
    };
    let bitnet = with(architecture("bitnet"));
    assert_eq!(codes(&bitnet), [(PROBLEM, "sub-norms-missing"), (Severity::Note, "activation-assumed")]);
    assert!(!bitnet.runs && bitnet.findings[0].message.contains("blk.0.attn_sub_norm.weight is missing"));
    assert!(remedied(&bitnet.findings[0]).contains("webtern"));

    let longer = with(|metadata, _| {
        let mut tokens = metadata.require_strings("tokenizer.ggml.tokens").unwrap().to_vec();
        tokens.push("<added>".into());
        metadata.insert("tokenizer.ggml.tokens", tokens);
        metadata.insert("tokenizer.ggml.scores", vec![0f32; 261]);
        let mut types = metadata.require_i32s("tokenizer.ggml.token_type").unwrap();
        types.push(1);
        metadata.insert("tokenizer.ggml.token_type", types);
    });
    assert_eq!((longer.runs, codes(&longer)), (false, vec![(PROBLEM, "vocabulary-mismatch")]));
    assert!(longer.findings[0].message.contains("261 tokens, but tensor token_embd.weight has 260 rows"));
    let size = said("llama.vocab_size", 300u32);
    assert_eq!((size.runs, codes(&size)), (true, vec![(Severity::Warning, "vocabulary-mismatch")]));

    let template = said("tokenizer.chat_template", "{% if %}");
    assert_eq!((template.runs, codes(&template)), (true, vec![(Severity::Warning, "chat-template")]));

    for (report, code, words) in [
        (said("general.architecture", "mamba"), "unsupported-architecture", "\"mamba\""),
        (said("tokenizer.ggml.model", "bert"), "unsupported-architecture", "\"bert\""),
        (said("diffusion.block_size", 0u32), "malformed", "diffusion.block_size"),
        (with(|_, tensors| drop(tensors.pop())), "malformed", "output_norm.weight is missing"),
    ] {
        assert!(!report.runs, "{words}");
        let found = report.findings.iter().any(|finding| finding.code == code && finding.message.contains(words));
        assert!(found, "{words}: {:?}", report.findings);
    }
}

#[test]
fn it_says_whether_it_is_a_diffusion_model() {
    use Severity::{Note, Warning};
    let stops = said("tokenizer.ggml.mask_token_id", 2u32);
    assert_eq!(
        (codes(&stops), &stops.diffusion, stops.modes),
        (vec![(Warning, "mask-token-stops")], &None, &["ar"][..])
    );
    assert!(remedied(&stops.findings[0]).contains("--force-mask-token"));

    // Without the key, and under a name that is not one of the usual.
    let rename = |name: &'static str| {
        with(move |metadata, _| {
            metadata.insert("tokenizer.ggml.mask_token_id", u32::MAX);
            let mut tokens = metadata.require_strings("tokenizer.ggml.tokens").unwrap().to_vec();
            tokens[259] = name.into();
            metadata.insert("tokenizer.ggml.tokens", tokens);
        })
    };
    let (named, nameless) = (rename("<Mask_1>"), rename("<other>"));
    assert_eq!((codes(&named), codes(&nameless)), (vec![(Note, "no-mask-token")], vec![(Note, "no-mask-token")]));
    assert!(remedied(&named.findings[0]).contains("token 259 (<Mask_1>) looks like a mask token"));
    assert!(!remedied(&nameless.findings[0]).contains("looks like"));
    // Under its usual name, but as a piece of text.
    let plain = with(|metadata, _| {
        metadata.insert("tokenizer.ggml.mask_token_id", u32::MAX);
        let mut tokens = metadata.require_strings("tokenizer.ggml.tokens").unwrap().to_vec();
        tokens.swap(100, 259);
        metadata.insert("tokenizer.ggml.tokens", tokens);
        let mut types = metadata.require_i32s("tokenizer.ggml.token_type").unwrap();
        (types[100], types[259]) = (1, 6);
        metadata.insert("tokenizer.ggml.token_type", types);
    });
    assert!(remedied(&plain.findings[0]).contains("token 100 (|<MASK>|) looks like a mask token, and until"));

    let causal = said("diffusion.attention", "causal");
    assert_eq!(codes(&causal), [(Note, "causal-attention")]);
    assert_eq!(causal.modes, ["adaptive", "iterative", "greedy", "ar"]);
    let unshifted = said("diffusion.shift_logits", false);
    assert_eq!((codes(&unshifted), unshifted.modes), (vec![], &["adaptive", "iterative", "greedy"][..]));
    let silent = with(|metadata, _| {
        let kept: Vec<_> = metadata
            .iter()
            .filter(|(key, _)| !key.starts_with("diffusion."))
            .map(|(k, v)| (k.to_owned(), v.clone()))
            .collect();
        *metadata = Metadata::default();
        kept.into_iter().for_each(|(key, value)| drop(metadata.insert(key, value)));
    });
    assert_eq!(codes(&silent), [(Note, "block-size-assumed"), (Note, "attention-assumed"), (Note, "shift-assumed")]);
    assert_eq!(silent.diffusion.unwrap().block_size, 32);
}

#[test]
fn tensors_that_fell_back_to_another_type_are_named() {
    let mut toy = common::TOY;
    toy.shape.feed_forward = 96;
    toy.linear = GgmlType::F16;
    let file = toy.write(Vec::new(), &common::byte_tokenizer()).unwrap();
    let report = inspect(rewritten(&file, |_, tensors| {
        for (spec, bytes) in tensors.iter_mut().filter(|(spec, _)| spec.ty == GgmlType::F16 && spec.dims[0] == 64) {
            spec.ty = GgmlType::Q2_0;
            *bytes = ternary(GgmlType::Q2_0, &[0, 1, 2], 0.05)(spec.dims.iter().product::<u64>() as usize);
        }
    }));
    assert_eq!(codes(&report), [(Severity::Note, "fallback-type")]);
    assert_eq!(report.findings[0].tensors, ["blk.0.ffn_down.weight", "blk.1.ffn_down.weight"]);
    assert!(
        report.findings[0]
            .message
            .contains("rows of 96 weights are not whole blocks of 64 as Q2_0 has them: it is F16")
    );
}

#[test]
fn split_models_are_inspected_as_one_and_can_be_interrupted() {
    let part = |no: u16| {
        rewritten(&toy(), |metadata, tensors| {
            metadata.insert("split.no", no);
            metadata.insert("split.count", 2u16);
            metadata.insert("split.tensors.count", tensors.len() as i32);
            tensors.retain(|(spec, _)| spec.name.starts_with("blk.1.") == (no == 1));
        })
    };
    let name = |no: usize| format!("model-0000{no}-of-00002.gguf");
    let mut files: BTreeMap<String, Vec<u8>> = [(name(1), part(0)), (name(2), part(1))].into();
    let mut seen = Vec::new();
    let report = model(&mut files, &name(1), &mut |done, total| {
        seen.push((done, total));
        Ok(())
    });
    let (report, whole) = (report.unwrap(), inspect(toy()));
    assert_eq!((report.files, report.runs, report.findings.len()), (2, true, 0));
    let zeros = |report: &Report| report.tensors.iter().filter_map(|tensor| tensor.zeros).sum::<f64>();
    assert!((zeros(&report) - zeros(&whole)).abs() < 1e-12);
    let last = seen.last().copied().unwrap();
    assert!(seen.is_sorted() && seen[0] == (0, last.1) && last.0 == last.1 && last.1 > 10_000, "{seen:?}");

    let stopped = model(&mut files, &name(1), &mut |_, _| Err(Error::new(ErrorCode::Aborted, "enough"))).unwrap_err();
    assert_eq!(stopped.code(), ErrorCode::Aborted);
    files.remove(&name(2));
    let missing = model(&mut files, &name(1), &mut |_, _| Ok(())).unwrap_err();
    assert!(missing.code() == ErrorCode::Io && missing.message().contains(&name(2)), "{missing}");
}

#[test]
fn a_tensor_in_two_files_keeps_a_split_model_from_running() {
    let part = |no: u16| {
        rewritten(&toy(), |metadata, tensors| {
            metadata.insert("split.no", no);
            metadata.insert("split.count", 2u16);
            tensors.retain(|(spec, _)| no == 0 || spec.name == "output_norm.weight");
        })
    };
    let name = |no: usize| format!("model-0000{no}-of-00002.gguf");
    let mut files: BTreeMap<String, Vec<u8>> = [(name(1), part(0)), (name(2), part(1))].into();
    let report = model(&mut files, &name(1), &mut |_, _| Ok(())).unwrap();
    assert_eq!((report.runs, codes(&report)), (false, vec![(Severity::Problem, "malformed")]));
    assert!(report.findings[0].message.contains("output_norm.weight is in more than one file"));
}

#[test]
fn damaged_files_are_reported_or_refused() {
    let (file, mut refused, mut faulty) = (toy(), 0, 0);
    // Three bytes in four of a header that says what the weights are, and some of the weights.
    let data = common::header(&file).data_offset as usize;
    for at in (0..data).filter(|at| at % 4 != 0).chain((data..file.len()).step_by(499)) {
        let mut damaged = file.clone();
        damaged[at] ^= 0xFF;
        let mut files: BTreeMap<String, Vec<u8>> = [(NAME.to_owned(), damaged)].into();
        match model(&mut files, NAME, &mut |_, _| Ok(())) {
            Ok(report) => faulty += usize::from(!report.runs),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 100 && faulty > 100, "{refused} refused, {faulty} faulty");
}
