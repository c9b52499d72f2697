//! What formats take, and what they say about formats that cannot be enforced.

#![forbid(unsafe_code)]

use super::*;
use crate::gguf::{Decoder, GgufEvent, Limits};
use crate::testing::test;
use serde_json::{Value, json};
use std::sync::LazyLock;

static TINY: LazyLock<(Arc<Tokenizer>, Compiler)> = LazyLock::new(|| {
    let file = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny/tiny.gguf")).unwrap();
    let mut decoder = Decoder::new(Limits::default());
    assert_eq!(decoder.decode(&mut &*file), Ok(Some(GgufEvent::Header)));
    let tokenizer = Arc::new(Tokenizer::from_metadata(&decoder.into_header().unwrap().metadata).unwrap());
    let compiler = Compiler::new(Arc::clone(&tokenizer)).unwrap();
    (tokenizer, compiler)
});

fn compile(format: &Format) -> Result<Box<dyn Constraint>> {
    TINY.1.compile(format)
}

fn schema(schema: Value) -> Format {
    Format::JsonSchema { schema }
}

/// Whether `text` is one of `format`; `None` when it is only the beginning of one.
fn takes(format: &Format, text: &str) -> Option<bool> {
    let mut constraint = compile(format).unwrap();
    for token in TINY.0.encode_continuation(text).unwrap() {
        if !constraint.mask().unwrap().contains(token) && constraint.forced().unwrap().first() != Some(&token) {
            return Some(false);
        }
        constraint.advance(token).unwrap();
    }
    constraint.is_accepting().unwrap().then_some(true)
}

#[test]
fn formats_take_their_texts() {
    let regex = |regex: &str| Format::Regex { regex: regex.into() };
    let person = schema(json!({
        "type": "object", "properties": { "name": { "type": "string" }, "age": { "type": "integer", "minimum": 0 } },
        "required": ["name"], "additionalProperties": false,
    }));
    for (format, text, taken) in [
        (&regex("a+b"), "aab", Some(true)),
        (&regex("^a+b$"), "aab", Some(true)),
        (&regex("a|b/c"), "b/c", Some(true)),
        (&regex("a+b"), "aa", None),
        (&regex("a+b"), "xaab", Some(false)),
        (&regex("\\d{3}\\$"), "123$", Some(true)),
        (&Format::Choice { choice: vec!["yes".into(), "no\n\"way\"".into()] }, "no\n\"way\"", Some(true)),
        (&Format::Choice { choice: vec!["yes".into(), "no".into()] }, "maybe", Some(false)),
        (&Format::Lark { lark: "start: \"(\" start \")\" | \"x\"".into() }, "((x))", Some(true)),
        (&Format::Lark { lark: "start: \"(\" start \")\" | \"x\"".into() }, "((x)", None),
        (&Format::Json {}, "{\"a\":[1,{\"b\":null}]}", Some(true)),
        (&Format::Json {}, "{ \"a\":1}", Some(false)),
        (&Format::Json {}, "[1]", Some(false)),
        (&person, "{\"name\":\"Ann\",\"age\":3}", Some(true)),
        (&person, "{\"name\":\"Ann\"}", Some(true)),
        (&person, "{\"name\":\"Ann\",\"age\":-3}", Some(false)),
        (&person, "{\"age\":3}", Some(false)),
        (&person, "{\"name\":\"\\ud800\"}", Some(false)),
        (&person, "{\"name\":\"A\\nB é\"}", Some(true)),
    ] {
        assert_eq!(takes(format, text), taken, "{format:?} {text}");
    }
}

#[test]
fn what_cannot_be_enforced_is_named_with_its_place() {
    let at = |keyword: &str, value: Value| json!({ "type": "object", "properties": { "a": { (keyword): value } } });
    for (schema, place, words) in [
        (at("not", json!({})), "#/properties/a/not", "`not` is not enforced"),
        (at("if", json!({})), "#/properties/a/if", "`anyOf`"),
        (at("uniqueItems", json!(true)), "#/properties/a/uniqueItems", "`uniqueItems`"),
        (at("contentEncoding", json!("base64")), "#/properties/a/contentEncoding", "`contentEncoding`"),
        (at("maxLenght", json!(3)), "#/properties/a/maxLenght", "`maxLenght`"),
        (at("x-guidance", json!({})), "#/properties/a/x-guidance", "`x-guidance`"),
        (at("type", json!("text")), "#/properties/a/type", "`type` is \"text\""),
        (at("type", json!([])), "#/properties/a/type", "`type` is []"),
        (at("format", json!("uri-template")), "#/properties/a/format", "date-time"),
        (at("pattern", json!("(?=a)b")), "#/properties/a/pattern", "looks around"),
        (at("pattern", json!("(a)\\1")), "#/properties/a/pattern", "reference back"),
        (at("pattern", json!("a(")), "#/properties/a", "`pattern`"),
        (at("pattern", json!(3)), "#/properties/a/pattern", "must be a string"),
        (at("$ref", json!("#/$defs/none")), "#/properties/a/$ref", "points to nothing"),
        (at("$ref", json!("https://example.com/x.json")), "#/properties/a/$ref", "nothing is fetched"),
        (at("$ref", json!(3)), "#/properties/a/$ref", "must be a string"),
        (at("$id", json!("x")), "#/properties/a/$id", "root only"),
        (at("minimum", json!("3")), "#/properties/a/minimum", "must be a number"),
        (at("minimum", json!(1e300)), "#/properties/a/minimum", "2^53"),
        (at("exclusiveMinimum", json!(true)), "#/properties/a/exclusiveMinimum", "must be a number"),
        (at("multipleOf", json!(0)), "#/properties/a/multipleOf", "greater than 0"),
        (
            json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 0.5 }),
            "#/exclusiveMinimum",
            "not enforced beside these bounds",
        ),
        (json!({ "allOf": [{ "type": "number", "exclusiveMaximum": 0.5 }] }), "#/allOf/0/exclusiveMaximum", "bounds"),
        (json!({ "minLength": -1 }), "#/minLength", "whole number"),
        (json!({ "enum": [] }), "#/enum", "list of values"),
        (json!({ "enum": ["a", "\u{1}"] }), "#/enum/1", "control character"),
        (json!({ "const": 9_007_199_254_740_993u64 }), "#/const", "2^53"),
        (json!({ "anyOf": {} }), "#/anyOf", "list of schemas"),
        (json!({ "items": 3 }), "#/items", "is no schema"),
        (json!({ "required": "a" }), "#/required", "list of names"),
        (json!({ "properties": { "a/b~c": 3 } }), "#/properties/a~1b~0c", "is no schema"),
        (json!({ "properties": { "a": {} }, "minProperties": 1 }), "#/minProperties", "`required`"),
        (json!({ "type": "object", "maxProperties": 1, "properties": { "a": {} } }), "#/maxProperties", "`required`"),
        (json!({ "$schema": "http://json-schema.org/draft-04/schema#" }), "#/$schema", "draft-07"),
        (
            json!({ "type": "object", "properties": { "a": { "oneOf": [{ "type": "integer" }, { "type": "number" }] } }, "required": ["a"] }),
            "#/properties/a",
            "oneOf",
        ),
        (
            json!({ "type": "object", "properties": { "a": { "type": "string", "minLength": 3, "maxLength": 2 } }, "required": ["a"] }),
            "#/properties/a",
            "minLength",
        ),
        (json!([]), "#", "is no schema"),
    ] {
        let error = compile(&self::schema(schema.clone())).expect_err(&schema.to_string());
        assert_eq!(error.code(), ErrorCode::BadOption);
        assert!(
            error.message().contains(&format!("at {place}")) && error.message().contains(words),
            "{schema}: {error}"
        );
    }
}

#[test]
fn grammars_that_are_wrong_say_what() {
    for (format, words) in [
        (Format::Regex { regex: "(".into() }, "`responseFormat.regex`"),
        (Format::Regex { regex: "(?=a)b".into() }, "`responseFormat.regex`"),
        (Format::Lark { lark: "start: nothing".into() }, "`responseFormat.lark`"),
        (Format::Lark { lark: String::new() }, "`responseFormat.lark`"),
        (Format::Choice { choice: vec![] }, "`responseFormat.choice`"),
        (Format::Choice { choice: vec!["a".into(), String::new()] }, "`responseFormat.choice`"),
    ] {
        let error = compile(&format).unwrap_err();
        assert_eq!(error.code(), ErrorCode::BadOption);
        assert!(error.message().contains(words) && !error.message().contains('\u{0}'), "{error}");
    }
}

#[test]
fn patterns_of_ecmascript_become_those_of_rust() {
    for (pattern, expected) in [
        ("^a.b$", "^a[^\\n\\r\\u{2028}\\u{2029}]b$"),
        ("[[&&~]", "[\\[\\&\\&\\~]"),
        ("[^]", "(?s:.)"),
        ("\\cA\\0", "\\u{1}\\u{0}"),
        ("a\\.[\\b]", "a\\.[\\u{8}]"),
    ] {
        assert_eq!(pattern::translate(pattern).as_deref(), Ok(expected), "{pattern}");
    }
    for pattern in ["\\bword", "(?<=a)b", "a\\", "[]"] {
        assert!(pattern::translate(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn a_way_out_completes_the_text() {
    let format = schema(json!({
        "type": "object",
        "properties": { "name": { "type": "string", "minLength": 2 }, "list": { "type": "array", "items": { "$ref": "#" } } },
        "required": ["name", "list"],
    }));
    for start in ["", "{\"name\":\"abc de", "{\"name\":\"abc\",\"list\":[{\"name\":\"a"] {
        let mut constraint = compile(&format).unwrap();
        TINY.0.encode_continuation(start).unwrap().into_iter().for_each(|token| constraint.advance(token).unwrap());
        let out = constraint.way_out(60).unwrap().unwrap();
        let text = format!("{start}{}", TINY.0.decode(&out, false).unwrap());
        assert_eq!(takes(&format, &text), Some(true), "{text}");
        assert_eq!(constraint.way_out(1).unwrap(), None, "longer than one token");
    }
}
