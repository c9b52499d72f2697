//! Text to token ids and back, from the `tokenizer.ggml.*` metadata of a GGUF file.
//!
//! Encoding has three steps: cut the text at the special tokens that occur in it (`partition`),
//! tokenize what lies between (`bpe` for `gpt2` vocabularies, `spm` for `llama` ones), put BOS in
//! front and EOS behind where the model wants them. Decoding is a table look-up: every token is a
//! fixed byte string (`text`), so a text is the concatenation of its tokens' bytes, whoever streams
//! them.
//!
//! Where metadata is silent or odd, the rules are llama.cpp's, because those files were made for
//! it.

#![forbid(unsafe_code)]

mod bpe;
mod end;
mod mask;
mod partition;
mod spm;
mod stream;
mod text;
mod types;
mod vocabulary;
mod words;

pub(crate) use mask::MASK_NAMES;
pub(crate) use text::{byte_level, byte_of_name};
pub(crate) use words::{LLAMA_BPE_PATTERN, PreTokenizer, QWEN2_PATTERN};

pub use mask::MaskChoice;
pub use stream::{TokenText, Utf8Stream};
pub use types::{SpecialIds, TokenType, Warning};
pub(crate) use vocabulary::NORMALIZER;

use std::borrow::Cow;

use tokenizers::NormalizedString;

use crate::Result;
use crate::gguf::Metadata;
use partition::{Piece, SpecialTokens};
use text::TokenTable;
use types::Model;
use vocabulary::Vocabulary;

/// Choices of one [`Tokenizer::encode`] call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Add BOS and EOS as the model's metadata asks for.
    pub add_special: bool,
    /// Read the text of a control token (`<|im_end|>`) as that token. Off, it is tokenized like any
    /// other text; user-defined tokens are recognized either way. Leave it off for text that the
    /// model's user did not vouch for.
    pub parse_special: bool,
}

/// The tokenizer of a model.
#[derive(Debug)]
pub struct Tokenizer {
    encoder: Encoder,
    special_tokens: SpecialTokens,
    table: TokenTable,
    special: SpecialIds,
    end_ids: Vec<u32>,
    warnings: Vec<Warning>,
    add_bos: bool,
    add_eos: bool,
    add_space_prefix: bool,
    nfc: bool,
}

#[derive(Debug)]
enum Encoder {
    Bpe(Box<bpe::Bpe>),
    Spm(spm::Spm),
}

impl Tokenizer {
    /// Builds the tokenizer that `tokenizer.ggml.*` describes.
    ///
    /// A token string that occurs twice keeps both ids for decoding; encoding uses the last.
    ///
    /// # Errors
    /// `unsupported-architecture` for a tokenizer model or pre-tokenizer that webtern does not
    /// have, `limits` for an outsized vocabulary, `malformed` when arrays disagree in length, a key
    /// or id is missing or out of range, or a merge names a token that is not in the vocabulary.
    pub fn from_metadata(metadata: &Metadata) -> Result<Self> {
        Self::new(Vocabulary::from_metadata(metadata)?)
    }

    fn new(vocabulary: Vocabulary) -> Result<Self> {
        let table = TokenTable::new(&vocabulary);
        let special_tokens = SpecialTokens::new(&vocabulary)?;
        let Vocabulary { special, add_bos, add_eos, add_space_prefix, nfc, .. } = vocabulary;
        let (end_ids, warnings) = (vocabulary.end_ids.clone(), vocabulary.warnings.clone());
        let encoder = match vocabulary.model {
            Model::Bpe(pre) => Encoder::Bpe(Box::new(bpe::Bpe::new(pre, vocabulary)?)),
            Model::Spm => Encoder::Spm(spm::Spm::new(vocabulary)?),
        };
        Ok(Self { encoder, special_tokens, table, special, end_ids, warnings, add_bos, add_eos, add_space_prefix, nfc })
    }

    /// The ids of `text`.
    ///
    /// With both options set, a text that already begins with the BOS token (as rendered chat
    /// templates do) gets no second one. A character of which a byte-level vocabulary lacks a byte
    /// loses that byte, as in every implementation of the scheme.
    ///
    /// # Errors
    /// `malformed` when the vocabulary has no token for a character, neither by bytes nor as
    /// unknown.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(text.len() / 3 + 2);
        self.encode_pieces(text, options.parse_special, |text| Cow::Borrowed(text), &mut ids)?;
        if options.add_special {
            self.add_bos(options.parse_special, &mut ids);
            ids.extend(self.special.eos.filter(|_| self.add_eos));
        }
        Ok(ids)
    }

    /// The ids of a rendered chat template: control tokens are those that are written out in `text`
    /// (with `parse_special`), and what `reveal` makes of the text between them is text. BOS stands
    /// in front where the model wants it.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub(crate) fn encode_prompt(
        &self,
        text: &str,
        parse_special: bool,
        reveal: impl Fn(&str) -> Cow<'_, str>,
    ) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(text.len() / 3 + 2);
        self.encode_pieces(text, parse_special, reveal, &mut ids)?;
        self.add_bos(parse_special, &mut ids);
        Ok(ids)
    }

    /// The bytes of every token, as a search for tokens that may come next wants them: a token
    /// without text is the byte 0xFF, which no text has, and its name.
    #[cfg(feature = "grammar")]
    pub(crate) fn words(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        (0..self.len() as u32).map(|id| match self.token_bytes(id) {
            [] => [&[0xFF], self.token(id).unwrap_or_default().as_bytes()].concat(),
            // It would be taken for a name.
            [0xFF, ..] => Vec::new(),
            bytes => bytes.to_vec(),
        })
    }

    /// The ids of text that continues text: control tokens are not read, and no space is put in
    /// front.
    ///
    /// # Errors
    /// As [`Self::encode`].
    #[cfg(feature = "grammar")]
    pub(crate) fn encode_continuation(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(text.len() / 3 + 2);
        self.special_tokens.split(text, false, |piece| match piece {
            Piece::Token(id) => {
                ids.push(id);
                Ok(())
            }
            Piece::Text(text) => self.encode_text(text, true, &mut ids),
        })?;
        Ok(ids)
    }

    fn add_bos(&self, parse_special: bool, ids: &mut Vec<u32>) {
        let bos = self.special.bos.filter(|_| self.add_bos);
        if !(parse_special && bos == ids.first().copied()) {
            ids.splice(0..0, bos);
        }
    }

    fn encode_pieces(
        &self,
        text: &str,
        parse_special: bool,
        reveal: impl Fn(&str) -> Cow<'_, str>,
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        // A space stands in front of every stretch of text that does not follow text.
        let mut after_text = false;
        self.special_tokens.split(text, parse_special, |piece| match piece {
            Piece::Token(id) => {
                ids.push(id);
                after_text = false;
                Ok(())
            }
            // User-defined tokens may be in what comes to light.
            Piece::Text(text) => self.special_tokens.split(&reveal(text), false, |piece| {
                match piece {
                    Piece::Token(id) => ids.push(id),
                    Piece::Text(text) => self.encode_text(text, after_text, ids)?,
                }
                after_text = matches!(piece, Piece::Text(_));
                Ok(())
            }),
        })
    }

    /// The text as it is before it is cut into words.
    pub(crate) fn normalize<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.nfc { nfc(text) } else { Cow::Borrowed(text) }
    }

    /// Text in which nothing is a special token.
    fn encode_text(&self, text: &str, after_text: bool, ids: &mut Vec<u32>) -> Result<()> {
        let text = self.normalize(text);
        match &self.encoder {
            Encoder::Bpe(bpe) => bpe.encode(&text, ids),
            Encoder::Spm(spm) => spm.encode(&text, self.add_space_prefix && !after_text, ids),
        }
    }

    /// The text of `ids`; bytes that are not UTF-8 become U+FFFD. `skip_special` leaves control
    /// tokens out.
    ///
    /// The space that encoding a sentencepiece text puts in front is taken away again, at the start
    /// and after control tokens, so that decoding undoes encoding. To stream a continuation use
    /// [`TokenText`], which takes nothing away.
    ///
    /// # Errors
    /// `bad-option` for an id that the vocabulary does not have.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        let mut after_text = false;
        for &id in ids {
            let Some(raw) = self.token(id) else {
                bail!(BadOption, "token id {id} is outside the vocabulary of {} tokens", self.len());
            };
            let piece = match self.table.kind(id) {
                TokenType::Control | TokenType::Unknown if skip_special => &[],
                TokenType::Control | TokenType::Unknown => raw.as_bytes(),
                _ => self.token_bytes(id),
            };
            let strip = self.add_space_prefix && !after_text && !self.special_tokens.contains(id);
            bytes.extend_from_slice(if strip { piece.strip_prefix(b" ").unwrap_or(piece) } else { piece });
            after_text = !self.special_tokens.contains(id);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// How many tokens the vocabulary has.
    #[expect(clippy::len_without_is_empty, reason = "a vocabulary is never empty")]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// The token as the vocabulary spells it (`Ġthe`, `▁the`, `<0x0A>`).
    pub fn token(&self, id: u32) -> Option<&str> {
        self.table.raw(id)
    }

    /// What sort of token `id` is.
    pub fn token_type(&self, id: u32) -> Option<TokenType> {
        self.table.raw(id).map(|_| self.table.kind(id))
    }

    /// The ids with a role.
    pub fn special(&self) -> &SpecialIds {
        &self.special
    }

    /// The ids that end an answer, in ascending order.
    pub fn stop_ids(&self) -> &[u32] {
        &self.end_ids
    }

    /// The tokens that are spelt `name` and add nothing to a text, as control tokens do.
    pub(crate) fn without_text(&self, name: &str) -> impl Iterator<Item = u32> {
        let is_named = move |&id: &u32| self.table.bytes(id).is_empty() && self.table.raw(id) == Some(name);
        (0..self.len() as u32).filter(is_named)
    }

    /// What of the metadata was not taken at its word.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The mask token of a diffusion model: the caller's choice, else
    /// `tokenizer.ggml.mask_token_id`, else a special token with one of the usual names.
    ///
    /// # Errors
    /// `bad-option` when the caller's id is outside the vocabulary or also ends answers,
    /// `no-mask-token` when the file's own mask token does; either passes when forced.
    pub fn mask_token(&self, choice: MaskChoice) -> Result<Option<u32>> {
        self.special.mask_token(choice, &self.table, &self.end_ids)
    }
}

/// Unicode's composed normal form, by the package that defines it for checkpoints.
fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut normalized = NormalizedString::from(text);
    normalized.nfc();
    Cow::Owned(normalized.get().to_owned())
}

/// Kind of tokenizer, its pre-tokenizer and size, as `tokenizer.ggml.*` names them.
pub(crate) fn describe(metadata: &Metadata) -> Result<String> {
    let model = metadata.string("tokenizer.ggml.model")?.unwrap_or("none");
    let tokens = metadata.strings("tokenizer.ggml.tokens")?.map_or(0, <[String]>::len);
    let pre = metadata.string("tokenizer.ggml.pre")?.map_or_else(String::new, |pre| format!(" ({pre})"));
    Ok(format!("{model}{pre}, {tokens} tokens"))
}

/// The token `id` as the vocabulary in `metadata` spells it.
pub(crate) fn spelling(metadata: &Metadata, id: u32) -> Option<String> {
    metadata.strings("tokenizer.ggml.tokens").ok()??.get(id as usize).cloned()
}

impl TokenText for Tokenizer {
    fn token_bytes(&self, id: u32) -> &[u8] {
        self.table.bytes(id)
    }

    fn token_label(&self, id: u32) -> String {
        self.table.label(id)
    }
}

#[cfg(test)]
mod tests;
