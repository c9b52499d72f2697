use crate::testing::test;
use serde_json::json;

use super::*;
use crate::ErrorCode;
use crate::tokenizer::{EncodeOptions, NORMALIZER, Tokenizer};

fn byte_level() -> Value {
    json!({
        "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true },
        "post_processor": null,
        "added_tokens": [
            { "id": 0, "content": "<eos>", "special": true },
            { "id": 5, "content": "  ", "special": false }
        ],
        "model": { "type": "BPE", "vocab": { "<eos>": 0, "a": 1, "b": 2, "ab": 3 }, "merges": [["a", "b"]] }
    })
}

fn sentencepiece() -> Value {
    json!({
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Prepend", "prepend": "▁" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "▁" }
        ] },
        "pre_tokenizer": null,
        "post_processor": { "type": "TemplateProcessing", "single": [
            { "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }
        ] },
        "added_tokens": [{ "id": 0, "content": "<unk>", "special": true }, { "id": 1, "content": "<s>", "special": true }],
        "model": {
            "type": "BPE", "byte_fallback": true, "unk_token": "<unk>",
            "vocab": { "<unk>": 0, "<s>": 1, "<0x0A>": 2, "▁": 3, "a": 4, "b": 5, "ab": 6, "▁a": 7, "▁ab": 8 },
            "merges": ["a b", "▁ a", "▁ ab", "▁a b"]
        }
    })
}

fn convert_with_findings(json: &Value, tokenizer_config: Value, config: Value) -> Result<(Metadata, Vec<Finding>)> {
    let [json, tokenizer_config, config] = [json, &tokenizer_config, &config].map(Value::to_string);
    let files = TokenizerFiles {
        tokenizer: Some(&json),
        tokenizer_config: Some(&tokenizer_config),
        config: Some(&config),
        ..TokenizerFiles::default()
    };
    let mut findings = Vec::new();
    Ok((tokenizer_metadata(&files, &mut findings)?, findings))
}

fn convert(json: &Value, tokenizer_config: Value, config: Value) -> Result<Metadata> {
    Ok(convert_with_findings(json, tokenizer_config, config)?.0)
}

/// `json` with the part at `pointer` replaced.
fn with(mut json: Value, pointer: &str, part: Value) -> Value {
    *json.pointer_mut(pointer).unwrap() = part;
    json
}

#[track_caller]
fn rejects(json: &Value, code: ErrorCode, names: &str) {
    // What a template puts in front is BOS.
    let bos = &json["post_processor"]["single"][0]["SpecialToken"]["id"];
    let error = convert(json, json!({ "bos_token": bos }), json!({})).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.message().contains(names), "{error}");
}

#[test]
fn byte_level_vocabularies_become_gpt2() {
    let tokenizer_config = json!({
        "eos_token": { "content": "<eos>" }, "chat_template": [{ "name": "tools", "template": "T" }, { "name": "default", "template": "D" }]
    });
    let metadata =
        convert(&byte_level(), tokenizer_config, json!({ "vocab_size": 8, "eos_token_id": [0, 3, 2] })).unwrap();
    assert_eq!(metadata.string("tokenizer.ggml.pre"), Ok(Some("gpt-2")));
    assert_eq!(metadata.require_strings("tokenizer.ggml.merges").unwrap(), ["a b"]);
    let tokens = metadata.require_strings("tokenizer.ggml.tokens").unwrap();
    assert_eq!(tokens, ["<eos>", "a", "b", "ab", "[PAD4]", "  ", "[PAD6]", "[PAD7]"]);
    assert_eq!(metadata.require_i32s("tokenizer.ggml.token_type").unwrap(), [3, 1, 1, 1, 5, 4, 5, 5]);
    assert_eq!(metadata.u32("tokenizer.ggml.eos_token_id"), Ok(Some(0)));
    assert_eq!(metadata.u32("tokenizer.ggml.eot_token_id"), Ok(Some(3)));
    assert_eq!(metadata.u32("tokenizer.ggml.eom_token_id"), Ok(Some(2)));
    assert_eq!(Tokenizer::from_metadata(&metadata).unwrap().stop_ids(), [0, 2, 3]);
    assert_eq!(metadata.bool("tokenizer.ggml.add_bos_token"), Ok(Some(false)));
    assert_eq!(metadata.string("tokenizer.chat_template"), Ok(Some("D")));
}

#[test]
fn merges_become_scores() {
    let metadata = convert(&sentencepiece(), json!({ "bos_token": "<s>" }), json!({})).unwrap();
    assert_eq!(metadata.require_f32s("tokenizer.ggml.scores").unwrap()[6..], [0.0, -1.0, -2.0]);
    assert_eq!(metadata.require_i32s("tokenizer.ggml.token_type").unwrap()[..4], [2, 3, 6, 1]);
    assert_eq!(metadata.bool("tokenizer.ggml.add_bos_token"), Ok(Some(true)));
    let tokenizer = Tokenizer::from_metadata(&metadata).unwrap();
    let options = EncodeOptions { add_special: true, parse_special: true };
    assert_eq!(tokenizer.encode("ab ba\n", options).unwrap(), [1, 8, 3, 5, 4, 2]);
}

#[test]
fn llama_3_and_qwen2_are_recognized() {
    for (pattern, ignore_merges, name) in [(LLAMA, true, "llama-bpe"), (QWEN, false, "qwen2")] {
        let split =
            json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false });
        let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false });
        let mut json =
            with(byte_level(), "/pre_tokenizer", json!({ "type": "Sequence", "pretokenizers": [split, bytes] }));
        json["model"]["ignore_merges"] = ignore_merges.into();
        json["normalizer"] = json!({ "type": "NFC" });
        let metadata = convert(&json, json!({}), json!({})).unwrap();
        assert_eq!(metadata.string("tokenizer.ggml.pre"), Ok(Some(name)));
        assert_eq!(metadata.string(NORMALIZER), Ok(Some("nfc")));
        json["model"]["ignore_merges"] = (!ignore_merges).into();
        rejects(&json, ErrorCode::UnsupportedArchitecture, "ignore_merges");
    }
}

const LLAMA: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const QWEN: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

#[test]
fn rejects_what_gguf_cannot_express() {
    use ErrorCode::UnsupportedArchitecture as Unsupported;
    let lowercase = json!({ "type": "Lowercase" });
    let prefixed = json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true });
    let metaspace = json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true });
    let bert = json!({ "type": "BertProcessing" });
    let suffix = json!([{ "Sequence": {} }, { "SpecialToken": { "id": "<unk>" } }]);
    rejects(&with(byte_level(), "/model/type", json!("WordPiece")), Unsupported, "\"WordPiece\"");
    rejects(&with(byte_level(), "/normalizer", lowercase.clone()), Unsupported, "normalizer is none");
    rejects(&with(byte_level(), "/pre_tokenizer", prefixed), Unsupported, "pre_tokenizer is none");
    rejects(&with(byte_level(), "/pre_tokenizer", Value::Null), Unsupported, "pre_tokenizer is none");
    rejects(&with(byte_level(), "/post_processor", bert), Unsupported, "post_processor is none");
    rejects(&with(sentencepiece(), "/normalizer", lowercase), Unsupported, "normalizer is none");
    rejects(&with(sentencepiece(), "/pre_tokenizer", metaspace), Unsupported, "pre_tokenizer is none");
    rejects(&with(sentencepiece(), "/post_processor/single", suffix), Unsupported, "\"<unk>\"");
    rejects(
        &with(sentencepiece(), "/model/merges", json!(["a b", "▁ a", "▁a b"])),
        Unsupported,
        "\"ab\" are not merged",
    );
    rejects(
        &with(sentencepiece(), "/model/merges", json!(["a b", "▁ ab", "▁ a", "▁a b"])),
        Unsupported,
        "stand between",
    );
    for (key, value) in [("dropout", json!(0.1)), ("end_of_word_suffix", json!("</w>")), ("unk_token", json!("a"))] {
        let mut json = byte_level();
        json["model"][key] = value;
        rejects(&json, Unsupported, key);
    }
}

#[test]
fn what_gguf_cannot_say_of_added_tokens_is_a_finding() {
    for flag in ["lstrip", "rstrip", "single_word"] {
        let mut json = byte_level();
        json["added_tokens"][0][flag] = true.into();
        let (metadata, findings) = convert_with_findings(&json, json!({}), json!({})).unwrap();
        assert_eq!((findings.len(), findings[0].code), (1, "added-token-blanks"), "{flag}");
        assert!(findings[0].message.contains("\"<eos>\""), "{}", findings[0].message);
        assert_eq!(metadata.require_i32s("tokenizer.ggml.token_type").unwrap()[0], 3);
    }
}

#[test]
fn roles_of_tokens_that_do_not_exist_are_ignored() {
    for (tokenizer_config, config, names) in [
        (json!({ "pad_token": "[PAD]" }), json!({}), "pad_token \"[PAD]\""),
        (json!({ "mask_token": { "content": "[MASK]" } }), json!({}), "mask_token \"[MASK]\""),
        (json!({ "eos_token": "</s>" }), json!({ "eos_token_id": 3 }), "eos_token \"</s>\""),
        (json!({}), json!({ "pad_token_id": -1, "eos_token_id": 3 }), "pad_token_id -1"),
        (json!({}), json!({ "pad_token_id": 6, "eos_token_id": [99, 3] }), "pad_token_id 6"),
        (json!({}), json!({ "bos_token_id": -1 }), "bos_token_id -1"),
    ] {
        let eos = config["eos_token_id"].is_null();
        let (metadata, findings) = convert_with_findings(&byte_level(), tokenizer_config, config).unwrap();
        assert!(
            findings.iter().any(|finding| finding.code == "role-ignored" && finding.message.contains(names)),
            "{findings:?}"
        );
        assert_eq!(metadata.get("tokenizer.ggml.padding_token_id"), None);
        assert_eq!(metadata.u32("tokenizer.ggml.eos_token_id"), Ok((!eos).then_some(3)));
        assert_eq!(Tokenizer::from_metadata(&metadata).unwrap().warnings(), []);
    }
}

#[test]
fn rejects_contradictions() {
    use ErrorCode::{Limits, Malformed};
    rejects(&json!([]), Malformed, "tokenizer.json");
    rejects(&with(byte_level(), "/model/vocab", json!([])), Malformed, "model");
    rejects(&with(byte_level(), "/model/vocab", json!({ "<eos>": 0, "a": 1, "b": 1 })), Malformed, "same id, 1");
    rejects(&with(byte_level(), "/added_tokens/0/id", json!(1)), Malformed, "same id, 1");
    rejects(&with(byte_level(), "/added_tokens/0/id", json!(u32::MAX)), Limits, "4294967295");
    rejects(&with(byte_level(), "/model/merges", json!(["a b c"])), Malformed, "merges");
    rejects(&with(byte_level(), "/model/merges", json!([["a", "b "]])), Malformed, "merges");
    rejects(&with(sentencepiece(), "/model/merges", json!(["b a"])), Malformed, "\"ba\"");
    let error = convert(&byte_level(), json!({}), json!({ "vocab_size": 5 })).unwrap_err();
    assert_eq!(error.code(), Malformed, "{error}");
    assert!(error.message().contains("vocab_size in config.json is 5"), "{error}");
    let error = convert(&byte_level(), json!({}), json!({ "vocab_size": u64::MAX })).unwrap_err();
    assert_eq!(error.code(), Limits, "{error}");
}
