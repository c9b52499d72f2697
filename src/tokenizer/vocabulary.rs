//! The vocabulary as the file states it, checked once, before anything is built from it.

#![forbid(unsafe_code)]

use super::end::end_tokens;
use super::types::{Model, SpecialIds, TokenType, Warning};
use super::words::PreTokenizer;
use crate::Result;
use crate::gguf::Metadata;

/// More tokens than this is refused; the largest vocabularies in use have a quarter of it.
const MAX_TOKENS: usize = 1 << 20;
/// More merges than this is refused; byte-level vocabularies have at most about one per token, and
/// some have two.
const MAX_MERGES: usize = 1 << 22;
/// The bytes of all token strings together.
const MAX_TEXT_BYTES: usize = 1 << 28;

/// Which normalization text needs before it is tokenized: a key of webtern's own, since GGUF has
/// none for it.
pub(crate) const NORMALIZER: &str = "tokenizer.webtern.normalizer";

/// A checked vocabulary. `types` and, for sentencepiece, `scores` are as long as `tokens`.
#[derive(Debug)]
pub(super) struct Vocabulary {
    pub(super) model: Model,
    pub(super) tokens: Vec<String>,
    pub(super) types: Vec<TokenType>,
    pub(super) scores: Vec<f32>,
    pub(super) merges: Vec<(String, String)>,
    pub(super) special: SpecialIds,
    pub(super) add_bos: bool,
    pub(super) add_eos: bool,
    pub(super) add_space_prefix: bool,
    pub(super) remove_extra_whitespaces: bool,
    /// `tokenizer.webtern.normalizer`, a key of webtern's own: text is brought into Unicode's
    /// composed form first.
    pub(super) nfc: bool,
    /// The ids that end an answer, in ascending order.
    pub(super) end_ids: Vec<u32>,
    /// What of the metadata was not taken at its word.
    pub(super) warnings: Vec<Warning>,
}

impl Vocabulary {
    pub(super) fn from_metadata(metadata: &Metadata) -> Result<Self> {
        let mut warnings = Vec::new();
        let model = model(metadata, &mut warnings)?;
        let tokens = metadata.require_strings("tokenizer.ggml.tokens")?;
        if tokens.is_empty() {
            bail!(Malformed, "tokenizer.ggml.tokens is empty");
        }
        check_limit("tokenizer.ggml.tokens", tokens.len(), MAX_TOKENS, "tokens")?;
        let text_bytes = tokens.iter().map(String::len).sum();
        check_limit("tokenizer.ggml.tokens", text_bytes, MAX_TEXT_BYTES, "bytes of text")?;

        let mut types = token_types(metadata, tokens.len())?;
        let (mut scores, mut merges) = (Vec::new(), Vec::new());
        match model {
            Model::Spm => {
                scores = metadata.require_f32s("tokenizer.ggml.scores")?;
                check_len("tokenizer.ggml.scores", scores.len(), tokens.len())?;
                if let Some(id) = scores.iter().position(|score| score.is_nan()) {
                    bail!(Malformed, "tokenizer.ggml.scores: the score of token {id} is not a number");
                }
            }
            Model::Bpe(_) => {
                let lines = metadata.strings("tokenizer.ggml.merges")?.unwrap_or_default();
                check_limit("tokenizer.ggml.merges", lines.len(), MAX_MERGES, "merges")?;
                merges = lines.iter().enumerate().map(|(i, line)| split_merge(i, line)).collect::<Result<_>>()?;
            }
        }

        let mut special = SpecialIds::from_metadata(metadata, model, tokens.len(), &mut warnings)?;
        let end_ids = end_tokens(metadata, model, tokens, &mut types, &mut special, &mut warnings)?;
        // llama.cpp: sentencepiece models and Llama 3 begin with BOS unless the file says
        // otherwise.
        let default_bos = matches!(model, Model::Spm | Model::Bpe(PreTokenizer::LlamaBpe));
        let mut flag = |key: &'static str, id: Option<u32>, default: bool| -> Result<bool> {
            let given = metadata.bool(key)?;
            if given == Some(true) && id.is_none() {
                let message = format!("{key} is true, but the file names no such token: none is added");
                warnings.push(Warning { code: "special-token-ignored", message });
            }
            Ok(given.unwrap_or(default))
        };
        let add_bos = flag("tokenizer.ggml.add_bos_token", special.bos, default_bos)?;
        let add_eos = flag("tokenizer.ggml.add_eos_token", special.eos, false)?;
        let nfc = match metadata.string(NORMALIZER)? {
            None | Some("none") => false,
            Some("nfc") => true,
            Some(other) => bail!(UnsupportedArchitecture, "{NORMALIZER} \"{other}\": only \"nfc\" is supported"),
        };
        Ok(Self {
            model,
            add_bos,
            add_eos,
            nfc,
            end_ids,
            warnings,
            add_space_prefix: model == Model::Spm && metadata.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true),
            remove_extra_whitespaces: metadata.bool("tokenizer.ggml.remove_extra_whitespaces")?.unwrap_or(false),
            tokens: tokens.to_vec(),
            types,
            scores,
            merges,
            special,
        })
    }

    /// All tokens, in the order of their ids.
    pub(super) fn entries(&self) -> impl DoubleEndedIterator<Item = (u32, &str, TokenType)> {
        self.tokens.iter().zip(&self.types).enumerate().map(|(id, (text, &kind))| (id as u32, text.as_str(), kind))
    }
}

fn model(metadata: &Metadata, warnings: &mut Vec<Warning>) -> Result<Model> {
    match metadata.require_string("tokenizer.ggml.model")? {
        "llama" => Ok(Model::Spm),
        "gpt2" => {
            if let Some(name) = metadata.string("tokenizer.ggml.pre")? {
                return Ok(Model::Bpe(PreTokenizer::from_name(name)?));
            }
            // The published BitNet files forgot the key; their tokenizer is Llama 3's.
            let pre = match metadata.string("general.architecture")? {
                Some("bitnet-b1.58" | "bitnet-25") => PreTokenizer::LlamaBpe,
                _ => PreTokenizer::Default,
            };
            let message = format!(
                "the file does not say how its tokenizer cuts words (tokenizer.ggml.pre is missing): \"{}\" is assumed; if the model was \
                 trained with another one, it reads numbers and rare words badly",
                pre.name()
            );
            warnings.push(Warning { code: "pre-tokenizer-assumed", message });
            Ok(Model::Bpe(pre))
        }
        other => bail!(
            UnsupportedArchitecture,
            "tokenizer.ggml.model \"{other}\": only \"gpt2\" (byte-level BPE) and \"llama\" (sentencepiece) are supported"
        ),
    }
}

fn token_types(metadata: &Metadata, count: usize) -> Result<Vec<TokenType>> {
    const KEY: &str = "tokenizer.ggml.token_type";
    let Some(ids) = metadata.i32s(KEY)? else {
        return Ok(vec![TokenType::Normal; count]);
    };
    check_len(KEY, ids.len(), count)?;
    ids.into_iter().map(TokenType::from_id).collect()
}

/// A merge is `left right`; only `left` may begin with a space.
fn split_merge(index: usize, line: &str) -> Result<(String, String)> {
    let space = line.char_indices().skip(1).find(|&(_, c)| c == ' ').map(|(at, _)| at);
    match space.map(|at| line.split_at(at)) {
        Some((left, right)) if right.len() > 1 => Ok((left.to_owned(), right[1..].to_owned())),
        _ => bail!(Malformed, "tokenizer.ggml.merges: entry {index}, {line:?}, is not two tokens with a space between"),
    }
}

fn check_len(key: &str, len: usize, tokens: usize) -> Result<()> {
    if len != tokens {
        bail!(Malformed, "{key} has {len} entries for {tokens} tokens");
    }
    Ok(())
}

fn check_limit(key: &str, len: usize, limit: usize, what: &str) -> Result<()> {
    if len > limit {
        bail!(Limits, "{key} has {len} {what}; at most {limit} are supported");
    }
    Ok(())
}
