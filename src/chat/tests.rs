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
    Ok(ChatTemplate::from_metadata(&metadata, &Tokenizer::from_metadata(&metadata)?))
}

fn render(template: &ChatTemplate, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
    template.render(&Conversation::new(messages, add_generation_prompt))
}

fn conversation() -> Vec<Message> {
    vec![Message::new("system", "Be brief."), Message::new("user", " Hi \n")]
}

#[track_caller]
fn rejects(template: &str, code: ErrorCode, names: &str) {
    let error = compile(Some(template)).and_then(|template| render(&template, &conversation(), true)).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.message().contains("tokenizer.chat_template"), "{error}");
    assert!(error.message().contains(names), "{error}");
}

#[test]
fn chatml_stands_in() {
    let text = render(&compile(None).unwrap(), &conversation(), true).unwrap();
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
        let text = render(&template, &conversation(), true).unwrap();
        assert_eq!(text, "System: Be brief.<|eot_id|>User: Hi<|eot_id|>Assistant: ");
        assert_eq!(render(&template, &conversation()[1..], false).unwrap(), "User: Hi<|eot_id|>");
    }
}

#[test]
fn the_clock_is_the_machines() {
    let year = render(&compile(Some("{{ strftime_now('%Y') }}")).unwrap(), &[], false).unwrap();
    assert!((2024..2200).contains(&year.parse().unwrap()), "{year}");
}

#[test]
fn missing_special_tokens_are_undefined() {
    let template = compile(Some("{{ bos_token }}{{ eos_token is defined }}")).unwrap();
    assert_eq!(render(&template, &[], false).unwrap(), "<s>False");
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
    let text = render(&compile(None).unwrap(), &messages, true).unwrap();
    assert_eq!(text.matches("<|im_end|>").count(), 2000);
    let book = [Message::new("user", "word ".repeat(1_000_000))];
    assert!(render(&compile(None).unwrap(), &book, true).unwrap().len() > 5_000_000);
}

/// Templates that would take all memory or all time, each by a way of its own.
fn bombs() -> Vec<String> {
    let written = [
        "{% for a in range(10**9) %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}x{% endfor %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s=['x']) %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s | tojson }}",
        "{% set ns = namespace(s=['x']) %}{% for i in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s={}) %}{% for i in range(99) %}{% set ns.s = {'a': ns.s, 'b': ns.s} %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s=['x']) %}{% for i in range(20000) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s | tojson }}",
        "{% set ns = namespace(s=['x']) %}{% for i in range(20000) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s }}",
        "{% macro f(n) %}{{ f(n + 1) }}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
        "{{ 'x' * 10**9 }}{{ [0] * 10**9 }}",
        "{{ [0] * 10**9 }}",
        "{{ 'x'.center(10**9) }}",
        "{{ 'x'.zfill(10**9) }}",
        "{{ 'x'.ljust(10**12, 'é') }}",
        "{{ '{:>1000000000}'.format('x') }}",
        "{{ '{0:>{1}}'.format('x', 10**9) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (10**9, 1) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ 'x' | center(10**9) }}",
        "{{ 'a' | indent(10**9, true) }}",
        "{% for i in range(99999) %}{{ ('x' * 10000) | replace('x', 'y' * 10000) }}{% endfor %}",
        "{% for i in range(99999) %}{{ range(99999) | list | tojson(indent=16) }}{% endfor %}",
        "{% for i in range(99999) %}{{ range(99999) | join('y' * 10000) }}{% endfor %}",
        "{% for i in range(99999) %}{{ strftime_now('%c' * 10000) }}{% endfor %}",
        "{% for i in range(99999) %}{{ ('x,' * 10000).split(',') | length }}{{ ('a ' * 10000).rsplit() | length }}{% endfor %}",
        "{% for i in range(99999) %}{% set x = ('ab' * 10000).casefold().swapcase().title() %}{% endfor %}",
        "{% for i in range(99999) %}{% set x = 'z' in 'x' * 100000 %}{% endfor %}",
        "{% for i in range(99999) %}{% set x = ('x' * 100000).find('z', 5) + ('x' * 100000).count('z', 1) %}{% endfor %}",
        "{% for i in range(99999) %}{% set x = range(99999) | list | sort | unique | list | length %}{% endfor %}",
    ];
    // Two lists that share their parts until either has more leaves than can be visited, which one
    // step then does.
    let grown = |step: &str, last: &str| {
        format!("{{% set ns = namespace(s=['x'], t=['x']) %}}{{% for i in range(99) %}}{step}{{% endfor %}}{last}")
    };
    let nest = "{% set ns.s = [ns.s, ns.s] %}{% set ns.t = [ns.t, ns.t] %}";
    let nested_twice = [
        "{{ ns.s == ns.t }}",
        "{{ ns.s < ns.t }}",
        "{{ 1 < ns.s != ns.t }}",
        "{{ ns.s in [ns.t] }}",
        "{{ ns.s is eq(ns.t) }}",
        "{{ [ns.s] | select('eq', ns.t) | list | length }}",
        "{{ [ns.s, ns.t] | sort | length }}",
        "{{ [ns.s, ns.t] | unique | list | length }}",
        "{{ [ns.s].index(ns.t) }}",
        "{{ [ns.s].count(ns.t) }}",
        "{{ {ns.s: 1}[ns.t] }}",
        "{{ (ns.s ~ ns.t) | length }}",
        "{{ ns.s | string | length }}",
        "{{ [ns.s] | join | length }}",
        "{{ ('%s' % [ns.s]) | length }}",
        "{{ '{}'.format(ns.s) | length }}",
        "{{ 'a' | replace('a', ns.s) | length }}",
        "{{ 'a' in ns.s }}{{ ns.s in 'a' }}",
        "{% macro f(a=ns.s == ns.t) %}{% endmacro %}{{ f() }}",
        "{% set ns = namespace(a=ns) %}{% for i in range(99) %}{% set ns = namespace(a=ns, b=ns) %}{% endfor %}{{ ns ~ '' }}",
    ];
    let summed = "{% set ns.s = ns.s + ns.s %}{% set ns.t = ns.t + ns.t %}";
    let shared = nested_twice.map(|last| grown(nest, last)).into_iter().chain([
        grown(summed, ""),
        grown(summed, "{{ ns.s == ns.t }}"),
        grown("{% set ns.s = ns.s[:] + ns.s[:] %}", "{{ ns.s | length }}"),
        grown("{% set ns.s = ns.s * 2 %}", "{{ ns.s ~ '' }}"),
        grown("{% set ns.s = (ns.s, ns.s) %}", "{{ ns.s ~ '' }}"),
        grown("{% set ns.s = ns.s, ns.s %}", "{{ ns.s ~ '' }}"),
        grown("{% set ns.s = {'a': ns.s, 'b': ns.s} %}", "{{ ns.s ~ '' }}"),
        grown("{% set ns.s = dict(a=ns.s, b=ns.s) %}", "{{ ns.s ~ '' }}"),
        grown("{% set ns.s = [ns.s] | batch(9, ns.s) | list %}", "{{ ns.s ~ '' }}"),
        grown("{% set s = [ns.s] * 99999 == [ns.t] * 99999 %}", ""),
        grown(
            "{% if i < 12 %}{% set ns.s = [ns.s, ns.s] %}{% set ns.t = [ns.t, ns.t] %}{% endif %}",
            "{% for i in range(9999) %}{% if [ns.s] * 99999 == [ns.t] * 99999 %}{% endif %}{% endfor %}",
        ),
        grown("{% set ns.s = [ns] %}", "{{ ns ~ '' }}"),
        grown("{% set ns.t = ns %}{% set ns.s = ns %}", "{{ ns ~ '' }}{{ [ns] == [[ns]] }}"),
    ]);
    let deep = |open: &str, middle: &str, close: &str| {
        let depth = 250_000 / (open.len() + close.len());
        format!("{}{middle}{}", open.repeat(depth), close.repeat(depth))
    };
    let nested = [
        format!("{{{{ {} }}}}", deep("(", "1", ")")),
        format!("{{{{ {} }}}}", deep("[", "1", "]")),
        format!("{{{{ {} }}}}", deep("{'a':", "1", "}")),
        format!("{{{{ {} }}}}", deep("not ", "1", "")),
        format!("{{{{ {} }}}}", deep("-", "1", "")),
        format!("{{{{ {} }}}}", deep("1+", "1", "")),
        format!("{{{{ {} }}}}", deep("1~", "1", "")),
        format!("{{{{ {} }}}}", deep("1**", "1", "")),
        format!("{{{{ {} }}}}", deep("1 and ", "1", "")),
        format!("{{{{ {} }}}}", deep("1 if 1 else ", "1", "")),
        format!("{{{{ {} }}}}", deep("'%s' % ", "1", "")),
        format!("{{{{ {} }}}}", deep("a % (", "1", ")")),
        format!("{{{{ messages{} }}}}", ".a".repeat(100_000)),
        format!("{{{{ messages{} }}}}", "[0]".repeat(80_000)),
        format!("{{{{ messages{} }}}}", "()".repeat(100_000)),
        format!("{{{{ messages{} }}}}", "|length".repeat(30_000)),
        format!("{{{{ messages{} }}}}", " is defined".repeat(20_000)),
        deep("{% if 1 %}", "x", "{% endif %}"),
        deep("{% for a in [1] %}", "x", "{% endfor %}"),
        deep("{% macro a() %}", "x", "{% endmacro %}"),
        format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}\n".repeat(19_000)),
        "\n".repeat(200_000),
        "x".repeat(200_000),
        format!("{{{{ {}", "{".repeat(200_000)),
        format!("{{{{ {} }}}}", "\"".repeat(200_001)),
        "{%".repeat(100_000),
        "{{".repeat(100_000),
        "{#".repeat(100_000),
    ];
    written.into_iter().map(str::to_owned).chain(shared).chain(nested).collect()
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn bombs_are_stopped_in_time() {
    for bomb in bombs() {
        let name = &bomb[..bomb.len().min(100)];
        let cost = crate::fuzz::cost::cost(|| {
            let rendered = compile(Some(&bomb)).and_then(|template| render(&template, &conversation(), true));
            if let Err(error) = rendered {
                assert!(matches!(error.code(), ErrorCode::Limits | ErrorCode::Malformed), "{name}: {error}");
            }
        });
        assert!(cost.seconds < 5.0 && cost.bytes < 128 << 20, "{name}: {cost:?}");
    }
}

#[cfg(target_arch = "wasm32")]
#[test]
fn bombs_are_stopped() {
    for bomb in bombs() {
        let _ = compile(Some(&bomb)).and_then(|template| render(&template, &conversation(), true));
    }
}
