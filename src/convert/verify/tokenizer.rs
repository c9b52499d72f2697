//! Whether the tokenizer in a file is the checkpoint's.
//!
//! `tokenizer.json` is run by the `tokenizers` crate, which defines it, and both have to give the
//! same ids. There is no such reference for `tokenizer.model`: that is converted once more. Then
//! the ids are decoded, which has to give the text back, except for characters that the vocabulary
//! cannot express. Tokens with a role and the chat template are compared with what conversion makes
//! of them.
//!
//! Two things are known to differ in files of other converters, because GGUF has no words for them,
//! and are no faults: NFC normalization, and a sentencepiece space that is put in front of some
//! texts only.

#![forbid(unsafe_code)]

use crate::error::Result;
use crate::files::{Files, text};
use crate::findings::Finding;
use crate::gguf::Metadata;
use crate::tokenizer::{EncodeOptions, TokenType, Tokenizer};
use serde::Serialize;
use std::collections::HashMap;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::{NormalizedString, Normalizer as _, NormalizerWrapper, PreTokenizerWrapper};

/// Special tokens that texts are written with.
const SPECIAL_TOKENS: usize = 8;

/// Texts of every kind. All but the last are composed (NFC).
const TEXTS: [&str; 28] = [
    "",
    " ",
    "Hello, world!",
    "  two spaces before and after  ",
    "a\tb\n\nc\r\n d \u{b}\u{85}\u{a0}\u{2028}\u{3000}e",
    "        deeper\n    than\n  that",
    "it's they'll we'VE I'm don't 'tis ''",
    "0 42 1234567890 3.14159 1,234.5 0x1F 1e-9 2024-02-29",
    "½ Ⅷ ² ٤٥٦ १२३ ㊿",
    "fn main() { let x: Vec<u8> = vec![0; 16]; x[0] += 1; }",
    "def f(a, *b, **c):\n\treturn {k: v for k, v in c.items()}  # ok?",
    "<div class=\"a\">&nbsp;</div> -> => :: != && || ?.",
    "https://example.org/path?q=a%20b&c=d#e user@example.org",
    "naïve café Führer Ærøskøbing İſ ǅ",
    "Ελληνικά България Հայերեն",
    "שלום مرحبا بالعالم فارسی",
    "नमस्ते ประเทศไทย ខ្មែរ தமிழ்",
    "你好，世界。日本語のカタカナ 한국어",
    "😀 👩‍👩‍👧‍👦 👍🏽 🇧🇬 1️⃣ ☺️",
    "\u{200d}\u{feff}\u{fffd}\u{10ffff}\u{e000}",
    "\0\u{1}\u{7f}",
    "▁ is not a space, nor is Ġ, nor Ċ",
    "<0x0A> <unk> </s> <|endoftext|> <|im_end",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "WHAT? what! What... “what” ‘what’ —what–",
    "\\n is two characters; $x^2 + \\frac{1}{2}$ is mathematics",
    "e\u{301} a\u{308}\u{323} \u{1100}\u{1161} \u{212a}",
];

/// How the tokenizer of a file and that of its checkpoint compare.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenizerCheck {
    /// Where the checkpoint's comes from: `tokenizer.json` or `tokenizer.model`.
    pub reference: &'static str,
    /// Texts that were encoded by both.
    pub texts: usize,
    /// Those whose ids differ.
    pub differing: usize,
    /// Those that decoding does not give back.
    pub lossy: usize,
}

/// Compares the tokenizer in the metadata of a file with that of its checkpoint, which converts to
/// `expected`.
pub(super) fn check(
    metadata: &Metadata,
    expected: &Metadata,
    checkpoint: &mut dyn Files,
) -> Result<(TokenizerCheck, Vec<Finding>)> {
    let ours = Tokenizer::from_metadata(metadata)?;
    let converted = Tokenizer::from_metadata(expected)?;
    let mut findings = roles(&ours, &converted)?;
    findings.extend(chat_template(metadata, expected)?);
    let theirs = match text(checkpoint, "tokenizer.json")? {
        Some(json) => {
            Reference::Json(Box::new(json.parse().map_err(|error| err!(Malformed, "tokenizer.json: {error}"))?))
        }
        None => Reference::Model(Box::new(converted)),
    };
    let with_special = special_texts(&ours);
    let texts: Vec<&str> = TEXTS.into_iter().chain(with_special.iter().map(String::as_str)).collect();

    let mut lossless = Lossless { tokenizer: &ours, known: HashMap::new() };
    let mut check = TokenizerCheck { reference: theirs.name(), texts: texts.len(), differing: 0, lossy: 0 };
    for text in texts {
        if let Some(finding) = difference(&ours, &theirs, text)? {
            check.differing += 1;
            findings.push(finding);
        }
        if let Some(finding) = lossless.loss(text)? {
            check.lossy += 1;
            findings.push(finding);
        }
    }
    // One of each kind says enough.
    let mut seen = Vec::new();
    findings.retain(|finding| {
        let new = !seen.contains(&finding.code);
        seen.push(finding.code);
        new
    });
    Ok((check, findings))
}

/// Which tokens end answers, and which go around a text.
fn roles(ours: &Tokenizer, converted: &Tokenizer) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut differ = |what: &str, own: &[u32], expected: &[u32]| {
        if own != expected {
            let message = format!("{what} {own:?} in the file, and {expected:?} by the checkpoint");
            findings.push(Finding::problem("special-tokens", message).remedy(super::CONVERT_AGAIN));
        }
    };
    differ("answers end at the tokens", ours.stop_ids(), converted.stop_ids());
    let around = EncodeOptions { add_special: true, parse_special: false };
    differ("the tokens around a text are", &ours.encode("", around)?, &converted.encode("", around)?);
    Ok(findings)
}

fn chat_template(metadata: &Metadata, expected: &Metadata) -> Result<Option<Finding>> {
    const KEY: &str = "tokenizer.chat_template";
    let same = metadata.string(KEY)? == expected.string(KEY)?;
    let finding = || {
        let message = "the chat template in the file is not the checkpoint's";
        Finding::warning("chat-template", message)
            .remedy("unless it was replaced on purpose, convert the checkpoint again")
    };
    Ok((!same).then(finding))
}

/// Texts with special tokens between, before and after others.
fn special_texts(tokenizer: &Tokenizer) -> Vec<String> {
    let ids = (0..tokenizer.len() as u32).filter(|id| is_special(tokenizer, *id)).take(SPECIAL_TOKENS);
    let tokens: Vec<&str> = ids.filter_map(|id| tokenizer.token(id)).collect();
    let mut texts: Vec<String> = tokens.iter().map(|token| format!("a{token}b {token} c{token}")).collect();
    texts.push(tokens.concat());
    texts
}

fn is_special(tokenizer: &Tokenizer, id: u32) -> bool {
    matches!(tokenizer.token_type(id), Some(TokenType::Control | TokenType::UserDefined))
}

enum Reference {
    Json(Box<tokenizers::Tokenizer>),
    Model(Box<Tokenizer>),
}

impl Reference {
    fn name(&self) -> &'static str {
        match self {
            Self::Json(_) => "tokenizer.json",
            Self::Model(_) => "tokenizer.model",
        }
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        match self {
            Self::Json(tokenizer) => {
                let encoding = tokenizer.encode(text, false);
                Ok(encoding.map_err(|error| err!(Malformed, "tokenizer.json: {text:?}: {error}"))?.get_ids().to_vec())
            }
            Self::Model(tokenizer) => encode(tokenizer, text),
        }
    }

    /// The text composed, if this tokenizer does so.
    fn composed(&self, text: &str) -> Option<String> {
        let Self::Json(tokenizer) = self else { return None };
        let Some(NormalizerWrapper::NFC(normalizer)) = tokenizer.get_normalizer() else { return None };
        let mut text = NormalizedString::from(text);
        normalizer.normalize(&mut text).ok()?;
        Some(text.get().to_owned())
    }

    /// Whether a space is put in front, but not of a text that begins with one, nor of every text
    /// after a special token.
    fn prefixes_at_times(&self) -> bool {
        let Self::Json(tokenizer) = self else { return false };
        let Some(PreTokenizerWrapper::Metaspace(metaspace)) = tokenizer.get_pre_tokenizer() else { return false };
        metaspace.get_prepend_scheme() != PrependScheme::Never
    }
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
    tokenizer.encode(text, EncodeOptions { add_special: false, parse_special: true })
}

fn difference(ours: &Tokenizer, theirs: &Reference, text: &str) -> Result<Option<Finding>> {
    let (own, reference) = (encode(ours, text)?, theirs.encode(text)?);
    if own == reference {
        return Ok(None);
    }
    if let Some(composed) = theirs.composed(text)
        && encode(ours, &composed)? == reference
    {
        let message = "the checkpoint's tokenizer composes characters first (NFC), which GGUF cannot say: a decomposed text has other \
                       ids in the file";
        return Ok(Some(
            Finding::note("tokenizer-normalization", message).remedy("give the model composed text, which most is"),
        ));
    }
    let ids = format!("{text:?} has the ids {own:?} in the file, and {reference:?} in the checkpoint");
    let special = own.iter().any(|id| is_special(ours, *id));
    if (special || text.starts_with([' ', '▁'])) && theirs.prefixes_at_times() {
        let message = format!(
            "the checkpoint's tokenizer puts a space in front of a text, but not of one that begins with a space, nor perhaps after a \
             special token, and GGUF cannot say so: {ids}"
        );
        return Ok(Some(Finding::note("tokenizer-prefix", message)));
    }
    Ok(Some(Finding::problem("tokenizer-ids", ids).remedy(super::CONVERT_AGAIN)))
}

/// Decoding, and the characters that survive it.
struct Lossless<'a> {
    tokenizer: &'a Tokenizer,
    known: HashMap<char, bool>,
}

impl Lossless<'_> {
    fn survives(&self, text: &str) -> Result<bool> {
        Ok(self.tokenizer.decode(&encode(self.tokenizer, text)?, false)? == text)
    }

    /// Says so if decoding does not give `text` back, without the characters that it gives back of
    /// no text.
    fn loss(&mut self, text: &str) -> Result<Option<Finding>> {
        let mut kept = String::new();
        // What comes back is the text as the tokenizer normalizes it.
        for c in self.tokenizer.normalize(text).chars() {
            let survives = match self.known.get(&c) {
                Some(survives) => *survives,
                None => self.survives(c.encode_utf8(&mut [0; 4]))?,
            };
            self.known.insert(c, survives);
            kept.extend(survives.then_some(c));
        }
        let finding = || {
            Finding::problem("tokenizer-text", format!("{kept:?} does not come back when its ids are decoded"))
                .remedy(super::CONVERT_AGAIN)
        };
        Ok((!self.survives(&kept)?).then(finding))
    }
}
