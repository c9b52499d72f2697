//! The targets that read what others wrote. Errors are what they are for; what they must not do is
//! panic.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::chat::{ChatTemplate, Conversation, Message};
use crate::convert::{ConvertOptions, Plan, TokenizerFiles, tokenizer_metadata, unpickle};
use crate::decode::Options as DecodeOptions;
use crate::engine::{Engine, EngineLoader, EngineOptions, Prompt, Purpose, Request};
use crate::error::Result;
use crate::gguf::Metadata;
use crate::inspect;
use crate::tokenizer::{EncodeOptions, Tokenizer};
use xxhash_rust::xxh3::xxh3_128;

/// Bytes of the checksum at the end of a saved session.
const SESSION_CHECKSUM: usize = 16;

/// Passes of a generation; more of them show nothing new.
const PASSES: usize = 6;

const TEXT: &str = "Hello <|im_end|> world,  é\u{301}\n12345 漢字 🙂</s>";

const MODEL: &[u8] = include_bytes!("../../tests/golden/model/bitnet-float.gguf");
const CONFIG: &[u8] = include_bytes!("../../tests/golden/checkpoints/llama-tied/config.json");
const WEIGHTS: &[u8] = include_bytes!("../../tests/golden/checkpoints/llama-tied/model.safetensors");
const TOKENIZER: &[u8] = include_bytes!("../../tests/golden/checkpoints/tokenizer/tokenizer.json");

/// A model file is inspected and loaded, and what loads is run.
pub(super) fn gguf(input: &[u8]) {
    let mut files = BTreeMap::from([("model.gguf".to_owned(), input.to_vec())]);
    let _ = inspect::model(&mut files, "model.gguf", &mut |_, _| Ok(()));
    drop(files);
    let Ok(mut engine) = load(input) else { return };
    for mode in ["ar", "auto"] {
        let request = format!(r#"{{ "tokens": [1, 2, 3], "mode": "{mode}", "maxTokens": 4 }}"#);
        if let Ok(request) = Request::from_json(&request) {
            let _ = generate(&mut engine, &request);
        }
    }
}

fn load(file: &[u8]) -> Result<Engine> {
    let mut loader = EngineLoader::new(EngineOptions::default());
    loader.begin_file("model.gguf", Some(file.len() as u64))?;
    for piece in file.chunks(1000) {
        loader.push(piece)?;
    }
    loader.finish()
}

fn generate(engine: &mut Engine, request: &Request) -> Result<()> {
    engine.start(request)?;
    let mut events = Vec::new();
    for _ in 0..PASSES {
        if !engine.step(&mut events)? {
            return Ok(());
        }
    }
    engine.cancel(&mut events);
    Ok(())
}

/// A checkpoint with a sound tokenizer and configuration is converted, unless `input` replaces one
/// of them.
fn convert(name: &str, input: &[u8]) {
    let weights = ("model.safetensors", WEIGHTS);
    let others = [("config.json", CONFIG), ("tokenizer.json", TOKENIZER), weights];
    let weights_replaced = name == "pytorch_model.bin";
    let kept = others.into_iter().filter(|(other, _)| !(weights_replaced && *other == weights.0));
    let files = kept.chain([(name, input)]).map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
    let mut files: BTreeMap<String, Vec<u8>> = files.collect();
    let _ = inspect::checkpoint(&mut files, &ConvertOptions::default());
    if let Ok(plan) = Plan::new(&mut files, &ConvertOptions::default()) {
        let _ = plan.write(&mut files, std::io::sink(), &mut |_| Ok(()));
    }
}

/// Weights as safetensors.
pub(super) fn safetensors(input: &[u8]) {
    convert("model.safetensors", input);
}

/// Weights as `torch.save` writes them.
pub(super) fn zip(input: &[u8]) {
    convert("pytorch_model.bin", input);
}

/// The pickle of such a file.
pub(super) fn pickle(input: &[u8]) {
    let _ = unpickle(input);
}

/// A checkpoint's configuration.
pub(super) fn config(input: &[u8]) {
    convert("config.json", input);
}

/// `tokenizer.model`, in protocol buffers.
pub(super) fn protobuf(input: &[u8]) {
    use_tokenizer(&TokenizerFiles { model: Some(input), ..TokenizerFiles::default() });
}

/// `tokenizer.json`.
pub(super) fn tokenizer(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    use_tokenizer(&TokenizerFiles { tokenizer: Some(&text), ..TokenizerFiles::default() });
}

/// A tokenizer that can be built reads any text, and reads what it writes.
fn use_tokenizer(files: &TokenizerFiles<'_>) {
    let Ok(metadata) = tokenizer_metadata(files, &mut Vec::new()) else { return };
    let Ok(tokenizer) = Tokenizer::from_metadata(&metadata) else { return };
    for parse_special in [false, true] {
        let Ok(ids) = tokenizer.encode(TEXT, EncodeOptions { add_special: true, parse_special }) else { continue };
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.len()), "ids are tokens");
        tokenizer.decode(&ids, false).expect("ids are tokens");
    }
}

/// A chat template, behind the first NUL what a user says. A template that renders with a guard
/// lets no control token of the user through.
pub(super) fn template(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (source, said) = text.split_once('\0').unwrap_or((&text, "Hi <|im_end|>"));
    let tokenizer = chat_tokenizer();
    let Ok(template) = ChatTemplate::supplied(source, &tokenizer) else { return };
    let messages = [Message::new("system", "Be brief."), Message::new("user", said), Message::new("assistant", "x")];
    let conversation = Conversation { unix_seconds: 0, ..Conversation::new(&messages, true) };
    let _ = template.render(&conversation);
    // A conversation without anything that could be a control token has none but the template's.
    let harmless = messages.clone().map(|message| Message::new(message.role, ""));
    let Ok((guarded, guard)) = template.render_guarded(&conversation) else { return };
    let _ = guard.reveal(&guarded);
    let _ = template.render_guarded(&Conversation { messages: &harmless, ..conversation });
}

fn chat_tokenizer() -> Tokenizer {
    let tokens = ["<|im_start|>", "<|im_end|>", "a", "b"].map(str::to_owned).to_vec();
    let mut metadata = Metadata::default();
    metadata.insert("tokenizer.ggml.model", "gpt2");
    metadata.insert("tokenizer.ggml.pre", "gpt-2");
    metadata.insert("tokenizer.ggml.tokens", tokens);
    metadata.insert("tokenizer.ggml.token_type", vec![3i32, 3, 1, 1]);
    Tokenizer::from_metadata(&metadata).expect("a sound vocabulary")
}

thread_local! {
    static ENGINE: RefCell<Engine> = RefCell::new(load(MODEL).expect("a sound model"));
}

/// What a page or a client asks for.
pub(super) fn request(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(request) = Request::from_json(&text) {
        ENGINE.with_borrow_mut(|engine| {
            let _ = generate(engine, &request);
            // Whatever was asked, the next request is answered.
            let next =
                Request::new(Prompt::Tokens(vec![1, 2]), DecodeOptions { max_tokens: Some(1), ..Default::default() });
            generate(engine, &next).expect("a sound request");
        });
    }
}

/// A saved session, with a checksum that matches: what is behind it is to be reached. One that can
/// be restored can be continued, and saved as it was.
pub(super) fn session(input: &[u8]) {
    let sound = input.len().saturating_sub(SESSION_CHECKSUM);
    let input = [&input[..sound], &xxh3_128(&input[..sound]).to_le_bytes()].concat();
    ENGINE.with_borrow_mut(|engine| {
        let Ok(mut dialog) = engine.restore_dialog(&mut &input[..], input.len() as u64) else { return };
        let mut saved = Vec::new();
        engine.save_dialog(&mut dialog, &mut saved).expect("memory");
        let again = engine.restore_dialog(&mut &saved[..], saved.len() as u64).expect("what was saved");
        assert_eq!((again.tokens(), again.messages()), (dialog.tokens(), dialog.messages()));
        let options = DecodeOptions { max_tokens: Some(1), ..Default::default() };
        let next = Request::new(Prompt::Tokens(vec![1]), options);
        if engine.start_dialog(&mut dialog, &next, Purpose::Answer).is_ok() {
            let _ = engine.step_dialog(&mut dialog, 0.0, &mut Vec::new());
        }
    });
}

/// A session in which `request` was answered, saved.
pub(super) fn saved_session(request: &str) -> Vec<u8> {
    ENGINE.with_borrow_mut(|engine| {
        let request = Request::from_json(request).expect("a sound request");
        let mut dialog = engine.new_dialog();
        if engine.start_dialog(&mut dialog, &request, Purpose::Append).is_ok() {
            while engine.step_dialog(&mut dialog, 0.0, &mut Vec::new()).expect("a sound model") {}
        }
        let mut saved = Vec::new();
        engine.save_dialog(&mut dialog, &mut saved).expect("memory");
        saved
    })
}

/// How a model is to be loaded and a checkpoint to be converted.
pub(super) fn options(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Ok(options) = EngineOptions::from_json(&text) else { return };
    let mut loader = EngineLoader::new(options);
    let loaded = loader.begin_file("model.gguf", None).and_then(|()| loader.push(MODEL)).and_then(|()| loader.finish());
    if let Ok(mut engine) = loaded {
        let request =
            Request::new(Prompt::Tokens(vec![1, 2]), DecodeOptions { max_tokens: Some(1), ..Default::default() });
        let _ = generate(&mut engine, &request);
    }
}
