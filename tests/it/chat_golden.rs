//! Chat templates against Jinja2 with the settings of `transformers`
//! (tests/reference/chat_golden.py): those written for the purpose, and where `WEBTERN_CHAT_GOLDEN`
//! names a file, the published ones in it.

use crate::testing::test;
use std::collections::BTreeMap;

use serde::Deserialize;
use webtern::ErrorCode;
use webtern::chat::{ChatTemplate, Conversation, Message, TemplateArgs};
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
    #[serde(default)]
    arguments: TemplateArgs,
    /// What Jinja2 wrote, or
    text: Option<String>,
    /// what it raised,
    error: Option<String>,
    /// and whether the template raised it itself.
    #[serde(default)]
    refused: bool,
}

fn compile(template: &str) -> ChatTemplate {
    let mut metadata = Metadata::default();
    metadata.insert("tokenizer.ggml.model", "gpt2");
    metadata.insert("tokenizer.ggml.tokens", ["<s>", "</s>"].map(str::to_owned).to_vec());
    metadata.insert("tokenizer.ggml.bos_token_id", 0u32);
    metadata.insert("tokenizer.ggml.eos_token_id", 1u32);
    metadata.insert("tokenizer.chat_template", template);
    let tokenizer = Tokenizer::from_metadata(&metadata).unwrap();
    ChatTemplate::from_metadata(&metadata, &tokenizer)
}

/// What differs from Jinja2.
fn differences(golden: &Golden) -> Vec<String> {
    let mut differences = Vec::new();
    for case in &golden.cases {
        let conversation = Conversation {
            messages: &case.messages,
            add_generation_prompt: case.add_generation_prompt,
            arguments: Some(&case.arguments),
            unix_seconds: golden.now,
        };
        let rendered = compile(&golden.templates[&case.template]).render(&conversation);
        let equal = match (&case.text, &case.error, &rendered) {
            (Some(expected), None, Ok(text)) => text == expected,
            (None, Some(expected), Err(error)) if case.refused => {
                error.code() == ErrorCode::BadOption && error.message().ends_with(expected)
            }
            // Python fails on messages that a template was not made for; whether it fails here too
            // does not matter.
            (None, Some(_), _) => !case.refused,
            _ => false,
        };
        if !equal {
            let Case { template, messages, text, error, .. } = case;
            let expected = text.as_ref().or(error.as_ref());
            differences.push(format!("{template} with {messages:?}: expected\n{expected:?}, got\n{rendered:?}"));
        }
    }
    differences
}

#[test]
fn rendering_matches_jinja2() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/chat.json")).unwrap();
    assert!(golden.cases.len() >= 72);
    let differences = differences(&golden);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn published_templates_render_as_in_jinja2() {
    let Some(file) = std::env::var_os("WEBTERN_CHAT_GOLDEN") else { return };
    let golden: Golden = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let differences = differences(&golden);
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), golden.cases.len(), differences.join("\n"));
}
