//! What mutations begin with: sound inputs of every kind, small ones, and natively what libFuzzer
//! found (`tests/fuzz/corpus`).

use super::targets;

/// The bytes of a file in `tests/golden`.
macro_rules! golden {
    ($($path:literal),+) => { vec![$(include_bytes!(concat!("../../tests/golden/", $path)).to_vec()),+] };
}

const TEMPLATES: [&str; 5] = [
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content | trim }}<|im_end|>\n{% endfor %}",
    "{%- set ns = namespace(x='') -%}{% for m in messages[::-1] %}{% if '</think>' in m.content %}{% set ns.x = m.content.split('</think>')[-1] \
     .lstrip('\\n') %}{% endif %}{% endfor %}{{ ns.x ~ '%s-%02d' % ('a', 7) }}\0<think>a</think>\n\nb",
    "{% macro f(n) %}{{ n if n < 2 else f(n - 1) }}{% endmacro %}{{ f(5) }}{{ messages | tojson(indent=2, sort_keys=true) }}{{ range(3) | list }}",
    "{{ 'a,b'.rsplit(',', 1) }}{{ 'x'.center(5, '*') }}{{ '{:>5}'.format('a') }}{{ strftime_now('%d %B %Y') }}{{ 'ab' * 3 }}{{ [1] * 2 }}",
    "{% if messages | length > 9 %}{{ raise_exception('no') }}{% else %}{% generation %}{{ messages | selectattr('role', 'equalto', 'user') | map( \
     attribute='content') | join('|') | upper | replace('A', 'bb') }}{% endgeneration %}{% endif %}\0a|b<|im_end|>",
];

const REQUESTS: [&str; 5] = [
    r#"{"prompt":"Hello","mode":"ar","maxTokens":4,"temperature":0.7,"topK":5,"topP":0.9,"minP":0.1,"repetitionPenalty":1.1,"seed":7}"#,
    r#"{"messages":[{"role":"user","content":"Hi"}],"parseSpecial":"template","chatTemplateArgs":{"enable_thinking":false},"stop":["a","\n"]}"#,
    r#"{"tokens":[1,2,3],"mode":"iterative","threshold":0.9,"blockSize":8,"subBlockSize":4,"dualCache":true}"#,
    r#"{"tokens":[1],"mode":"auto","maxTokens":1,"stop":[]}"#,
    r#"{"prompt":"","mode":"greedy"}"#,
];

const OPTIONS: [&str; 3] = [
    r#"{"contextLength":64,"maskTokenId":5,"forceMaskToken":true,"attention":"causal"}"#,
    r#"{"chatTemplate":"{{ messages }}","chatTemplateArgs":{"a":[1,null]}}"#,
    "{}",
];

/// The seeds of the target `name`.
pub fn seeds(name: &str) -> Vec<Vec<u8>> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    let mut seeds: Vec<Vec<u8>> = match name {
        "gguf" => golden!["model/bitnet-float.gguf", "model/llama-partial-rope.gguf"],
        "safetensors" => golden!["checkpoints/llama-tied/model.safetensors"],
        "zip" => golden!["torch/two.pt", "torch/types.pt", "torch/views.pt", "torch/compressed.pt", "torch/none.pt"],
        "pickle" => {
            let files = golden![
                "torch/two.pt",
                "torch/training.pt",
                "torch/views.pt",
                "torch/protocol-5.pt",
                "torch/module.pt",
                "torch/command.pt"
            ];
            files.iter().filter_map(|file| pickle(file)).map(<[u8]>::to_vec).collect()
        }
        "config" => golden![
            "checkpoints/llama-tied/config.json",
            "checkpoints/bitnet-bitlinear/config.json",
            "checkpoints/qwen2-yarn/config.json",
            "checkpoints/fast-dllm/config.json"
        ],
        "protobuf" => golden!["sentencepiece/unknown.model", "sentencepiece/bytes.model"],
        "tokenizer" => golden!["checkpoints/tokenizer/tokenizer.json"],
        "template" => texts(&TEMPLATES),
        "request" => texts(&REQUESTS),
        "options" => texts(&OPTIONS),
        "session" => sessions(),
        _ => (0..10u8).map(|kind| (0..40).map(|i: u8| kind.wrapping_add(i.wrapping_mul(i))).collect()).collect(),
    };
    seeds.extend(found(name));
    seeds
}

/// Saved sessions: an empty one, one of tokens, and one of messages.
fn sessions() -> Vec<Vec<u8>> {
    let requests =
        [r#"{"tokens":[],"maxTokens":1}"#, r#"{"tokens":[1,2,3]}"#, r#"{"messages":[{"role":"user","content":"a"}]}"#];
    requests.map(targets::saved_session).to_vec()
}

/// The pickle in an archive that does not compress: up to the next header of the archive.
fn pickle(file: &[u8]) -> Option<&[u8]> {
    let place = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
    let start = place(file, b"\x80\x02").or(place(file, b"\x80\x05"))?;
    let end = place(&file[start..], b"PK")?;
    // Behind the last STOP there is padding.
    let stop = file[start..start + end].iter().rposition(|&byte| byte == b'.')?;
    Some(&file[start..=start + stop])
}

#[cfg(not(target_arch = "wasm32"))]
fn found(name: &str) -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

#[cfg(target_arch = "wasm32")]
fn found(_: &str) -> Vec<Vec<u8>> {
    Vec::new()
}
