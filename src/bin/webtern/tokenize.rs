//! `webtern tokenize`: text to ids and back. Reads only the header of the model.

use crate::args::TokenizeArgs;
use crate::load;
use crate::output::line;
use serde_json::json;
use webtern::Result;
use webtern::tokenizer::{EncodeOptions, TokenText, Tokenizer};

pub(crate) fn run(args: &TokenizeArgs, as_json: bool) -> Result<()> {
    let tokenizer = Tokenizer::from_metadata(&load::header(&args.model)?.metadata)?;
    if let Some(ids) = &args.decode {
        let text = tokenizer.decode(ids, false)?;
        return line(if as_json { json!({ "text": text }).to_string() } else { text });
    }
    let options = EncodeOptions { add_special: !args.no_special, parse_special: true };
    let ids = tokenizer.encode(args.text.as_deref().unwrap_or_default(), options)?;
    let pieces: Vec<String> = ids.iter().map(|&id| tokenizer.token_label(id)).collect();
    if as_json {
        return line(json!({ "ids": ids, "pieces": pieces }));
    }
    ids.iter().zip(pieces).try_for_each(|(id, piece)| line(format_args!("{id}\t{piece:?}")))
}
