//! Dialogs as bytes, to be continued later without reading everything again.
//!
//! ```text
//! magic, with the version of the format         8 bytes
//! length of the header                          u32
//! header, in JSON                               what the rest belongs to and how long it is, and the messages
//! tokens                                        u32 each
//! keys and values of the first `cached` tokens  f32, in panels as in memory: layer by layer, head by head
//! XXH3-128 of all before                        16 bytes
//! ```
//!
//! Numbers are little-endian. Keys and values are exact, so that an answer does not depend on
//! whether its session was saved. They belong to one model (the hash of its files) and one version
//! of webtern: another may compute or store them differently. The checksum finds damage, not
//! malice: whoever can write a snapshot decides what the model has read.

#![forbid(unsafe_code)]

use super::{Dialog, Engine, Session};
use crate::chat::Message;
use crate::decode;
use crate::error::{Error, Result};
use crate::model::Attention;
use crate::tensor::try_with_capacity;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind, Read, Write};
use xxhash_rust::xxh3::Xxh3Default;

const MAGIC: [u8; 8] = *b"wtsess01";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How keys and values are stored.
const CACHE_TYPE: &str = "f32";
/// Bytes of the checksum.
const CHECKSUM: u64 = 16;
/// Bytes before the header.
const PREFIX: u64 = 12;
/// Bytes that are read at a time.
const BUFFER: usize = 1 << 20;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Header {
    /// The version of webtern.
    engine: String,
    /// The hash of the model, in hexadecimal.
    model: String,
    /// [`CACHE_TYPE`].
    cache: String,
    /// Of block attention; causal attention without.
    block_size: Option<usize>,
    /// How many tokens have keys and values.
    cached: usize,
    /// How many tokens the context has.
    tokens: usize,
    messages: Option<Vec<Message>>,
}

impl Header {
    fn attention(&self) -> Option<Attention> {
        match (self.cached, self.block_size) {
            (0, _) => None,
            (_, Some(size)) => Some(Attention::Block { size }),
            (_, None) => Some(Attention::Causal),
        }
    }

    /// Checks that it belongs to `engine`, and that its numbers can be.
    fn check(&self, engine: &Engine) -> Result<()> {
        let ours = hex(engine.hash);
        for (what, found, expected) in [
            ("webtern", &*self.engine, VERSION),
            ("a cache of type", &self.cache, CACHE_TYPE),
            ("the model with hash", &self.model, &ours),
        ] {
            if found != expected {
                bail!(
                    ForeignSession,
                    "the session was saved by {what} {found}, but this is {expected}: begin a new one"
                );
            }
        }
        let context = engine.info().context_length;
        if self.tokens > context {
            let tokens = self.tokens;
            bail!(
                ContextFull,
                "the session has {tokens} tokens, but the context holds {context}: load the model with a larger `contextLength`"
            );
        }
        let whole = self.attention().is_none_or(|attention| match attention {
            Attention::Block { size } => size > 0 && attention.final_positions(self.cached) == self.cached,
            _ => true,
        });
        if self.cached > self.tokens || !whole {
            bail!(Malformed, "the session has {} tokens, and keys and values for {}", self.tokens, self.cached);
        }
        Ok(())
    }
}

fn hex(hash: u128) -> String {
    format!("{hash:032x}")
}

impl Engine {
    /// Writes what [`Engine::restore_dialog`] reads. Of a request under way it has nothing.
    ///
    /// # Errors
    ///
    /// `io` when `out` fails.
    pub fn save_dialog(&self, dialog: &mut Dialog, out: &mut dyn Write) -> Result<()> {
        let Session { cache, state } = &mut dialog.session;
        let common = state.tokens().iter().zip(&dialog.tokens).take_while(|(a, b)| a == b).count();
        let cached = state.final_tokens(common);
        let header = Header {
            engine: VERSION.to_owned(),
            model: hex(self.hash),
            cache: CACHE_TYPE.to_owned(),
            block_size: match state.attention() {
                Some(Attention::Block { size }) => Some(size),
                _ => None,
            },
            cached,
            tokens: dialog.tokens.len(),
            messages: dialog.messages.clone(),
        };
        let header = serde_json::to_vec(&header).map_err(|error| err!(Crashed, "the session's header: {error}"))?;
        let mut hasher = Xxh3Default::new();
        let mut write = |bytes: &[u8]| {
            hasher.update(bytes);
            out.write_all(bytes)
        };
        let written: io::Result<()> = (|| {
            write(&MAGIC)?;
            write(&(header.len() as u32).to_le_bytes())?;
            write(&header)?;
            dialog.tokens.iter().try_for_each(|token| write(&token.to_le_bytes()))?;
            cache.pieces_mut(cached).try_for_each(|piece| write(bytemuck::cast_slice(piece)))
        })();
        written
            .and_then(|()| out.write_all(&hasher.digest128().to_le_bytes()))
            .map_err(|error| err!(Io, "the session could not be saved: {error}"))
    }

    /// Reads a dialog of `total` bytes that [`Engine::save_dialog`] wrote.
    ///
    /// # Errors
    ///
    /// `malformed` for bytes that are no session, `foreign-session` for one of another model,
    /// version of webtern or type of cache, `truncated` and `integrity` for a damaged one,
    /// `context-full` for one that is longer than the context, `out-of-memory`, and `io` when
    /// `input` fails.
    pub fn restore_dialog(&self, input: &mut dyn Read, total: u64) -> Result<Dialog> {
        let mut input = Checked { input: io::BufReader::with_capacity(BUFFER, input), hasher: Xxh3Default::new() };
        let short = || err!(Truncated, "the saved session ends at byte {total}, before it is complete");
        if total < PREFIX + CHECKSUM {
            return Err(short());
        }
        if input.array()? != MAGIC {
            bail!(Malformed, "this is no saved session: it does not begin with its magic number");
        }
        let header_len = u32::from_le_bytes(input.array()?);
        let rest = (total - PREFIX - CHECKSUM).checked_sub(u64::from(header_len)).ok_or_else(short)?;
        let mut header = try_with_capacity(header_len as usize)?;
        header.resize(header_len as usize, 0);
        input.fill(&mut header)?;
        let header: Header = serde_json::from_slice(&header)
            .map_err(|error| err!(Malformed, "the header of the saved session: {error}"))?;
        header.check(self)?;
        let mut session = self.new_session();
        let cells = session.cache.piece_bytes(header.cached).unwrap_or(usize::MAX) as u64;
        let expected = cells.saturating_add(4 * header.tokens as u64);
        if rest < expected {
            return Err(short());
        }
        if rest > expected {
            bail!(Malformed, "the saved session has {} bytes behind its end", rest - expected);
        }
        let mut tokens = Vec::with_capacity(header.tokens);
        for _ in 0..header.tokens {
            tokens.push(u32::from_le_bytes(input.array()?));
        }
        session.cache.fill(header.cached, |piece| input.fill(bytemuck::cast_slice_mut(piece)))?;
        let computed = input.hasher.digest128();
        if u128::from_le_bytes(input.array()?) != computed {
            bail!(Integrity, "the saved session is damaged: its checksum does not match");
        }
        session.state = decode::Session::holding(tokens[..header.cached].to_vec(), header.attention());
        Ok(Dialog::new(session, header.messages, tokens))
    }
}

/// Reads and hashes.
struct Checked<'a> {
    input: io::BufReader<&'a mut dyn Read>,
    hasher: Xxh3Default,
}

impl Checked<'_> {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.input.read_exact(bytes).map_err(|error| unreadable(&error))?;
        self.hasher.update(bytes);
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}

fn unreadable(error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => err!(Truncated, "the saved session ends before it is complete"),
        _ => err!(Io, "the saved session could not be read: {error}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::dialog::finish;
    use super::super::{EngineLoader, EngineOptions, Prompt, Purpose, Request};
    use super::*;
    use crate::ErrorCode;
    use crate::decode::{Mode, Options};
    use crate::testing::test;

    const TINY: &[u8] = include_bytes!("../../models/tiny/tiny.gguf");

    fn load(bytes: &[u8], options: EngineOptions) -> Engine {
        let mut loader = EngineLoader::new(options);
        loader.begin_file("tiny.gguf", None).unwrap();
        loader.push(bytes).unwrap();
        loader.finish().unwrap()
    }

    pub(in super::super) fn tiny() -> Engine {
        load(TINY, EngineOptions::default())
    }

    fn ask(engine: &mut Engine, dialog: &mut Dialog, text: &str, mode: Mode) -> decode::Outcome {
        let options = Options { mode, max_tokens: Some(40), ..Options::default() };
        let prompt = Prompt::Messages(vec![Message::new("user", text)], Default::default());
        engine.start_dialog(dialog, &Request::new(prompt, options), Purpose::Answer).unwrap();
        finish(engine, dialog).unwrap().unwrap()
    }

    fn save(engine: &Engine, dialog: &mut Dialog) -> Vec<u8> {
        let mut bytes = Vec::new();
        engine.save_dialog(dialog, &mut bytes).unwrap();
        bytes
    }

    fn restore(engine: &Engine, mut bytes: &[u8]) -> Result<Dialog> {
        let total = bytes.len() as u64;
        engine.restore_dialog(&mut bytes, total)
    }

    #[test]
    fn a_restored_dialog_goes_on_as_if_nothing_had_happened() {
        for mode in [Mode::Ar, Mode::Adaptive] {
            let mut engine = tiny();
            let mut dialog = engine.new_dialog();
            let story = "Tell me a story about a dog. ".repeat(3);
            ask(&mut engine, &mut dialog, &story, mode);
            let bytes = save(&engine, &mut dialog);
            let mut other = tiny();
            let mut restored = restore(&other, &bytes).unwrap();
            assert_eq!((restored.tokens(), restored.messages()), (dialog.tokens(), dialog.messages()));
            let expected = ask(&mut engine, &mut dialog, "What is 5 + 8?", mode);
            let outcome = ask(&mut other, &mut restored, "What is 5 + 8?", mode);
            assert_eq!((outcome.text, outcome.tokens), (expected.text, expected.tokens));
            assert_eq!(outcome.stats.reused_tokens, expected.stats.reused_tokens);
            assert!(outcome.stats.reused_tokens >= 32);
            assert_eq!(save(&other, &mut restored), save(&engine, &mut dialog));
        }
        let engine = tiny();
        let empty = save(&engine, &mut engine.new_dialog());
        assert!(restore(&engine, &empty).unwrap().tokens().is_empty());
    }

    #[test]
    fn damaged_snapshots_are_refused() {
        let mut engine = tiny();
        let mut dialog = engine.new_dialog();
        ask(&mut engine, &mut dialog, "What is 5 + 8?", Mode::Ar);
        let bytes = save(&engine, &mut dialog);
        let code = |bytes: &[u8]| restore(&engine, bytes).err().map(|error| error.code());
        for end in (0..bytes.len()).step_by(997).chain([1, 11, 12, 27, 28, bytes.len() - 1]) {
            assert_eq!(code(&bytes[..end]), Some(ErrorCode::Truncated), "{end} of {}", bytes.len());
        }
        assert_eq!(code(&[&bytes[..], b"x"].concat()), Some(ErrorCode::Malformed));
        for place in (0..bytes.len()).step_by(1009).chain(0..300).chain([bytes.len() - 1]) {
            let mut bytes = bytes.clone();
            bytes[place] ^= 4;
            assert!(code(&bytes).is_some(), "byte {place}");
        }
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        assert_eq!(code(&flipped), Some(ErrorCode::Integrity));
        assert_eq!(code(&[0; 100]), Some(ErrorCode::Malformed));
        let total = 1 << 40;
        assert_eq!(
            engine.restore_dialog(&mut &bytes[..], total).err().map(|error| error.code()),
            Some(ErrorCode::Malformed)
        );
    }

    #[test]
    fn foreign_snapshots_are_refused() {
        let mut engine = tiny();
        let mut dialog = engine.new_dialog();
        ask(&mut engine, &mut dialog, "What is 5 + 8?", Mode::Ar);
        let bytes = save(&engine, &mut dialog);
        let header = 12 + u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
        let with = |change: &dyn Fn(&str) -> String| {
            let text = change(std::str::from_utf8(&bytes[12..header]).unwrap());
            [&MAGIC[..], &(text.len() as u32).to_le_bytes(), text.as_bytes(), &bytes[header..]].concat()
        };
        let refused = |bytes: &[u8]| restore(&engine, bytes).err().unwrap();
        for (change, code, words) in [
            (&(|h: &str| h.replace(VERSION, "9.9.9")) as &dyn Fn(&str) -> String, ErrorCode::ForeignSession, "9.9.9"),
            (&|h: &str| h.replace(CACHE_TYPE, "q8"), ErrorCode::ForeignSession, "q8"),
            (&|h: &str| h.replace(&hex(engine.hash), &hex(7)), ErrorCode::ForeignSession, "hash"),
            (&|h: &str| h.replace("\"cached\":", "\"cached\":9"), ErrorCode::Malformed, "keys and values"),
            (&|h: &str| h.replace("\"tokens\":", "\"tokens\":9999"), ErrorCode::ContextFull, "contextLength"),
            (&|h: &str| h.replace("\"blockSize\":null", "\"blockSize\":0"), ErrorCode::Malformed, "keys and values"),
            (&|h: &str| h.replace("\"blockSize\":null", "\"x\":1"), ErrorCode::Malformed, "header"),
        ] {
            let error = refused(&with(change));
            assert!(error.code() == code && error.message().contains(words), "{error} [{}]", error.code());
        }
        let small = load(TINY, EngineOptions { context_length: Some(16), ..EngineOptions::default() });
        assert_eq!(restore(&small, &bytes).err().unwrap().code(), ErrorCode::ContextFull);
    }

    /// A sink that is full, and a source that fails.
    struct Failing;

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::PermissionDenied.into())
        }
    }

    #[test]
    fn failures_of_the_system_are_told() {
        let engine = tiny();
        let error = engine.save_dialog(&mut engine.new_dialog(), &mut Failing).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Io);
        assert_eq!(engine.restore_dialog(&mut Failing, 100).err().unwrap().code(), ErrorCode::Io);
    }
}
