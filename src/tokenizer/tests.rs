use super::end::END_NAMES;
use super::*;
use crate::ErrorCode;
use crate::gguf::Value;
use crate::testing::test;

const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };
const PARSED: EncodeOptions = EncodeOptions { add_special: false, parse_special: true };
const PROMPT: EncodeOptions = EncodeOptions { add_special: true, parse_special: true };

/// The metadata of a vocabulary: tokens with their types.
fn metadata(model: &str, tokens: &[(&str, i32)]) -> Metadata {
    let mut metadata = Metadata::default();
    metadata.insert("tokenizer.ggml.model", model);
    metadata.insert("tokenizer.ggml.tokens", tokens.iter().map(|&(text, _)| text.to_owned()).collect::<Vec<_>>());
    metadata.insert("tokenizer.ggml.token_type", tokens.iter().map(|&(_, kind)| kind).collect::<Vec<_>>());
    metadata
}

fn bpe() -> Metadata {
    let tokens = [
        ("<|endoftext|>", 3),
        ("<|im_end|>", 3),
        ("|<MASK>|", 3),
        ("  ", 4),
        ("a", 1),
        ("b", 1),
        ("c", 1),
        ("Ġ", 1),
        ("ab", 1),
        ("Ġab", 1),
        ("Ã", 1),
        ("©", 1),
        ("<", 1),
        ("|", 1),
        (">", 1),
        ("_", 1),
    ];
    let mut metadata = metadata("gpt2", &tokens);
    metadata.insert("tokenizer.ggml.pre", "gpt-2");
    metadata.insert("tokenizer.ggml.merges", ["a b", "Ġ ab"].map(str::to_owned).to_vec());
    metadata.insert("tokenizer.ggml.eos_token_id", 0u32);
    metadata
}

/// Scores: `aa` and `▁a` tie, `bb` is best.
fn spm() -> Metadata {
    let tokens = [
        ("<unk>", 2),
        ("<s>", 3),
        ("</s>", 3),
        ("<0xC3>", 6),
        ("<0xA9>", 6),
        ("▁", 1),
        ("a", 1),
        ("b", 1),
        ("aa", 1),
        ("▁a", 1),
        ("bb", 1),
        ("abb", 1),
        ("<tool>", 4),
        ("s", 1),
        ("<", 1),
        (">", 1),
        ("<s", 1),
    ];
    let mut metadata = metadata("llama", &tokens);
    let scores: [f32; 17] =
        [0.0, 0.0, 0.0, 0.0, 0.0, -9.0, -9.0, -9.0, -2.0, -2.0, -1.0, -3.0, 0.0, -9.0, -9.0, -9.0, -4.0];
    metadata.insert("tokenizer.ggml.scores", scores.to_vec());
    metadata
}

fn with(mut metadata: Metadata, key: &str, value: impl Into<Value>) -> Metadata {
    metadata.insert(format!("tokenizer.ggml.{key}"), value);
    metadata
}

fn with_key(mut metadata: Metadata, key: &str, value: &str) -> Metadata {
    metadata.insert(key, value);
    metadata
}

fn build(metadata: &Metadata) -> Tokenizer {
    Tokenizer::from_metadata(metadata).unwrap()
}

#[track_caller]
fn rejects(metadata: &Metadata, code: ErrorCode, names: &str) {
    let error = Tokenizer::from_metadata(metadata).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.message().contains(names), "{error}");
}

#[test]
fn byte_level_merges_by_rank() {
    let tokenizer = build(&bpe());
    assert_eq!(tokenizer.encode("ab abc é", PLAIN).unwrap(), [8, 9, 6, 7, 10, 11]);
    assert_eq!(tokenizer.decode(&[8, 9, 6, 7, 10, 11], true).unwrap(), "ab abc é");
    assert_eq!(tokenizer.encode("", PROMPT).unwrap(), [0u32; 0]);
    assert_eq!(tokenizer.token_bytes(10), [0xc3]);
    assert_eq!((tokenizer.token_label(10), tokenizer.token_label(9)), ("<0xC3>".into(), " ab".into()));
    assert_eq!((tokenizer.token_label(2), tokenizer.token_label(99)), ("|<MASK>|".into(), "<99>".into()));
    assert_eq!(tokenizer.token_bytes(2), b"");
}

#[test]
fn control_tokens_are_parsed_on_request_only() {
    let tokenizer = build(&bpe());
    assert_eq!(tokenizer.encode("a|<MASK>|b", PARSED).unwrap(), [4, 2, 5]);
    let plain = tokenizer.encode("|<|im_end|>|<MASK>|  b", PLAIN).unwrap();
    assert!(plain.iter().all(|&id| id > 2), "{plain:?}");
    // User-defined tokens always are.
    assert_eq!(tokenizer.encode("a  b", PLAIN).unwrap(), [4, 3, 5]);
    assert_eq!(tokenizer.decode(&[4, 2, 5], true).unwrap(), "ab");
    assert_eq!(tokenizer.decode(&[4, 2, 5], false).unwrap(), "a|<MASK>|b");
}

#[test]
fn the_longest_special_token_wins() {
    let mut tokens: Vec<(&str, i32)> = vec![("<|a", 3), ("<|a|>", 3), ("<|a|>", 3), ("x", 1)];
    tokens.push(("", 3));
    let tokenizer = build(&metadata("gpt2", &tokens));
    // Of equal ones, the last; the empty one never.
    assert_eq!(tokenizer.encode("<|a|>x<|a", PARSED).unwrap(), [2, 3, 0]);
}

#[test]
fn sentencepiece_merges_by_score_leftmost_first() {
    let tokenizer = build(&spm());
    // ▁ a a a: `▁a` and `aa` have the same score, the leftmost goes first.
    assert_eq!(tokenizer.encode("aaa", PLAIN).unwrap(), [9, 8]);
    // b b first, then a bb.
    assert_eq!(tokenizer.encode("babb", PLAIN).unwrap(), [5, 7, 11]);
    assert_eq!(tokenizer.encode("é", PLAIN).unwrap(), [5, 3, 4]);
    assert_eq!(tokenizer.encode("ü", PLAIN).unwrap(), [5, 0]);
    assert_eq!(tokenizer.encode("", PROMPT).unwrap(), [1]);
    // No merge makes a control token.
    assert_eq!(tokenizer.encode("<s>", PLAIN).unwrap(), [5, 16, 15]);
    // Each text after a special token has its own space in front, and loses it again.
    let ids = tokenizer.encode("a<tool>a<s>b", PARSED).unwrap();
    assert_eq!(ids, [9, 12, 9, 1, 5, 7]);
    assert_eq!(tokenizer.decode(&ids, false).unwrap(), "a<tool>a<s>b");
    assert_eq!(tokenizer.token_bytes(9), b" a");
    assert_eq!(tokenizer.token_bytes(3), [0xc3]);

    let bare = build(&with(spm(), "add_space_prefix", false));
    assert_eq!(bare.encode("aaa", PLAIN).unwrap(), [8, 6]);
    assert_eq!(bare.decode(&[9], false).unwrap(), " a");
}

#[test]
fn bos_and_eos_follow_the_file() {
    assert_eq!(build(&spm()).encode("b", PROMPT).unwrap(), [1, 5, 7]);
    assert_eq!(build(&with(spm(), "add_bos_token", false)).encode("b", PROMPT).unwrap(), [5, 7]);
    assert_eq!(build(&with(spm(), "add_eos_token", true)).encode("b", PROMPT).unwrap(), [1, 5, 7, 2]);
    // A rendered template that begins with BOS gets no second one.
    assert_eq!(build(&spm()).encode("<s>b", PROMPT).unwrap(), [1, 5, 7]);

    let with_bos = with(bpe(), "bos_token_id", 0u32);
    assert_eq!(build(&with_bos).encode("a", PROMPT).unwrap(), [4]);
    assert_eq!(build(&with(with_bos.clone(), "add_bos_token", true)).encode("a", PROMPT).unwrap(), [0, 4]);
    assert_eq!(build(&with(with_bos.clone(), "pre", "llama-bpe")).encode("a", PROMPT).unwrap(), [0, 4]);
    // No id, no token.
    assert_eq!(build(&with(bpe(), "pre", "llama-bpe")).encode("a", PROMPT).unwrap(), [4]);
    let unknown = build(&with(bpe(), "add_bos_token", true));
    assert_eq!(unknown.encode("a", PROMPT).unwrap(), [4]);
    assert!(unknown.warnings()[0].message.contains("add_bos_token"));
}

#[test]
fn bitnet_without_a_pre_tokenizer_has_llama_3s() {
    let tokens: Vec<(&str, i32)> = vec![("a", 1), ("1", 1), ("11", 1), ("111", 1), ("1111", 1)];
    let mut metadata = metadata("gpt2", &tokens);
    let merges = ["1 1", "11 1", "111 1"].map(str::to_owned).to_vec();
    metadata.insert("tokenizer.ggml.merges", merges);
    metadata.insert("general.architecture", "bitnet-b1.58");
    assert_eq!(build(&metadata).encode("11111", PLAIN).unwrap(), [3, 2]);
    metadata.insert("tokenizer.ggml.pre", "gpt-2");
    assert_eq!(build(&metadata).encode("11111", PLAIN).unwrap(), [2, 3]);
    metadata.insert("tokenizer.ggml.pre", "qwen2");
    assert_eq!(build(&metadata).encode("11111", PLAIN).unwrap(), [1, 1, 1, 1, 1]);
    metadata.insert("tokenizer.ggml.pre", "no-such");
    rejects(&metadata, ErrorCode::UnsupportedArchitecture, "\"no-such\"");
}

#[test]
fn stop_ids_are_those_of_keys_and_names() {
    assert_eq!(build(&bpe()).stop_ids(), [0, 1]);
    assert_eq!(build(&bpe()).special().eot, Some(1));
    assert_eq!(build(&with(bpe(), "eot_token_id", 4u32)).stop_ids(), [0, 1, 4]);
    assert_eq!(build(&spm()).stop_ids(), [2]);
    // A name counts whatever the type, and makes a control token of it.
    for kind in [1, 3, 4] {
        let tokens: Vec<(&str, i32)> = END_NAMES.iter().map(|&name| (name, kind)).chain([("a", 1)]).collect();
        let tokenizer = build(&with(metadata("gpt2", &tokens), "pre", "gpt-2"));
        assert_eq!(tokenizer.warnings(), []);
        let ends = |name: &&str| !["</s>", "<|end|>"].contains(name);
        for (id, name) in END_NAMES.iter().enumerate().filter(|(_, name)| ends(name)) {
            assert!(tokenizer.stop_ids().contains(&(id as u32)), "{name}");
            assert_eq!(tokenizer.token_type(id as u32), Some(TokenType::Control));
            assert_eq!(tokenizer.encode(name, PARSED).unwrap(), [id as u32]);
        }
    }
    let stop = |tokens: &[(&str, i32)], key: &str, value: Value| {
        build(&with(with(metadata("gpt2", tokens), "pre", "gpt-2"), key, value)).stop_ids().to_vec()
    };
    let none = || Value::from(u32::MAX);
    assert_eq!(stop(&[("a", 1), ("b", 1)], "eom_token_id", 1u32.into()), [1]);
    assert_eq!(stop(&[("a", 1), ("b", 1), ("c", 1)], "eos_token_ids", vec![2i32, 0].into()), [0, 2]);
    assert_eq!(stop(&[("<|file_sep|>", 1), ("[PAD]", 3), ("<PAD>", 3)], "fim_pad_token_id", none()), [0, 2]);
    // Messages of gpt-oss end with what ends answers elsewhere.
    assert_eq!(stop(&[("<|end|>", 3), ("<|return|>", 3), ("<|call|>", 3)], "fim_pad_token_id", none()), [1, 2]);
    assert_eq!(stop(&[("<|end|>", 3), ("<|return|>", 3)], "fim_pad_token_id", none()), [0, 1]);
    // `</s>` is text in Qwen's vocabulary, unless its type says otherwise.
    assert_eq!(stop(&[("</s>", 1)], "fim_pad_token_id", none()), [0]);
    assert_eq!(stop(&[("</s>", 1)], "pre", "qwen2".into()), [0u32; 0]);
    assert_eq!(stop(&[("</s>", 3)], "pre", "qwen2".into()), [0]);
    assert_eq!(stop(&[("</s>", 1), ("<|tool_response>", 3)], "fim_pad_token_id", none()), [1]);
}

#[test]
fn mask_tokens_go_by_option_key_and_name() {
    let tokenizer = build(&bpe());
    let choose = |id: u32| MaskChoice { id: Some(id), force: false };
    assert_eq!(tokenizer.mask_token(MaskChoice::default()), Ok(Some(2)));
    assert_eq!(tokenizer.mask_token(choose(4)), Ok(Some(4)));
    assert_eq!(build(&with(bpe(), "mask_token_id", 5u32)).mask_token(MaskChoice::default()), Ok(Some(5)));
    assert_eq!(build(&spm()).mask_token(MaskChoice::default()), Ok(None));

    for id in [0, 1, 16] {
        let error = tokenizer.mask_token(choose(id)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::BadOption, "{error}");
    }
    assert_eq!(tokenizer.mask_token(MaskChoice { id: Some(0), force: true }), Ok(Some(0)));
    let collides = build(&with(bpe(), "mask_token_id", 0u32));
    assert_eq!(collides.mask_token(MaskChoice::default()).unwrap_err().code(), ErrorCode::NoMaskToken);
    assert_eq!(collides.mask_token(MaskChoice { id: None, force: true }), Ok(Some(0)));
}

#[test]
fn rejects_unknown_ids() {
    assert_eq!(build(&bpe()).decode(&[16], false).unwrap_err().code(), ErrorCode::BadOption);
    assert_eq!(build(&bpe()).token(16), None);
    assert_eq!(build(&bpe()).token_bytes(u32::MAX), b"");
}

#[test]
fn rejects_inconsistent_vocabularies() {
    use ErrorCode::{Malformed, UnsupportedArchitecture};
    rejects(&Metadata::default(), Malformed, "tokenizer.ggml.model");
    rejects(&with(bpe(), "model", "bert"), UnsupportedArchitecture, "\"bert\"");
    rejects(&with(bpe(), "tokens", Vec::<String>::new()), Malformed, "empty");
    rejects(&with(bpe(), "token_type", vec![1i32, 1]), Malformed, "token_type has 2 entries for 16 tokens");
    rejects(&with(bpe(), "token_type", vec![7i32; 16]), Malformed, "7 is no token type");
    rejects(&with(bpe(), "merges", vec!["a b".to_owned(), "ab".to_owned()]), Malformed, "entry 1, \"ab\"");
    rejects(&with(bpe(), "merges", vec!["a ".to_owned()]), Malformed, "entry 0");
    rejects(&with(bpe(), "merges", vec!["a z".to_owned()]), Malformed, "z");
    rejects(&with(bpe(), "merges", vec!["b a".to_owned()]), Malformed, "ba");
    rejects(&with(bpe(), "eos_token_id", "0"), Malformed, "eos_token_id");
    rejects(&with(spm(), "scores", vec![0.0f32]), Malformed, "scores has 1 entries");
    rejects(&with(spm(), "scores", vec![f32::NAN; 17]), Malformed, "not a number");
    rejects(&with(spm(), "token_type", vec![6i32; 17]), Malformed, "byte token 0");
}

#[test]
fn special_ids_beyond_the_vocabulary_are_ignored() {
    let keys =
        ["padding", "unknown", "bos", "eos", "eot", "eom", "mask", "fim_pad"].map(|role| format!("{role}_token_id"));
    for key in &keys {
        let tokenizer = build(&with(bpe(), key, 16u32));
        let [warning] = tokenizer.warnings() else { panic!("{key}: {:?}", tokenizer.warnings()) };
        assert_eq!(warning.code, "special-token-ignored");
        assert!(warning.message.contains(key) && warning.message.contains("16"), "{}", warning.message);
        assert_eq!(build(&with(bpe(), key, -1i32)).warnings(), []);
        assert_eq!(build(&with(bpe(), key, u32::MAX)).warnings(), []);
    }
    assert_eq!(build(&with(bpe(), "eos_token_ids", vec![99i32, 4])).stop_ids(), [0, 1, 4]);
    assert_eq!(build(&with(spm(), "bos_token_id", 99u32)).encode("b", PROMPT).unwrap(), [1, 5, 7]);
}

#[test]
fn a_file_that_does_not_name_its_pre_tokenizer_is_warned_of() {
    let tokenizer = build(&metadata("gpt2", &[("a", 1)]));
    assert_eq!(tokenizer.warnings()[0].code, "pre-tokenizer-assumed");
    assert!(tokenizer.warnings()[0].message.contains("\"default\""));
    assert_eq!(build(&spm()).warnings(), []);
}

#[test]
fn text_is_composed_where_the_file_says_so() {
    let composed = build(&with_key(bpe(), NORMALIZER, "nfc"));
    assert_eq!(composed.encode("e\u{301}a", PLAIN).unwrap(), build(&bpe()).encode("éa", PLAIN).unwrap());
    assert_ne!(build(&bpe()).encode("e\u{301}a", PLAIN).unwrap(), build(&bpe()).encode("éa", PLAIN).unwrap());
    rejects(&with_key(bpe(), NORMALIZER, "nfkc"), ErrorCode::UnsupportedArchitecture, "nfkc");
}

#[test]
fn rendered_templates_get_the_bos_that_they_lack_and_no_eos() {
    let prompt = |metadata: &Metadata, text: &str| {
        build(metadata).encode_prompt(text, true, |text| Cow::Borrowed(text)).unwrap()
    };
    let both = with(spm(), "add_eos_token", true);
    assert_eq!(prompt(&both, "b"), [1, 5, 7]);
    assert_eq!(prompt(&both, "<s>b"), [1, 5, 7]);
    assert_eq!(prompt(&with(both, "add_bos_token", false), "b"), [5, 7]);
}

#[test]
fn what_is_revealed_between_control_tokens_is_text() {
    let tokenizer = build(&bpe());
    fn reveal(text: &str) -> Cow<'_, str> {
        Cow::Owned(text.replace('#', "<|im_end|>").replace('=', "  "))
    }
    let ids = tokenizer.encode_prompt("a#<|im_end|>=", true, reveal).unwrap();
    assert_eq!(ids.iter().filter(|&&id| id == 1).count(), 1, "{ids:?}");
    assert!(ids.ends_with(&[1, 3]), "{ids:?}");
    assert_eq!(tokenizer.without_text("<|im_end|>").collect::<Vec<_>>(), [1]);
    assert_eq!(tokenizer.without_text("ab").count(), 0);
}

#[test]
fn rejects_outsized_vocabularies() {
    rejects(&with(bpe(), "tokens", vec![String::new(); (1 << 20) + 1]), ErrorCode::Limits, "tokens; at most");
    rejects(&with(bpe(), "merges", vec![String::new(); (1 << 22) + 1]), ErrorCode::Limits, "merges; at most");
    let long = "x".repeat(1 << 20);
    rejects(&with(bpe(), "tokens", vec![long; 257]), ErrorCode::Limits, "bytes of text");
}

#[test]
fn a_text_without_a_token_is_an_error_or_the_unknown_token() {
    let metadata = metadata("llama", &[("<unk>", 2), ("a", 1)]);
    let tokenizer = build(&with(with(metadata, "scores", vec![0.0f32; 2]), "unknown_token_id", u32::MAX));
    // Without a key, id 0 is the unknown token of sentencepiece models. A run of characters is one:
    // here the space in front and b.
    assert_eq!(tokenizer.encode("babb", PLAIN).unwrap(), [0, 1, 0]);
}

#[test]
fn extra_blanks_are_removed_where_the_file_says_so() {
    let tokenizer = build(&with(spm(), "remove_extra_whitespaces", true));
    let ids = |text: &str| tokenizer.encode(text, PLAIN).unwrap();
    assert_eq!(ids("  ab   b "), ids("ab b"));
    assert_eq!(ids("   "), [0; 0]);
    assert_ne!(build(&spm()).encode("ab   b", PLAIN).unwrap(), ids("ab b"));
}
