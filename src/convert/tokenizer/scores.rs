//! Merges, ordered by rank, as token scores, which is what sentencepiece vocabularies in GGUF have.
//!
//! A merge happens by its rank in `tokenizer.json` and by the score of its result in GGUF. The two
//! agree when (1) every split of a token into two others is a merge, and (2) the merges that make
//! one token follow each other. Both hold for files made from a sentencepiece model, and are
//! checked. The score is then minus the first rank.

#![forbid(unsafe_code)]

use std::collections::HashSet;

use super::schema::Merge;
use super::vocabulary::Vocabulary;
use super::{BYTE, CONTROL, NORMAL, UNKNOWN};
use crate::Result;

/// The score of every token.
pub(super) fn from_merges(vocabulary: &Vocabulary, merges: &[Merge]) -> Result<Vec<f32>> {
    let mut scores = vec![0.0; vocabulary.len()];
    let mut scored = vec![false; vocabulary.len()];
    let mut known = HashSet::with_capacity(merges.len());
    let mut previous = None;
    for (rank, merge) in merges.iter().enumerate() {
        let (left, right) = merge.parts()?;
        let merged = format!("{left}{right}");
        let Some(&id) = vocabulary.ids.get(&merged) else {
            bail!(
                Malformed,
                "tokenizer.json: model.merges: entry {rank} makes {merged:?}, which is not in the vocabulary"
            );
        };
        if previous != Some(id) {
            if std::mem::replace(&mut scored[id as usize], true) {
                bail!(
                    UnsupportedArchitecture,
                    "tokenizer.json: model.merges: other merges stand between those that make {merged:?}; scores cannot express that order"
                );
            }
            scores[id as usize] = -(rank as f32);
        }
        previous = Some(id);
        known.insert((left, right));
    }

    let mergeable = |text: &str| {
        let kind = vocabulary.ids.get(text).map(|&id| vocabulary.types[id as usize]);
        kind.is_some_and(|kind| !matches!(kind, BYTE | CONTROL | UNKNOWN))
    };
    for (token, _) in vocabulary.tokens.iter().zip(&vocabulary.types).filter(|&(_, &kind)| kind == NORMAL) {
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if mergeable(left) && mergeable(right) && !known.contains(&(left, right)) {
                bail!(
                    UnsupportedArchitecture,
                    "tokenizer.json: model.merges: {left:?} and {right:?} are not merged although {token:?} is a token; scores cannot express that"
                );
            }
        }
    }
    Ok(scores)
}
