//! Files in pieces. Shared by the tests and the fuzz target.

/// `file` in pieces of random sizes: many small ones, some large, some empty.
pub(crate) fn random_cuts(file: &[u8], seed: u64) -> Vec<&[u8]> {
    let mut state = seed;
    let (mut pieces, mut rest) = (Vec::new(), file);
    while !rest.is_empty() {
        // Knuth's MMIX generator; the high bits are the good ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let size = (state >> 40) as usize % (2 << (state >> 33 & 15));
        let (piece, after) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
