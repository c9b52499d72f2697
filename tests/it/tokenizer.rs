//! The tokenizer against implementations that are not ours: llama.cpp's test cases, the
//! `tokenizers` package with the original `tokenizer.json`.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use crate::common::{fixture, fixture_bytes, header};
use serde::Deserialize;
use serde_json::{Value, json};
use webtern::convert::{TokenizerFiles, tokenizer_metadata};
use webtern::gguf::Metadata;
use webtern::tokenizer::{EncodeOptions, TokenType, Tokenizer};

const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };
const PARSED: EncodeOptions = EncodeOptions { add_special: false, parse_special: true };

/// `tokenizer.json` and the tokenizer that its conversion gives.
fn converted(folder: &str) -> Option<(String, Tokenizer)> {
    let folder = fixture(folder)?;
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let (json, tokenizer_config, config) = (read("tokenizer.json"), read("tokenizer_config.json"), read("config.json"));
    let files = TokenizerFiles {
        tokenizer: Some(&json),
        tokenizer_config: Some(&tokenizer_config),
        config: Some(&config),
        ..TokenizerFiles::default()
    };
    let tokenizer = Tokenizer::from_metadata(&tokenizer_metadata(&files, &mut Vec::new()).unwrap()).unwrap();
    Some((json, tokenizer))
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
}

/// 10,000 texts with their ids: those that the Python package wrote to `WEBTERN_TOKENIZER_CASES`,
/// else random ones with ids by the Rust library beneath it.
fn cases(name: &str, json: &str) -> Vec<Case> {
    if let Some(folder) = std::env::var_os("WEBTERN_TOKENIZER_CASES") {
        let lines = fs::read_to_string(PathBuf::from(folder).join(format!("{name}.jsonl"))).unwrap();
        return lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    }
    let reference: tokenizers::Tokenizer = json.parse().unwrap();
    let case = |text: String| {
        let ids = reference.encode(text.as_str(), false).unwrap().get_ids().to_vec();
        Case { text, ids }
    };
    random_texts(10_000).map(case).collect()
}

fn random_texts(count: usize) -> impl Iterator<Item = String> {
    const PARTS: [&str; 60] = [
        "the",
        " quick",
        "Hello",
        " world",
        "it's",
        " they'll",
        "we'VE",
        " don't",
        "naïve",
        " Führer",
        "Ελληνικά",
        " България",
        "שלום",
        " مرحبا",
        "नमस्ते",
        "ខ្មែរ",
        "你好世界",
        "カタカナ",
        "한국어",
        "İſ\u{212a}",
        "e\u{301}",
        "\u{308}\u{323}",
        "\u{200d}",
        "\u{feff}",
        "\u{fffd}",
        "\u{10ffff}",
        "\0",
        "\u{85}",
        "\u{a0}",
        "\u{2028}",
        "\u{3000}",
        "😀",
        "👩‍👩‍👧‍👦",
        "👍🏽",
        "🇧🇬",
        "1️⃣",
        "0",
        "42",
        "1,234.5",
        "½Ⅷ²",
        "٤٥٦",
        "  ",
        "       ",
        "\t",
        "\n",
        "\n\n\n",
        "\r\n",
        " \n ",
        "\u{b}",
        "fn main() {\n    x[0] += 1;\n}\n",
        "<div class=\"a\">",
        "->",
        "::",
        "''",
        "?!...",
        "<|im_start|>",
        "<|im_end|>",
        "<|im_end",
        " <|endoftext|> ",
        "|<MASK>|",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    };
    (0..count).map(move |_| {
        let parts = random(16);
        let mut text = String::new();
        for _ in 0..parts {
            match random(8) {
                0 => text.extend(char::from_u32(random(0x11_0000) as u32)),
                1 => text.extend(char::from_u32(random(0x3000) as u32)),
                _ => text.push_str(PARTS[random(PARTS.len() as u64) as usize]),
            }
        }
        text
    })
}

fn assert_matches(name: &str, json: &str, tokenizer: &Tokenizer) {
    let cases = cases(name, json);
    assert!(cases.len() >= 10_000);
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|Case { text, ids }| {
            let got = tokenizer.encode(text, PARSED).unwrap();
            (got != *ids).then(|| format!("{text:?}\n  expected {ids:?}\n  got      {got:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{name}: {} of {} differ, such as {}", wrong.len(), cases.len(), wrong[0]);

    // Characters of which the vocabulary has every byte come back.
    let mut known = HashMap::new();
    let mut lossless = |&c: &char| {
        *known.entry(c).or_insert_with(|| {
            let ids = tokenizer.encode(&c.to_string(), PLAIN).unwrap();
            tokenizer.decode(&ids, false).unwrap() == c.to_string()
        })
    };
    for Case { text, .. } in &cases {
        let text: String = text.chars().filter(&mut lossless).collect();
        let parsed = tokenizer.encode(&text, PARSED).unwrap();
        assert_eq!(tokenizer.decode(&parsed, false).unwrap(), text);
        let plain = tokenizer.encode(&text, PLAIN).unwrap();
        assert_eq!(tokenizer.decode(&plain, true).unwrap(), text);
        assert!(plain.iter().all(|&id| tokenizer.token_type(id) == Some(TokenType::Normal)), "{text:?}");
    }
}

#[test]
fn smollm2_matches_the_tokenizers_package() {
    let Some((json, tokenizer)) = converted("smollm2-135m-dlm-subln") else { return };
    assert_eq!(tokenizer.len(), 49_152);
    // tokenizer_config.json ends texts with 0, config.json with 2.
    // `<|endoftext|>`, `<|im_end|>`, and by llama.cpp's rule `<reponame>`.
    assert_eq!(tokenizer.stop_ids(), [0, 2, 4]);
    assert_matches("smollm2", &json, &tokenizer);
}

#[test]
fn tiny_dlm_matches_the_tokenizers_package() {
    let Some((json, tokenizer)) = converted("tiny-dlm/checkpoint") else { return };
    assert_eq!(tokenizer.mask_token(Default::default()), Ok(Some(3)));
    assert_matches("tiny-dlm", &json, &tokenizer);
}

/// The metadata of a GGUF fixture.
fn metadata(file: &str) -> Option<Metadata> {
    fixture_bytes(file).map(|bytes| header(&bytes).metadata)
}

#[test]
fn vocabularies_match_llama_cpp() {
    for name in ["gpt-2", "llama-spm"] {
        let file = format!("vocab/ggml-vocab-{name}.gguf");
        let Some(metadata) = metadata(&file) else { return };
        let tokenizer = Tokenizer::from_metadata(&metadata).unwrap();
        let read = |end: &str| fixture(&format!("{file}.{end}")).map(|path| fs::read_to_string(path).unwrap());
        let (Some(texts), Some(ids)) = (read("inp"), read("out")) else { return };
        let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
        // The last separator ends the file.
        let texts = &texts[..texts.len() - 1];
        assert_eq!(texts.len(), ids.lines().count());
        for (text, ids) in texts.iter().zip(ids.lines()) {
            let expected: Vec<u32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
            let got = tokenizer.encode(text, PLAIN).unwrap();
            assert_eq!(got, expected, "{name}: {text:?}");
            assert_eq!(tokenizer.decode(&got, true).unwrap(), *text, "{name}");
        }
    }
}

/// A `tokenizer.json` for a sentencepiece vocabulary: each way to put a token together is a merge,
/// best score first.
fn as_json(metadata: &Metadata) -> Value {
    let tokens = metadata.require_strings("tokenizer.ggml.tokens").unwrap();
    let types = metadata.require_i32s("tokenizer.ggml.token_type").unwrap();
    let scores = metadata.require_f32s("tokenizer.ggml.scores").unwrap();
    let normal: HashMap<&str, f32> = tokens
        .iter()
        .zip(types.iter().zip(&scores))
        .filter_map(|(token, (&kind, &score))| (kind == 1).then_some((token.as_str(), score)))
        .collect();
    let mut merges: Vec<(f32, &str, &str)> = Vec::new();
    for token in tokens {
        let splits = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let known = splits.filter(|(left, right)| normal.contains_key(left) && normal.contains_key(right));
        merges.extend(known.filter_map(|(left, right)| Some((*normal.get(token.as_str())?, left, right))));
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0));
    let special = |id: usize| {
        json!({
            "id": id, "content": tokens[id], "special": true,
            "normalized": false, "lstrip": false, "rstrip": false, "single_word": false
        })
    };
    let vocab: HashMap<&str, usize> = tokens.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
    json!({
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "▁" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "▁" }
        ] },
        "added_tokens": [special(0), special(1), special(2)],
        "model": {
            "type": "BPE", "vocab": vocab, "unk_token": tokens[0], "fuse_unk": true, "byte_fallback": true,
            "merges": merges.iter().map(|(_, left, right)| [left, right]).collect::<Vec<_>>()
        }
    })
}

#[test]
fn sentencepiece_conversion_matches_the_original() {
    let Some(metadata) = metadata("vocab/ggml-vocab-llama-spm.gguf") else { return };
    let original = Tokenizer::from_metadata(&metadata).unwrap();
    let json = as_json(&metadata).to_string();
    let files = TokenizerFiles {
        tokenizer: Some(&json),
        tokenizer_config: Some(r#"{ "bos_token": "<s>", "eos_token": "</s>" }"#),
        ..TokenizerFiles::default()
    };
    let converted = Tokenizer::from_metadata(&tokenizer_metadata(&files, &mut Vec::new()).unwrap()).unwrap();
    let reference: tokenizers::Tokenizer = json.parse().unwrap();
    for text in random_texts(10_000) {
        let options = EncodeOptions { add_special: true, parse_special: true };
        let ids = original.encode(&text, options).unwrap();
        assert_eq!(converted.encode(&text, options).unwrap(), ids, "{text:?}");
        assert_eq!(original.decode(&ids[1..], false).unwrap(), text);
        // The library ranks merges where sentencepiece scores tokens; on such a file the two agree.
        assert_eq!(reference.encode(text.as_str(), false).unwrap().get_ids(), &ids[1..], "{text:?}");
    }
}

#[test]
fn a_converted_tokenizer_matches_its_file() {
    let (Some(metadata), Some((_, converted))) =
        (metadata("tiny-dlm/tiny-dlm-q2_0.gguf"), converted("tiny-dlm/checkpoint"))
    else {
        return;
    };
    let stored = Tokenizer::from_metadata(&metadata).unwrap();
    assert_eq!((stored.special().eos, stored.stop_ids()), (converted.special().eos, converted.stop_ids()));
    assert_eq!(stored.mask_token(Default::default()), converted.mask_token(Default::default()));
    for text in random_texts(1000) {
        assert_eq!(stored.encode(&text, PARSED), converted.encode(&text, PARSED));
    }
}

/// Models that sentencepiece trained, with its own ids: see `reference/sentencepiece_golden.py`.
#[test]
fn sentencepiece_models_match_sentencepiece() {
    let cases: HashMap<String, Vec<Case>> =
        serde_json::from_str(include_str!("../golden/sentencepiece/cases.json")).unwrap();
    let models: [(&str, &[u8]); 2] = [
        ("bytes", include_bytes!("../golden/sentencepiece/bytes.model")),
        ("unknown", include_bytes!("../golden/sentencepiece/unknown.model")),
    ];
    for (name, model) in models {
        let files = TokenizerFiles { model: Some(model), ..TokenizerFiles::default() };
        let tokenizer = Tokenizer::from_metadata(&tokenizer_metadata(&files, &mut Vec::new()).unwrap()).unwrap();
        assert!(cases[name].len() > 20);
        for Case { text, ids } in &cases[name] {
            let plain = tokenizer.encode(text, PLAIN).unwrap();
            assert_eq!(plain, *ids, "{name}: {text:?}");
            // A written ▁ comes back as the blank that it stands for.
            if name == "bytes" && !text.contains('▁') {
                assert_eq!(tokenizer.decode(&plain, false).unwrap(), *text);
            }
        }
    }
}

#[test]
fn special_pieces_of_sentencepiece_models_are_special() {
    let files = TokenizerFiles {
        model: Some(include_bytes!("../golden/sentencepiece/bytes.model")),
        ..TokenizerFiles::default()
    };
    let metadata = tokenizer_metadata(&files, &mut Vec::new()).unwrap();
    let tokenizer = Tokenizer::from_metadata(&metadata).unwrap();
    let special = tokenizer.special();
    assert_eq!((special.unk, special.bos, special.eos, special.pad), (Some(0), Some(1), Some(2), None));
    assert_eq!(tokenizer.mask_token(Default::default()), Ok(Some(3)));
    let kinds = [0, 1, 3, 4, 5, 261].map(|id| tokenizer.token_type(id).unwrap());
    use TokenType::{Byte, Control, Normal, Unknown, UserDefined};
    assert_eq!(kinds, [Unknown, Control, Control, UserDefined, Byte, Normal]);
    assert_eq!(tokenizer.encode("the|<MASK>|<sep>the", PARSED).unwrap(), [264, 3, 4, 264]);
    assert_eq!(tokenizer.encode("<sep>|<MASK>|", PLAIN).unwrap()[0], 4);
}
