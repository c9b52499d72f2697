//! Rotary position embedding (arXiv:2104.09864) and its extensions to longer contexts.
//!
//! Pair `i` of a head is rotated by `position * frequency[i]`. All extensions change the
//! frequencies (YaRN also scales the rotated values), so they are applied once, when the model is
//! loaded.

#![forbid(unsafe_code)]

/// Which two elements of a head form pair `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeStyle {
    /// `2 i` and `2 i + 1` (ggml's NORM).
    Adjacent,
    /// `i` and `i + dims / 2` (ggml's NEOX).
    Halves,
}

/// The rotation of a model's queries and keys.
#[derive(Clone, Debug)]
pub struct Rope {
    style: RopeStyle,
    frequencies: Vec<f32>,
    magnitude: f32,
}

impl Rope {
    /// Frequencies `base^(-2 i / dims)` for the `dims / 2` pairs that are rotated; the rest of a
    /// head is not changed.
    pub fn new(style: RopeStyle, dims: usize, base: f32) -> Self {
        // In f64, because the last bit of f32 powers differs between platforms.
        let power = |i: usize| f64::from(base).powf((2 * i) as f64 / dims as f64);
        let frequencies = (0..dims / 2).map(|i| (1.0 / power(i)) as f32).collect();
        Self { style, frequencies, magnitude: 1.0 }
    }

    /// Linear scaling: divides positions by `factor` (arXiv:2306.15595).
    #[must_use]
    pub fn linear(mut self, factor: f32) -> Self {
        self.frequencies.iter_mut().for_each(|f| *f /= factor);
        self
    }

    /// Divides each frequency by its own factor: the `rope_freqs` tensor of Llama 3 and LongRoPE.
    #[must_use]
    pub fn with_frequency_factors(mut self, factors: &[f32]) -> Self {
        self.frequencies.iter_mut().zip(factors).for_each(|(f, factor)| *f /= factor);
        self
    }

    /// YaRN (arXiv:2309.00071): keeps high frequencies and divides low ones by `factor`, with a
    /// ramp between the pairs that turn `beta_fast` and `beta_slow` times in `original_context`
    /// positions.
    #[must_use]
    pub fn yarn(mut self, base: f32, factor: f32, original_context: usize, yarn: Yarn) -> Self {
        let dims = self.frequencies.len() as f32 * 2.0;
        let pair_turning =
            |turns: f32| dims * (original_context as f32 / (turns * std::f32::consts::TAU)).ln() / (2.0 * base.ln());
        let low = pair_turning(yarn.beta_fast).floor().max(0.0);
        let high = pair_turning(yarn.beta_slow).ceil().min(dims - 1.0);
        for (i, frequency) in self.frequencies.iter_mut().enumerate() {
            let stretched = ((i as f32 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
            *frequency = *frequency / factor * stretched + *frequency * (1.0 - stretched);
        }
        self.magnitude = yarn.attention_factor * yarn.magnitude.unwrap_or_else(|| 1.0 + 0.1 * factor.max(1.0).ln());
        self
    }

    /// Elements of a head that are rotated.
    pub fn dims(&self) -> usize {
        self.frequencies.len() * 2
    }

    /// Writes the cosines, then the sines, of every pair at `position` to `table`, which has
    /// [`Rope::dims`] values.
    pub fn fill_table(&self, position: usize, table: &mut [f32]) {
        let (cos, sin) = table.split_at_mut(self.frequencies.len());
        for ((cos, sin), frequency) in cos.iter_mut().zip(sin).zip(&self.frequencies) {
            let angle = f64::from(position as f32 * frequency);
            *cos = angle.cos() as f32 * self.magnitude;
            *sin = angle.sin() as f32 * self.magnitude;
        }
    }

    /// Rotates one head by a table from [`Rope::fill_table`].
    pub fn rotate(&self, head: &mut [f32], table: &[f32]) {
        let pairs = self.frequencies.len();
        let (cos, sin) = table.split_at(pairs);
        let rotations = cos.iter().zip(sin);
        match self.style {
            RopeStyle::Adjacent => {
                head.as_chunks_mut()
                    .0
                    .iter_mut()
                    .zip(rotations)
                    .for_each(|([x, y], rotation)| rotate_pair(x, y, rotation));
            }
            RopeStyle::Halves => {
                let (first, second) = head.split_at_mut(pairs);
                first.iter_mut().zip(second).zip(rotations).for_each(|((x, y), rotation)| rotate_pair(x, y, rotation));
            }
        }
    }
}

/// Rotates a pair by an angle with this cosine and sine.
#[inline(always)]
fn rotate_pair(x: &mut f32, y: &mut f32, (cos, sin): (&f32, &f32)) {
    (*x, *y) = (*x * cos - *y * sin, *x * sin + *y * cos);
}

/// The parameters of [`Rope::yarn`] that have default values.
#[derive(Clone, Copy, Debug)]
pub struct Yarn {
    /// Turns above which a pair keeps its frequency.
    pub beta_fast: f32,
    /// Turns below which a pair's frequency is divided by the whole factor.
    pub beta_slow: f32,
    /// The scale of the rotated values; `None` for YaRN's own `1 + 0.1 ln(factor)`.
    pub magnitude: Option<f32>,
    /// Multiplied with that scale.
    pub attention_factor: f32,
}

impl Default for Yarn {
    fn default() -> Self {
        Self { beta_fast: 32.0, beta_slow: 1.0, magnitude: None, attention_factor: 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    fn rotated(rope: &Rope, position: usize, head: &[f32]) -> Vec<f32> {
        let mut table = vec![0.0; rope.dims()];
        rope.fill_table(position, &mut table);
        let mut head = head.to_vec();
        rope.rotate(&mut head, &table);
        head
    }

    #[test]
    fn styles_differ_by_a_permutation() {
        let halves = rotated(&Rope::new(RopeStyle::Halves, 4, 100.0), 3, &[1.0, 2.0, 3.0, 4.0]);
        let adjacent = rotated(&Rope::new(RopeStyle::Adjacent, 4, 100.0), 3, &[1.0, 3.0, 2.0, 4.0]);
        assert_eq!(halves, [adjacent[0], adjacent[2], adjacent[1], adjacent[3]]);
        assert!((halves[0] - (3f32.cos() - 3.0 * 3f32.sin())).abs() < 1e-6);
    }

    #[test]
    fn scalings_change_the_frequencies() {
        let rope = Rope::new(RopeStyle::Halves, 4, 100.0);
        let head = [1.0, 2.0, 3.0, 4.0, 9.0];
        assert_eq!(rotated(&rope.clone().linear(4.0), 8, &head), rotated(&rope, 2, &head));
        assert_eq!(rotated(&rope.clone().with_frequency_factors(&[4.0, 4.0]), 8, &head), rotated(&rope, 2, &head));
        assert_eq!(rotated(&rope, 8, &head)[4], 9.0, "elements beyond the rotated ones do not change");
    }

    #[test]
    fn yarn_matches_transformers() {
        // transformers 5.23, ROPE_INIT_FUNCTIONS["yarn"]: head_dim 16, rope_theta 10000, factor 4,
        // original_max_position_embeddings 512, beta_fast 32, beta_slow 1.
        let rope = Rope::new(RopeStyle::Halves, 16, 10000.0).yarn(10000.0, 4.0, 512, Yarn::default());
        assert!((rope.magnitude - 1.138_629_4).abs() < 1e-6);
        let expected = [1.0, 0.256_935_06, 0.0625, 0.013_834_965, 2.5e-3, 7.905_694_7e-4, 2.5e-4, 7.905_695e-5];
        for (got, expected) in rope.frequencies.iter().zip(expected) {
            assert!((got / expected - 1.0f32).abs() < 1e-6, "{got} {expected}");
        }
    }
}
