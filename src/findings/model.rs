//! Findings about a model as a whole, the same for a GGUF file and for a checkpoint that is to
//! become one.

#![forbid(unsafe_code)]

use super::Finding;
use crate::decode::{Assumed, AttentionKind, DiffusionSettings};
use crate::error::Error;
use crate::tokenizer::{MASK_NAMES, TokenType, Tokenizer};

/// Where a mask token was added last, it is one of this many tokens at the end.
const LAST_TOKENS: u32 = 4;

/// SubLN norms, by their kind (`none`, `two` or `seven`), and who runs them.
pub(crate) fn sub_norms(architecture: &str, kind: &str) -> Option<Finding> {
    // Elsewhere, the BitNet architectures have the two norms and no other has any.
    let elsewhere = match kind {
        "none" => return None,
        "two" if architecture.starts_with("bitnet") => {
            "llama.cpp runs them under this architecture only, with the epsilon of the other norms"
        }
        _ => "other runtimes than webtern will not run it: to llama.cpp they are unknown tensors",
    };
    let message = format!("architecture {architecture} with {kind} SubLN norms a layer. webtern runs it; {elsewhere}");
    let remedy = "for other runtimes, converting with --subln drop leaves the norms out: the file then computes something else than \
                  the model was trained to, and answers worse";
    Some(Finding::note("sub-norms", message).remedy(remedy))
}

/// Nothing says which token masks. Names a token that may.
pub(crate) fn no_mask_token(tokenizer: &Tokenizer) -> Finding {
    let message =
        "there is no mask token: as far as anything says, this is no diffusion model, and only mode ar makes sense";
    let finding = Finding::note("no-mask-token", message);
    match candidate(tokenizer) {
        Some((id, name)) => finding.remedy(format!(
            "token {id} ({name}) looks like a mask token, and until it is named as one, answers may contain it; if the model was trained \
             with it, say so with --mask-token-id {id}"
        )),
        None => finding.remedy("if the model was trained for diffusion, name its mask token with --mask-token-id"),
    }
}

/// A token with a usual name that is not special, or one that is special or among the last and has
/// a name of that kind.
fn candidate(tokenizer: &Tokenizer) -> Option<(u32, &str)> {
    let count = tokenizer.len() as u32;
    let named = |id: u32| Some((id, tokenizer.token(id)?));
    let masks = |(id, name): &(u32, &str)| {
        let special = matches!(tokenizer.token_type(*id), Some(TokenType::Control | TokenType::UserDefined));
        (special || id + LAST_TOKENS >= count) && name.to_lowercase().contains("mask")
    };
    let usual = (0..count).filter_map(named).find(|(_, name)| MASK_NAMES.contains(name));
    usual.or_else(|| (0..count).rev().filter_map(named).find(masks))
}

/// The mask token ends answers too, as `error` says.
pub(crate) fn mask_token_stops(error: &Error) -> Finding {
    let message = format!("{}; until then the model only decodes autoregressively", error.message());
    Finding::warning("mask-token-stops", message).remedy(
        "give the mask token that the model was trained with (--mask-token-id); if it is this one, as in some of WrinkleFree's \
         checkpoints, --force-mask-token accepts it, and no answer will end at that token",
    )
}

/// The file's chat template does not compile, as `error` says.
pub(crate) fn chat_template(error: &Error) -> Finding {
    Finding::warning("chat-template", error.message()).remedy(
        "the model runs, but conversations need another template: --chat-template FILE, or the option `chatTemplate`",
    )
}

/// What was assumed about how blocks are decoded.
pub(crate) fn diffusion(settings: &DiffusionSettings, assumed: Assumed) -> Vec<Finding> {
    let DiffusionSettings { block_size, attention, .. } = settings;
    let mut findings = Vec::new();
    if assumed.block_size {
        let message = format!("nothing says how large the blocks are: {block_size} is assumed");
        findings.push(
            Finding::note("block-size-assumed", message)
                .remedy("if the model was trained with another size, convert with --block-size"),
        );
    }
    if assumed.attention {
        let message = format!(
            "nothing says how positions of a block see each other: {} attention is assumed, that of Fast-dLLM v2",
            attention.as_str()
        );
        findings.push(Finding::note("attention-assumed", message).remedy(
            "if the model was trained under the ordinary causal mask, as WrinkleFree's are, use --attention causal",
        ));
    }
    if assumed.shift_logits {
        let message = "nothing says whether the logits of a row predict the next position or the row's own: the next is \
                       assumed, as in Fast-dLLM v2";
        findings.push(Finding::note("shift-assumed", message).remedy(
            "if rows predict their own positions, as in SDAR and Tiny-A2D models, convert with --shift-logits false",
        ));
    }
    if *attention == AttentionKind::Causal {
        let message = "attention is causal: a position of a block sees nothing behind it, so the diffusion modes guess more than in a \
                       model trained for blocks";
        findings.push(
            Finding::note("causal-attention", message)
                .remedy("compare the answers with those of mode ar before relying on another mode"),
        );
    }
    findings
}

/// A tensor that has another type than the ternary layers, and why.
pub(crate) fn fallback(tensor: &str, ty: &str, why: &str) -> Finding {
    Finding::note("fallback-type", format!("{why}: it is {ty} instead"))
        .remedy("Q2_0 has the smallest blocks of the ternary types, 64 weights; rows that do not fit them stay F16")
        .about(tensor)
}
