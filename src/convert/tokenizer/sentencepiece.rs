//! `tokenizer.model`: a sentencepiece model, whose vocabulary GGUF's `llama` tokenizers have taken
//! over as it is.
//!
//! The file is a `ModelProto` of protocol buffers: the pieces with their scores and types, in the
//! order of their ids; how the model was trained; and how text is normalized before. Of the kinds
//! of models only BPE merges by score, as `llama` tokenizers do. Of the normalizations only those
//! about blanks can be said in GGUF; a model that maps characters is refused, for it would be given
//! ids that it never saw.
//!
//! One thing is different by convention: sentencepiece puts its space before the text only, webtern
//! (as llama.cpp and `transformers`) before every stretch of text between special tokens.
//!
//! Source: `sentencepiece_model.proto` and `normalizer.cc` of sentencepiece.

#![forbid(unsafe_code)]

use serde_json::Value as Json;

use super::protobuf::{Fields, Value};
use super::schema::AddedToken;
use super::vocabulary::{MAX_ID, Slots};
use super::{Parts, Template, parse};
use crate::error::Result;
use crate::findings::Finding;
use crate::gguf::Metadata;

const FILE: &str = "tokenizer.model";

/// `TrainerSpec.ModelType`, from 1 on.
const KINDS: [&str; 4] = ["unigram", "bpe", "word", "char"];
const BPE: u64 = 2;

/// What a `ModelProto` says that matters here.
#[derive(Debug)]
struct Model<'a> {
    pieces: Vec<Piece<'a>>,
    /// Ids of the unknown token, BOS, EOS and padding; below 0 for none.
    special: [i32; 4],
    add_space_prefix: bool,
    remove_extra_whitespaces: bool,
}

#[derive(Debug)]
struct Piece<'a> {
    text: &'a str,
    score: f32,
    /// A `tokenizer.ggml.token_type`: the types are sentencepiece's own.
    kind: i32,
}

/// Reads `tokenizer.model`, with the tokens that `added_tokens.json` and `tokenizer_config.json`
/// add to it.
pub(super) fn read(
    model: &[u8],
    added_tokens: Option<&str>,
    tokenizer_config: &Json,
    config: &Json,
    findings: &mut Vec<Finding>,
) -> Result<Parts> {
    let model = Model::read(model).map_err(|error| error.at(FILE))?;
    let added = added(added_tokens, tokenizer_config)?;
    let largest = (model.pieces.len() as u32 - 1).max(added.iter().map(|token| token.id).max().unwrap_or(0));
    let mut slots = Slots::new(FILE, largest, config)?;
    let mut scores = vec![0.0; slots.len()];
    for ((id, piece), score) in model.pieces.iter().enumerate().zip(&mut scores) {
        slots.set(id as u32, piece.text, piece.kind)?;
        *score = piece.score;
    }
    for token in &added {
        slots.add(token, true, findings)?;
    }
    let mut metadata = Metadata::default();
    metadata.insert("tokenizer.ggml.model", "llama");
    metadata.insert("tokenizer.ggml.pre", "default");
    metadata.insert("tokenizer.ggml.scores", scores);
    let add_space_prefix = tokenizer_config["add_prefix_space"].as_bool().unwrap_or(model.add_space_prefix);
    metadata.insert("tokenizer.ggml.add_space_prefix", add_space_prefix);
    if model.remove_extra_whitespaces {
        metadata.insert("tokenizer.ggml.remove_extra_whitespaces", true);
    }
    let [unknown, bos, eos, pad] =
        model.special.map(|id| u32::try_from(id).ok().filter(|id| (*id as usize) < model.pieces.len()));
    Ok(Parts {
        file: FILE,
        vocabulary: slots.finish(),
        metadata,
        sentencepiece: true,
        template: Template::default(),
        unknown,
        bos,
        eos,
        pad,
    })
}

impl<'a> Model<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self> {
        let (mut pieces, mut trainer, mut normalizer) = (Vec::new(), None, None);
        let mut fields = Fields::new(bytes);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(piece)) => {
                    if pieces.len() >= MAX_ID as usize {
                        bail!(Limits, "the vocabulary has more than {MAX_ID} pieces");
                    }
                    let id = pieces.len();
                    pieces.push(Piece::read(piece).map_err(|error| error.at(format_args!("piece {id}")))?);
                }
                (2, Value::Bytes(spec)) => trainer = Some(spec),
                (3, Value::Bytes(spec)) => normalizer = Some(spec),
                _ => {}
            }
        }
        // Every model has all three, in this order.
        let (Some(trainer), Some(normalizer), false) = (trainer, normalizer, pieces.is_empty()) else {
            bail!(
                Truncated,
                "it ends before saying how text is normalized, or is no sentencepiece model; fetch it again"
            );
        };
        let special = special_ids(trainer).map_err(|error| error.at("trainer_spec"))?;
        let [add_space_prefix, remove_extra_whitespaces] =
            blanks(normalizer).map_err(|error| error.at("normalizer_spec"))?;
        Ok(Self { pieces, special, add_space_prefix, remove_extra_whitespaces })
    }
}

impl<'a> Piece<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut piece = Self { text: "", score: 0.0, kind: super::NORMAL };
        let mut fields = Fields::new(bytes);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Bytes(text)) => {
                    piece.text = str::from_utf8(text).map_err(|error| err!(Malformed, "it is not UTF-8: {error}"))?;
                }
                (2, Value::Fixed32(score)) => piece.score = f32::from_le_bytes(score),
                (3, Value::Varint(kind @ 1..=6)) => piece.kind = kind as i32,
                (3, Value::Varint(kind)) => bail!(Malformed, "{kind} is no type of a piece (1 to 6)"),
                _ => {}
            }
        }
        if piece.text.is_empty() {
            bail!(Malformed, "it has no text");
        }
        if piece.score.is_nan() {
            bail!(Malformed, "the score of {:?} is not a number", piece.text);
        }
        Ok(piece)
    }
}

/// The ids in a `TrainerSpec`, of a model that can be run.
fn special_ids(spec: &[u8]) -> Result<[i32; 4]> {
    // The defaults of the format.
    let (mut kind, mut special) = (1, [0, 1, 2, -1]);
    let mut fields = Fields::new(spec);
    while let Some(field) = fields.next()? {
        match field {
            (3, Value::Varint(value)) => kind = value,
            (24, Value::Varint(1..)) => {
                bail!(
                    UnsupportedArchitecture,
                    "treat_whitespace_as_suffix: words of this model end with their blank, which GGUF cannot express"
                )
            }
            (field @ 40..=43, Value::Varint(id)) => special[field as usize - 40] = id as i32,
            _ => {}
        }
    }
    if kind != BPE {
        let kind = KINDS.get((kind as usize).wrapping_sub(1)).copied().unwrap_or("unknown");
        bail!(
            UnsupportedArchitecture,
            "this is a {kind} model; webtern runs sentencepiece models that were trained as BPE (model_type bpe)"
        );
    }
    Ok(special)
}

/// Whether a `NormalizerSpec` puts a space in front, and whether it removes blanks that are not
/// needed.
fn blanks(spec: &[u8]) -> Result<[bool; 2]> {
    // The defaults of the format.
    let (mut name, mut blanks) = ("", [true; 2]);
    let mut fields = Fields::new(spec);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(text)) => name = str::from_utf8(text).unwrap_or_default(),
            (2 | 6, Value::Bytes([_, ..])) => bail!(
                UnsupportedArchitecture,
                "text is normalized by rules ({name}) that GGUF's llama tokenizers do not have; only identity is supported"
            ),
            (field @ 3..=4, Value::Varint(on)) => blanks[field as usize - 3] = on != 0,
            (5, Value::Varint(0)) => {
                bail!(UnsupportedArchitecture, "escape_whitespaces is off, which GGUF cannot express")
            }
            _ => {}
        }
    }
    Ok(blanks)
}

/// The tokens of `added_tokens_decoder`, and those that only `added_tokens.json` has.
fn added(added_tokens: Option<&str>, tokenizer_config: &Json) -> Result<Vec<AddedToken>> {
    const DECODER: &str = "tokenizer_config.json: added_tokens_decoder";
    let mut added: Vec<AddedToken> = Vec::new();
    for (id, token) in tokenizer_config["added_tokens_decoder"].as_object().into_iter().flatten() {
        let token: AddedToken =
            serde::Deserialize::deserialize(token).map_err(|error| err!(Malformed, "{DECODER}: {id}: {error}"))?;
        let id = id.parse().map_err(|_| err!(Malformed, "{DECODER}: {id:?} is no id"))?;
        added.push(AddedToken { id, ..token });
    }
    let others: std::collections::BTreeMap<String, u32> = match added_tokens {
        Some(text) => parse("added_tokens.json", text)?,
        None => Default::default(),
    };
    for (content, id) in others {
        if added.iter().all(|token| token.id != id) {
            let special = has_role(tokenizer_config, &content);
            added.push(AddedToken { id, content, special, ..AddedToken::default() });
        }
    }
    Ok(added)
}

/// Whether `tokenizer_config.json` gives the token a role.
fn has_role(tokenizer_config: &Json, content: &str) -> bool {
    let is = |token: &Json| token == content || token["content"] == content;
    let roles = ["bos_token", "eos_token", "unk_token", "pad_token", "mask_token", "sep_token", "cls_token"];
    let more = tokenizer_config["additional_special_tokens"].as_array().into_iter().flatten();
    roles.iter().map(|role| &tokenizer_config[*role]).chain(more).any(is)
}

#[cfg(test)]
mod tests;
