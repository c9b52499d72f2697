//! `I2_S`, the tensor type of bitnet.cpp: two-bit codes 0, 1, 2 for -1, 0, +1 and one f32 scale for
//! the whole tensor.
//!
//! `n` weights take `n / 4 + 32` bytes: codes, then the scale, then 28 bytes that mean nothing.
//! Codes run over the tensor row after row, whatever the row length, in groups of 128 weights and
//! 32 bytes: byte j holds weights j, 32 + j, 64 + j, 96 + j of its group, **highest** bits first.
//!
//! That is the layout of x86 builds and of Microsoft's files. ARM builds wrote groups of 64 in 16
//! bytes, some builds four rows a byte, other tools plain sequences, all under the same type id and
//! without a mark. Code 3 exists in none, so its presence proves a wrong reading; a trained tensor
//! has some 30% zeros, so hardly any or almost nothing but zeros are signs of damage or of weights
//! that were never ternarized. Tensors that show either are refused rather than run into nonsense.
//! (bitnet.cpp's kernels take rows that are multiples of 128 for granted; the format itself does
//! not.)

#![forbid(unsafe_code)]

use super::ternary::Ternary;
use crate::error::Result;

/// Bytes after the codes, the first four of which are the scale.
const TAIL: usize = 32;

/// Shares of zeros outside of which a tensor is taken for damaged, unless it is zero altogether.
const PLAUSIBLE_ZEROS: std::ops::RangeInclusive<f64> = 0.05..=0.95;

/// Takes the blocks of a tensor as they arrive, and its tail last.
#[derive(Debug, Default)]
pub struct I2sReader {
    weights: u64,
    zeros: u64,
    unused: u64,
}

impl I2sReader {
    /// The codes of the next block.
    pub fn block(&mut self, bytes: &[u8; 32]) -> [u8; 128] {
        let codes = unpack(bytes);
        self.count(&codes);
        codes
    }

    /// The scale, from the tail.
    ///
    /// # Errors
    ///
    /// `malformed` for a tensor that is damaged or in another layout.
    pub fn finish(self, tail: &[u8; TAIL]) -> Result<f32> {
        let scale = f32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]);
        self.check(scale)?;
        Ok(scale)
    }

    fn count(&mut self, codes: &[u8]) {
        let count = |wanted: u8| codes.iter().filter(|code| **code == wanted).count() as u64;
        self.weights += codes.len() as u64;
        self.zeros += count(1);
        self.unused += count(3);
    }

    fn check(&self, scale: f32) -> Result<()> {
        let Self { weights, zeros, unused } = *self;
        let all_zero = zeros == weights;
        let share = zeros as f64 / weights as f64;
        let fault = if unused > 0 {
            format!("has the unused code 3 ({unused} times)")
        } else if !scale.is_finite() || scale < 0.0 || (scale == 0.0 && !all_zero) {
            format!("has the scale {scale}")
        } else if !all_zero && !PLAUSIBLE_ZEROS.contains(&share) {
            format!("is {:.1}% zeros", 100.0 * share)
        } else {
            return Ok(());
        };
        bail!(
            Malformed,
            "this I2_S tensor {fault}: it is damaged, was not ternarized, or is in another I2_S layout than that of x86 \
             builds and Microsoft's files (128 weights in 32 bytes), such as ARM's (64 in 16), four rows a byte, or \
             sequential; convert the original checkpoint to Q2_0 instead"
        )
    }
}

fn unpack(bytes: &[u8; 32]) -> [u8; 128] {
    std::array::from_fn(|i| bytes[i % 32] >> (6 - 2 * (i / 32)) & 3)
}

/// The codes and the scale of a tensor of at least [`TAIL`] bytes, whatever they are.
pub(super) fn unpack_unchecked(src: &[u8]) -> Ternary {
    let (blocks, tail) = src.split_at(src.len() - TAIL);
    let scale = f32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]);
    Ternary { codes: blocks.as_chunks().0.iter().flat_map(unpack).collect(), scale }
}

pub(super) fn decode(src: &[u8], dst: &mut [f32]) -> Result<()> {
    let tensor = unpack_unchecked(src);
    check(&tensor)?;
    for (weight, code) in dst.iter_mut().zip(&tensor.codes) {
        *weight = tensor.scale * (f32::from(*code) - 1.0);
    }
    Ok(())
}

/// Appends the bytes of `tensor`, whose length is a multiple of 128. Refuses what [`I2sReader`]
/// would refuse.
pub(super) fn encode(tensor: &Ternary, dst: &mut Vec<u8>) -> Result<()> {
    check(tensor)?;
    for codes in tensor.codes.as_chunks::<128>().0 {
        dst.extend((0..32).map(|j| codes[j] << 6 | codes[32 + j] << 4 | codes[64 + j] << 2 | codes[96 + j]));
    }
    dst.extend_from_slice(&tensor.scale.to_le_bytes());
    dst.extend_from_slice(&[0; TAIL - 4]);
    Ok(())
}

fn check(tensor: &Ternary) -> Result<()> {
    let mut reader = I2sReader::default();
    reader.count(&tensor.codes);
    reader.check(tensor.scale)
}
