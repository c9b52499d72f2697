//! Activations for grouped weights, in the order in which the kernels read them.
//!
//! A block is 32 columns of four rows, interleaved by steps of four columns: first those of row 0,
//! then those of row 1, and so on, so that a loop over four rows reads memory forwards. Up to three
//! remaining rows have blocks of one row.

#![forbid(unsafe_code)]

use super::opaque;

/// Activations that share a scale.
pub(crate) const Q8_BLOCK: usize = 32;

/// Activations whose sum is stored (`bsums` in ggml).
pub(super) const Q8_SUM: usize = 16;

/// Rows that are interleaved in a block.
pub(crate) const Q8_ROWS: usize = 4;

/// Steps of four columns in a block.
pub(super) const BLOCK_STEPS: usize = Q8_BLOCK / 4;

/// [`Q8_BLOCK`] columns of `N` rows. An activation is about `scale * value`, where the scale is
/// `max|x| / 127` over the block and the value `round_half_even(x / scale)`.
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Zeroable)]
pub(crate) struct Q8Block<const N: usize> {
    /// The scale of each row.
    pub scales: [f32; N],
    /// The sum of every [`Q8_SUM`] values of each row.
    pub x_sums: [[i32; N]; Q8_BLOCK / Q8_SUM],
    /// Four columns of each row, then the next four. In -127..=127.
    pub values: [[[i8; 4]; N]; BLOCK_STEPS],
    /// The values again, for instructions that multiply 16 bits.
    pub values_i16: [[[i16; 4]; N]; BLOCK_STEPS],
}

/// Four adjacent activations of a row, in the form that an instruction set multiplies.
pub(super) trait Quad: Copy {
    /// All of a block.
    fn of<const N: usize>(x: &Q8Block<N>) -> &[[Self; N]; BLOCK_STEPS];
}

impl Quad for [i8; 4] {
    #[inline(always)]
    fn of<const N: usize>(x: &Q8Block<N>) -> &[[Self; N]; BLOCK_STEPS] {
        &x.values
    }
}

impl Quad for [i16; 4] {
    #[inline(always)]
    fn of<const N: usize>(x: &Q8Block<N>) -> &[[Self; N]; BLOCK_STEPS] {
        &x.values_i16
    }
}

/// Two pairs.
impl Quad for [[i16; 2]; 2] {
    #[inline(always)]
    fn of<const N: usize>(x: &Q8Block<N>) -> &[[Self; N]; BLOCK_STEPS] {
        bytemuck::cast_ref(&x.values_i16)
    }
}

impl<const N: usize> Q8Block<N> {
    /// Sets row `n`.
    #[inline(always)]
    pub(super) fn set(&mut self, n: usize, scale: f32, values: &[i8; Q8_BLOCK]) {
        self.scales[n] = scale;
        // Otherwise the compiler quantizes value by value, in the order of the stores below.
        let (values, values_i16) = &opaque((*values, values.map(i16::from)));
        for (x_sums, values) in self.x_sums.iter_mut().zip(values.as_chunks().0) {
            x_sums[n] = sum_of_16(values);
        }
        for (step, (quad, quad_i16)) in values.as_chunks().0.iter().zip(values_i16.as_chunks().0).enumerate() {
            self.values[step][n] = *quad;
            self.values_i16[step][n] = *quad_i16;
        }
    }

    /// The scale and the values of row `n`.
    fn get(&self, n: usize) -> (f32, [i8; Q8_BLOCK]) {
        (self.scales[n], bytemuck::cast(self.values.map(|quads| quads[n])))
    }
}

/// The sum of any number of values.
#[inline(always)]
pub(super) fn sum_of(values: &[i8]) -> i32 {
    let (whole, rest) = values.as_chunks();
    whole.iter().map(sum_of_16).sum::<i32>() + rest.iter().map(|&x| i32::from(x)).sum::<i32>()
}

/// The sum of 16 values, eight of them in a word; the compiler would not vectorize a plain loop.
#[inline(always)]
fn sum_of_16(values: &[i8; Q8_SUM]) -> i32 {
    const EVEN: u64 = 0x00FF_00FF_00FF_00FF;
    const ONES: u64 = 0x0001_0001_0001_0001;
    // Adds 128 to each, so that none is negative.
    let words = bytemuck::cast::<_, [u64; 2]>(*values).map(|word| word ^ (128 * (ONES | ONES << 8)));
    let sums: u64 = words.iter().map(|word| (word & EVEN) + (word >> 8 & EVEN)).sum();
    (sums.wrapping_mul(ONES) >> 48) as i32 - 128 * Q8_SUM as i32
}

/// Rows of activations for grouped weights.
pub(crate) struct Q8Rows {
    rows: usize,
    /// The blocks of the first rows, [`Q8_ROWS`] at a time.
    pub(super) x4: Vec<Q8Block<Q8_ROWS>>,
    /// The blocks of the remaining rows, one row after the other.
    pub(super) x1: Vec<Q8Block<1>>,
}

/// Up to [`Q8_ROWS`] rows to write to.
pub(crate) enum Q8Part<'a> {
    /// The blocks of [`Q8_ROWS`] rows.
    X4(&'a mut [Q8Block<Q8_ROWS>]),
    /// The blocks of fewer rows, one row after the other.
    X1(&'a mut [Q8Block<1>]),
}

impl Q8Rows {
    /// `rows` rows of `cols` zeros; `cols` is a multiple of [`Q8_BLOCK`].
    pub(crate) fn zeroed(rows: usize, cols: usize) -> Self {
        let blocks = cols / Q8_BLOCK;
        let x4 = bytemuck::zeroed_vec(rows / Q8_ROWS * blocks);
        Self { rows, x4, x1: bytemuck::zeroed_vec(rows % Q8_ROWS * blocks) }
    }

    /// Rows of `cols` values `x` with a scale per block; `cols` is a multiple of [`Q8_BLOCK`].
    pub(crate) fn new(cols: usize, x: &[i8], scales: &[f32]) -> Self {
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

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The number of blocks in a row.
    pub(super) fn blocks(&self) -> usize {
        (self.x4.len() * Q8_ROWS + self.x1.len()) / self.rows.max(1)
    }

    /// The scale and the values of a block of a row.
    pub(crate) fn get(&self, row: usize, block: usize) -> (f32, [i8; Q8_BLOCK]) {
        match self.x4.get(row / Q8_ROWS * self.blocks() + block) {
            Some(four) => four.get(row % Q8_ROWS),
            None => self.x1[row % Q8_ROWS * self.blocks() + block].get(0),
        }
    }

    /// All rows, [`Q8_ROWS`] at a time.
    pub(crate) fn parts_mut(&mut self) -> impl Iterator<Item = Q8Part<'_>> {
        let blocks = self.blocks().max(1);
        let x1 = (!self.x1.is_empty()).then_some(Q8Part::X1(&mut self.x1));
        self.x4.chunks_exact_mut(blocks).map(Q8Part::X4).chain(x1)
    }
}
