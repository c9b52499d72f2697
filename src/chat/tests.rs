use super::*;
use crate::ErrorCode;
use crate::testing::test;

fn compile(template: Option<&str>) -> Result<ChatTemplate> {
    let mut metadata = Metadata::default();
    metadata.insert("tokenizer.ggml.model", "gpt2");
    metadata.insert("tokenizer.ggml.tokens", vec!["<s>".to_owned()]);
    metadata.insert("tokenizer.ggml.bos_token_id", 0u32);
    if let Some(template) = template {
        metadata.insert(KEY, template);
    }
    ChatTemplate::from_metadata(&metadata, &Tokenizer::from_metadata(&metadata)?)
}

fn conversation() -> Vec<Message> {
    vec![Message::new("system", "Be brief."), Message::new("user", " Hi \n")]
}

#[track_caller]
fn rejects(template: &str, code: ErrorCode, names: &str) {
    let error = compile(Some(template)).and_then(|template| template.render(&conversation(), true)).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.message().contains("tokenizer.chat_template"), "{error}");
    assert!(error.message().contains(names), "{error}");
}

#[test]
fn chatml_stands_in() {
    let text = compile(None).unwrap().render(&conversation(), true).unwrap();
    assert_eq!(
        text,
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi \n<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn bitnet_is_known_by_its_mark() {
    let template =
        "{% for message in messages %}{{ 'Human: ' + message['content'] + 'BITNETAssistant: ' }}{% endfor %}";
    for template in ["BITNET", template] {
        let template = compile(Some(template)).unwrap();
        let text = template.render(&conversation(), true).unwrap();
        assert_eq!(text, "System: Be brief.<|eot_id|>User: Hi<|eot_id|>Assistant: ");
        assert_eq!(template.render(&conversation()[1..], false).unwrap(), "User: Hi<|eot_id|>");
    }
}

#[test]
fn the_clock_is_the_machines() {
    let year = compile(Some("{{ strftime_now('%Y') }}")).unwrap().render(&[], false).unwrap();
    assert!((2024..2200).contains(&year.parse().unwrap()), "{year}");
}

#[test]
fn missing_special_tokens_are_undefined() {
    let template = compile(Some("{{ bos_token }}{{ eos_token is defined }}")).unwrap();
    assert_eq!(template.render(&[], false).unwrap(), "<s>False");
}

#[test]
fn rejects_broken_templates() {
    rejects("one\n{% for x in %}", ErrorCode::Malformed, "line 2");
    rejects("{{ nothing.at.all }}", ErrorCode::Malformed, "line 1");
    rejects("{{ no_such_function() }}", ErrorCode::Malformed, "no_such_function");
    rejects("{{ strftime_now('%Q') }}", ErrorCode::Malformed, "%Q");
    rejects("{{ [1] | tojson(indent=1000) }}", ErrorCode::Malformed, "indent 1000");
    rejects(&" ".repeat(MAX_TEMPLATE_BYTES + 1), ErrorCode::Limits, "262145 bytes");
    rejects("{{ raise_exception('no ' ~ messages[0].role) }}", ErrorCode::BadOption, "no system");
}

#[test]
fn rejects_endless_work() {
    for template in [
        "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s | length }}",
        "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{% for i in range(100000) %}{{ 'x' * 100000 }}{% endfor %}",
        "{{ 'x' * 100000000 }}",
    ] {
        rejects(template, ErrorCode::Limits, "stopped");
    }
    rejects("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", ErrorCode::Malformed, "recursion");
}

#[test]
fn long_conversations_have_fuel() {
    let messages: Vec<Message> = (0..2000).map(|i| Message::new("user", "word ".repeat(i % 100))).collect();
    let text = compile(None).unwrap().render(&messages, true).unwrap();
    assert_eq!(text.matches("<|im_end|>").count(), 2000);
    let book = [Message::new("user", "word ".repeat(1_000_000))];
    assert!(compile(None).unwrap().render(&book, true).unwrap().len() > 5_000_000);
}

#[test]
fn generation_tags_are_blocks() {
    let cases = [
        ("a {%- generation -%} b {% endgeneration %} c", "a {%- if true -%} b {% endif %} c"),
        (
            "{% generation_x %}{{ generation }}{% set generation %}{%",
            "{% generation_x %}{{ generation }}{% set generation %}{%",
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(environment::without_generation_tags(source), expected);
    }
}
