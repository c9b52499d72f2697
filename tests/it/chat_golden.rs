//! Chat templates against Jinja2 with the settings of `transformers` (tests/reference/chat_golden.py).

use crate::testing::test;
use std::collections::BTreeMap;

use serde::Deserialize;
use webtern::ErrorCode;
use webtern::chat::{ChatTemplate, Message};
use webtern::gguf::Metadata;
use webtern::tokenizer::Tokenizer;

#[derive(Deserialize)]
struct Golden {
    now: u64,
    templates: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    messages: Vec<Message>,
    add_generation_prompt: bool,
    /// What Jinja2 wrote, or
    text: Option<String>,
    /// what it raised.
    error: Option<String>,
}

fn compile(template: &str) -> ChatTemplate {
    let mut metadata = Metadata::default();
    metadata.insert("tokenizer.ggml.model", "gpt2");
    metadata.insert("tokenizer.ggml.tokens", ["<s>", "</s>"].map(str::to_owned).to_vec());
    metadata.insert("tokenizer.ggml.bos_token_id", 0u32);
    metadata.insert("tokenizer.ggml.eos_token_id", 1u32);
    metadata.insert("tokenizer.chat_template", template);
    let tokenizer = Tokenizer::from_metadata(&metadata).unwrap();
    ChatTemplate::from_metadata(&metadata, &tokenizer).unwrap()
}

#[test]
fn rendering_matches_jinja2() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/chat.json")).unwrap();
    assert!(golden.cases.len() >= 60);
    for case in golden.cases {
        let template = compile(&golden.templates[&case.template]);
        let rendered = template.render_at(&case.messages, &Default::default(), case.add_generation_prompt, golden.now);
        let name = format!("{} with {:?}", case.template, case.messages);
        match (case.text, case.error, rendered) {
            (Some(expected), None, Ok(text)) => assert_eq!(text, expected, "{name}"),
            (None, Some(expected), Err(error)) if error.code() == ErrorCode::BadOption => {
                assert!(error.message().ends_with(&expected), "{name}: {error}");
            }
            // Jinja2 fails where a template indexes an empty conversation.
            (None, Some(_), Err(error)) => assert!(case.messages.is_empty(), "{name}: {error}"),
            (expected, error, rendered) => panic!("{name}: expected {expected:?} or {error:?}, got {rendered:?}"),
        }
    }
}
