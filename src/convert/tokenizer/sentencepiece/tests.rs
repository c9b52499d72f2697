use crate::testing::test;
use serde_json::json;

use super::super::{TokenizerFiles, tokenizer_metadata};
use super::*;
use crate::ErrorCode;
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// A field that holds bytes.
fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    let len = [value.len() as u8 & 0x7F | 0x80, (value.len() >> 7) as u8];
    [&[field << 3 | 2][..], &len, value].concat()
}

/// A field that holds an integer; the field's number may take two bytes.
fn integer(field: u16, value: u8) -> Vec<u8> {
    let tag = field << 3;
    vec![tag as u8 & 0x7F | 0x80, (tag >> 7) as u8, value]
}

fn piece(text: &str, score: f32, kind: u8) -> Vec<u8> {
    let score = [&[2 << 3 | 5][..], &score.to_le_bytes()].concat();
    bytes(1, &[bytes(1, text.as_bytes()), score, integer(3, kind)].concat())
}

/// A model with a few pieces, after what each part is changed by.
struct Draft {
    pieces: Vec<Vec<u8>>,
    trainer: Vec<u8>,
    normalizer: Vec<u8>,
}

impl Draft {
    fn new() -> Self {
        let pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("<0x0A>", 0.0, 6), ("▁a", -0.0, 1)];
        let letters = [("▁", -1.0, 1), ("a", -2.0, 1), ("b", -3.0, 1), ("|", -4.0, 5)];
        Self {
            pieces: pieces.into_iter().chain(letters).map(|(text, score, kind)| piece(text, score, kind)).collect(),
            trainer: integer(3, 2),
            normalizer: bytes(1, b"identity"),
        }
    }

    fn model(&self) -> Vec<u8> {
        [self.pieces.concat(), bytes(2, &self.trainer), bytes(3, &self.normalizer), bytes(5, b"")].concat()
    }
}

fn convert(model: &[u8], added: Option<Json>, tokenizer_config: Json, config: Json) -> Result<Metadata> {
    let [added, tokenizer_config, config] =
        [added.unwrap_or_default(), tokenizer_config, config].map(|json| json.to_string());
    let files = TokenizerFiles {
        model: Some(model),
        added_tokens: Some(&added).filter(|text| *text != "null").map(String::as_str),
        tokenizer_config: Some(&tokenizer_config),
        config: Some(&config),
        ..TokenizerFiles::default()
    };
    tokenizer_metadata(&files, &mut Vec::new())
}

fn alone(model: &[u8]) -> Result<Metadata> {
    convert(model, None, json!({}), json!({}))
}

#[test]
fn the_vocabulary_is_taken_over_as_it_is() {
    let metadata = alone(&Draft::new().model()).unwrap();
    assert_eq!(metadata.string("tokenizer.ggml.model"), Ok(Some("llama")));
    assert_eq!(metadata.require_i32s("tokenizer.ggml.token_type").unwrap(), [2, 3, 3, 6, 1, 1, 1, 1, 5]);
    assert_eq!(metadata.require_f32s("tokenizer.ggml.scores").unwrap()[4..], [0.0, -1.0, -2.0, -3.0, -4.0]);
    for (key, id) in [("unknown", Some(0)), ("bos", Some(1)), ("eos", Some(2)), ("padding", None)] {
        assert_eq!(metadata.u32(&format!("tokenizer.ggml.{key}_token_id")), Ok(id), "{key}");
    }
    // The defaults of the format.
    assert_eq!(metadata.bool("tokenizer.ggml.add_space_prefix"), Ok(Some(true)));
    assert_eq!(metadata.bool("tokenizer.ggml.remove_extra_whitespaces"), Ok(Some(true)));
    assert_eq!(metadata.bool("tokenizer.ggml.add_bos_token"), Ok(Some(true)));
    let tokenizer = Tokenizer::from_metadata(&metadata).unwrap();
    let options = EncodeOptions { add_special: true, parse_special: true };
    assert_eq!(tokenizer.encode(" a  a\n", options).unwrap(), [1, 4, 4, 3]);

    let mut draft = Draft::new();
    draft.normalizer.extend([integer(3, 0), integer(4, 0)].concat());
    draft.trainer.extend([integer(41, 2), integer(43, 1)].concat());
    let metadata = alone(&draft.model()).unwrap();
    assert_eq!(metadata.bool("tokenizer.ggml.add_space_prefix"), Ok(Some(false)));
    assert_eq!(metadata.bool("tokenizer.ggml.remove_extra_whitespaces"), Ok(None));
    assert_eq!(metadata.u32("tokenizer.ggml.bos_token_id"), Ok(Some(2)));
    assert_eq!(metadata.u32("tokenizer.ggml.padding_token_id"), Ok(Some(1)));
    let prefixed = convert(&draft.model(), None, json!({ "add_prefix_space": true }), json!({})).unwrap();
    assert_eq!(prefixed.bool("tokenizer.ggml.add_space_prefix"), Ok(Some(true)));
}

#[test]
fn other_files_add_tokens_and_roles() {
    let tokenizer_config = json!({
        "added_tokens_decoder": {
            "0": { "content": "<unk>", "special": true },
            "10": { "content": "<|im_end|>", "special": true, "lstrip": false },
            "11": { "content": "▁tool", "special": false },
        },
        "bos_token": null, "eos_token": { "content": "<|im_end|>" }, "mask_token": "|<MASK>|", "add_bos_token": false,
    });
    let added = json!({ "|<MASK>|": 12, "<plain>": 13, "ignored": 11 });
    let metadata = convert(&Draft::new().model(), Some(added), tokenizer_config, json!({ "vocab_size": 15 })).unwrap();
    let tokens = metadata.require_strings("tokenizer.ggml.tokens").unwrap();
    assert_eq!(tokens[9..], ["[PAD9]", "<|im_end|>", " tool", "|<MASK>|", "<plain>", "[PAD14]"]);
    assert_eq!(metadata.require_i32s("tokenizer.ggml.token_type").unwrap()[9..], [5, 3, 4, 3, 4, 5]);
    assert_eq!(metadata.require_i32s("tokenizer.ggml.token_type").unwrap()[0], 2);
    for (key, id) in [("bos", 1), ("eos", 10), ("mask", 12)] {
        assert_eq!(metadata.u32(&format!("tokenizer.ggml.{key}_token_id")), Ok(Some(id)), "{key}");
    }
    assert_eq!(metadata.bool("tokenizer.ggml.add_bos_token"), Ok(Some(false)));

    for (tokenizer_config, code, words) in [
        (json!({ "added_tokens_decoder": { "x": { "content": "a" } } }), ErrorCode::Malformed, "\"x\" is no id"),
        (json!({ "added_tokens_decoder": { "3": {} } }), ErrorCode::Malformed, "content"),
        (
            json!({ "added_tokens_decoder": { "6": { "content": "c" } } }),
            ErrorCode::Malformed,
            "\"a\" and \"c\" have the same id, 6",
        ),
    ] {
        let error = convert(&Draft::new().model(), None, tokenizer_config, json!({})).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(words), "{error}");
    }
    let small = convert(&Draft::new().model(), None, json!({}), json!({ "vocab_size": 8 })).unwrap_err();
    assert!(small.message().contains("tokenizer.model has a token 8, but vocab_size in config.json is 8"), "{small}");
    let both = TokenizerFiles { tokenizer: Some("{"), model: Some(&Draft::new().model()), ..TokenizerFiles::default() };
    assert!(
        tokenizer_metadata(&both, &mut Vec::new()).unwrap_err().message().contains("tokenizer.json"),
        "tokenizer.json goes first"
    );
    let neither = tokenizer_metadata(&TokenizerFiles::default(), &mut Vec::new()).unwrap_err();
    assert_eq!(neither.code(), ErrorCode::Io);
}

#[test]
fn rejects_what_llama_tokenizers_do_not_do() {
    type Change = fn(&mut Draft);
    let cases: [(Change, ErrorCode, &str); 12] = [
        (|draft| draft.trainer.clear(), ErrorCode::UnsupportedArchitecture, "unigram model"),
        (|draft| draft.trainer = integer(3, 4), ErrorCode::UnsupportedArchitecture, "char model"),
        (|draft| draft.trainer = integer(3, 9), ErrorCode::UnsupportedArchitecture, "unknown model"),
        (
            |draft| draft.trainer.extend(integer(24, 1)),
            ErrorCode::UnsupportedArchitecture,
            "treat_whitespace_as_suffix",
        ),
        (|draft| draft.normalizer.extend(integer(5, 0)), ErrorCode::UnsupportedArchitecture, "escape_whitespaces"),
        (
            |draft| draft.normalizer = [bytes(1, b"nmt_nfkc"), bytes(2, &[1, 2])].concat(),
            ErrorCode::UnsupportedArchitecture,
            "rules (nmt_nfkc)",
        ),
        (|draft| draft.pieces.push(bytes(1, b"")), ErrorCode::Malformed, "piece 9: it has no text"),
        (|draft| draft.pieces.push(bytes(1, &bytes(1, &[0xFF]))), ErrorCode::Malformed, "piece 9: it is not UTF-8"),
        (|draft| draft.pieces.push(piece("c", f32::NAN, 1)), ErrorCode::Malformed, "is not a number"),
        (|draft| draft.pieces.push(piece("c", 0.0, 7)), ErrorCode::Malformed, "7 is no type of a piece"),
        (|draft| draft.trainer.push(0x18), ErrorCode::Truncated, "trainer_spec"),
        (|draft| draft.pieces.clear(), ErrorCode::Truncated, "no sentencepiece model"),
    ];
    for (change, code, words) in cases {
        let mut draft = Draft::new();
        change(&mut draft);
        let error = alone(&draft.model()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().starts_with("tokenizer.model: ") && error.message().contains(words), "{error}");
    }
}

#[test]
fn cut_or_damaged_models_are_errors() {
    let whole = Draft::new().model();
    let expected = alone(&whole).unwrap();
    // What comes after normalizer_spec is not needed.
    let needed = whole.len() - bytes(5, b"").len();
    for cut in 0..whole.len() {
        match alone(&whole[..cut]) {
            Ok(metadata) => assert!(cut == needed && metadata == expected, "cut at {cut}"),
            Err(error) => assert_eq!(error.code(), ErrorCode::Truncated, "cut at {cut}: {error}"),
        }
    }
    let mut refused = 0;
    for (at, byte) in whole.iter().enumerate() {
        for flipped in [byte ^ 1, byte ^ 0x80, 0xFF, 0] {
            let mut damaged = whole.clone();
            damaged[at] = flipped;
            refused += usize::from(alone(&damaged).and_then(|metadata| Tokenizer::from_metadata(&metadata)).is_err());
        }
    }
    assert!(refused > whole.len(), "{refused} of {} damaged models are refused", 4 * whole.len());
}
