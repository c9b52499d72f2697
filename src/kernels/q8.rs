//! Activations for grouped weights, in the order in which the kernels read them.
//!
//! A block is 32 columns of four rows: of every step of four columns first those of the first row, then those of the second, so that a
//! loop over several rows reads memory forwards. Up to three rows that are left have blocks of their own.

#![forbid(unsafe_code)]

use std::hint::black_box;

/// Activations that share one scale where weights are grouped.
pub const Q8_BLOCK: usize = 32;

/// Activations that are added up in advance.
pub(super) const Q8_SUM: usize = 16;

/// Rows side by side in a block.
pub const Q8_ROWS: usize = 4;

/// [`Q8_BLOCK`] columns of `N` rows: each activation is about `scale * value`, where the scale is `max|x| / 127` over the block and the
/// value `round_half_even(x / scale)`.
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Zeroable)]
pub struct Q8Block<const N: usize> {
    /// What the values of a row are multiplied with.
    pub scales: [f32; N],
    /// The total of every [`Q8_TOTAL`] values of a row.
    pub x_sums: [[i32; N]; Q8_BLOCK / Q8_SUM],
    /// Four columns of each row, then the next four. In -127..=127.
    pub values: [[[i8; 4]; N]; Q8_BLOCK / 4],
    /// The values again, for instructions that multiply 16 bits.
    pub words: [[[i16; 4]; N]; Q8_BLOCK / 4],
}

impl<const N: usize> Q8Block<N> {
    /// Sets row `n`.
    #[inline(always)]
    pub(super) fn set(&mut self, n: usize, scale: f32, values: &[i8; Q8_BLOCK]) {
        self.scales[n] = scale;
        // Otherwise the compiler does all that is before this value by value, in the order in which they are stored.
        let (values, words) = &black_box((*values, values.map(i16::from)));
        for (x_sums, values) in self.x_sums.iter_mut().zip(values.as_chunks().0) {
            x_sums[n] = sum_of_16(values);
        }
        for (step, (quad, quad_words)) in values.as_chunks().0.iter().zip(words.as_chunks().0).enumerate() {
            self.values[step][n] = *quad;
            self.words[step][n] = *quad_words;
        }
    }

    /// The scale and the values of row `n`.
    fn get(&self, n: usize) -> (f32, [i8; Q8_BLOCK]) {
        (self.scales[n], bytemuck::cast(self.values.map(|quads| quads[n])))
    }
}

/// The total of any number of values.
#[inline(always)]
pub(super) fn sum_of(values: &[i8]) -> i32 {
    let (whole, rest) = values.as_chunks();
    whole.iter().map(sum_of_16).sum::<i32>() + rest.iter().map(|&x| i32::from(x)).sum::<i32>()
}

/// The total of 16 values, eight of them in a word: the compiler would take one after the other.
#[inline(always)]
fn sum_of_16(values: &[i8; Q8_SUM]) -> i32 {
    const EVEN: u64 = 0x00FF_00FF_00FF_00FF;
    const ONES: u64 = 0x0001_0001_0001_0001;
    // 128 is added to each, so that none is negative.
    let words = bytemuck::cast::<_, [u64; 2]>(*values).map(|word| word ^ (128 * (ONES | ONES << 8)));
    let sums: u64 = words.iter().map(|word| (word & EVEN) + (word >> 8 & EVEN)).sum();
    (sums.wrapping_mul(ONES) >> 48) as i32 - 128 * Q8_SUM as i32
}

/// Rows of activations for grouped weights.
pub struct Q8Rows {
    rows: usize,
    /// Blocks of as many rows as there are fours of.
    pub(super) x4: Vec<Q8Block<Q8_ROWS>>,
    /// Blocks of the other rows, one row after the other.
    pub(super) x1: Vec<Q8Block<1>>,
}

/// Up to four rows, to be filled.
pub enum Q8Part<'a> {
    /// The blocks of four rows.
    X4(&'a mut [Q8Block<Q8_ROWS>]),
    /// The blocks of fewer rows, one row after the other.
    X1(&'a mut [Q8Block<1>]),
}

impl Q8Rows {
    /// `rows` rows of `cols` zeros, whole blocks.
    pub fn zeroed(rows: usize, cols: usize) -> Self {
        let blocks = cols / Q8_BLOCK;
        let x4 = bytemuck::zeroed_vec(rows / Q8_ROWS * blocks);
        Self { rows, x4, x1: bytemuck::zeroed_vec(rows % Q8_ROWS * blocks) }
    }

    /// Rows of `cols` values `x`, whole blocks, with a scale for each block.
    pub(super) fn new(cols: usize, x: &[i8], scales: &[f32]) -> Self {
        let mut q8 = Self::zeroed(x.len() / cols, cols);
        let blocks = q8.blocks();
        for (index, (values, scale)) in x.as_chunks().0.iter().zip(scales).enumerate() {
            let (row, block) = (index / blocks, index % blocks);
            match q8.x4.get_mut(row / Q8_ROWS * blocks + block) {
                Some(four) => four.set(row % Q8_ROWS, *scale, values),
                None => q8.x1[row % Q8_ROWS * blocks + block].set(0, *scale, values),
            }
        }
        q8
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Blocks in a row.
    pub(super) fn blocks(&self) -> usize {
        (self.x4.len() * Q8_ROWS + self.x1.len()) / self.rows.max(1)
    }

    /// The scale and the values of a block of a row.
    pub(super) fn get(&self, row: usize, block: usize) -> (f32, [i8; Q8_BLOCK]) {
        match self.x4.get(row / Q8_ROWS * self.blocks() + block) {
            Some(four) => four.get(row % Q8_ROWS),
            None => self.x1[row % Q8_ROWS * self.blocks() + block].get(0),
        }
    }

    /// All rows, four at a time.
    pub fn parts_mut(&mut self) -> impl Iterator<Item = Q8Part<'_>> {
        let blocks = self.blocks().max(1);
        let x1 = (!self.x1.is_empty()).then_some(Q8Part::X1(&mut self.x1));
        self.x4.chunks_exact_mut(blocks).map(Q8Part::X4).chain(x1)
    }
}
