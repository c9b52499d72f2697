//! Text from random ids, as the `tokenizers` package makes it:
//! `tests/reference/detokenizer_cases.py`.

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use webtern::convert::{TokenizerFiles, tokenizer_metadata};
use webtern::tokenizer::{TokenText as _, Tokenizer, Utf8Stream};

#[derive(Deserialize)]
struct Case {
    ids: Vec<u32>,
    /// With special tokens.
    text: String,
    /// Without them.
    plain: String,
}

/// The folder that `make test` lets Python fill.
fn cases() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("WEBTERN_TOKENIZER_CASES") else {
        eprintln!("skipped: WEBTERN_TOKENIZER_CASES names no folder; make test fills one");
        return None;
    };
    Some(PathBuf::from(folder).join("decode"))
}

fn tokenizer(json: &str, pre: &str, config: &str) -> Tokenizer {
    let files = TokenizerFiles { tokenizer: Some(json), tokenizer_config: Some(config), ..TokenizerFiles::default() };
    let mut metadata = tokenizer_metadata(&files, &mut Vec::new()).unwrap();
    metadata.insert("tokenizer.ggml.pre", pre);
    Tokenizer::from_metadata(&metadata).unwrap()
}

#[test]
fn random_ids_decode_as_in_the_tokenizers_package() {
    let Some(folder) = cases() else { return };
    for pre in ["gpt-2", "llama-bpe", "qwen2", "smollm", "default", "falcon"] {
        let json = fs::read_to_string(folder.join(format!("{pre}.json"))).unwrap();
        // Whatever a checkpoint says of cleaning up: the tokens are the text.
        for config in [r#"{"clean_up_tokenization_spaces": true}"#, r#"{"clean_up_tokenization_spaces": false}"#] {
            let tokenizer = tokenizer(&json, pre, config);
            let lines = fs::read_to_string(folder.join(format!("{pre}.jsonl"))).unwrap();
            assert!(lines.lines().count() >= 10_000);
            for line in lines.lines() {
                let Case { ids, text, plain } = serde_json::from_str(line).unwrap();
                assert_eq!(tokenizer.decode(&ids, false).unwrap(), text, "{pre}: {ids:?}");
                assert_eq!(tokenizer.decode(&ids, true).unwrap(), plain, "{pre}: {ids:?}");
                // One token at a time, as a generation writes.
                let (mut stream, mut streamed) = (Utf8Stream::default(), String::new());
                ids.iter().for_each(|&id| stream.push(tokenizer.token_bytes(id), &mut streamed));
                stream.finish(&mut streamed);
                assert_eq!(streamed, plain, "{pre}: {ids:?}");
            }
        }
    }
}
