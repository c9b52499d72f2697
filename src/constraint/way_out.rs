//! A short way to the end of a text, for answers that run out of room.
//!
//! Nothing is searched: from the place where the text is, the walk takes what is forced, and where
//! there is a choice the token that closes most. That is right for JSON, whose closers are few, and
//! ends soon for most other grammars.

#![forbid(unsafe_code)]

use super::matcher::Matched;
use crate::decode::{Constraint, TokenSet};
use crate::error::Result;

/// A way out that is longer is no help.
const LONGEST: usize = 512;

/// What to take outside of strings, the best first: closers, then values that are short.
const OUTSIDE: [&str; 11] = ["}", "]", "null", "n", "\"", "0", "1", "true", "t", "-", "["];
/// What to take inside of strings.
const INSIDE: [&str; 4] = ["\"", "0", "a", " "];

/// Tokens from the place of `matched` to where its text may end, if `limit` are enough.
pub(super) fn find(mut matched: Matched, limit: usize) -> Result<Option<Vec<u32>>> {
    let limit = limit.min(LONGEST);
    let mut tokens = Vec::new();
    while !matched.is_accepting()? {
        let mut next = matched.forced()?;
        if next.is_empty() {
            let mask = matched.mask()?;
            next.extend(closing(&matched, &mask));
        }
        if next.is_empty() || tokens.len() + next.len() > limit {
            return Ok(None);
        }
        for token in next {
            matched.advance(token)?;
            tokens.push(token);
        }
    }
    Ok(Some(tokens))
}

/// The token of `mask` that closes most.
fn closing(matched: &Matched, mask: &TokenSet) -> Option<u32> {
    let allowed = |text: &&str| matched.token(text).filter(|&token| mask.contains(token));
    // Outside of strings at most one of the two can come.
    let inside = allowed(&"}").is_some() && allowed(&"]").is_some();
    let preferred = if inside { INSIDE.iter() } else { OUTSIDE.iter() };
    preferred.into_iter().find_map(allowed).or_else(|| shortest(matched, mask))
}

/// The shortest token of `mask`.
fn shortest(matched: &Matched, mask: &TokenSet) -> Option<u32> {
    let words = (0u32..).zip(mask.words());
    let tokens =
        words.flat_map(|(word, bits)| (0..32).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word * 32 + bit));
    tokens.min_by_key(|&token| matched.bytes(token).len())
}
